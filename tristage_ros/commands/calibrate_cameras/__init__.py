"""Calibrate_cameras."""
