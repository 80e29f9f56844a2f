"""Reports and measurements made from recorded runs."""
