"""Arm and cameras, each behind its SDK. No ROS."""
