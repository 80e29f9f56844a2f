"""The camera node, and what it says about its camera."""
