"""Viewers and the model of the arm."""
