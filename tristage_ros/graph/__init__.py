"""What runs together, and where."""
