"""A run as pictures and curves in the Rerun viewer: live, from a bag, or as a recording."""
