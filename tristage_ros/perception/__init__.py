"""Cameras, depth and point clouds: numpy in, numpy out, no ROS."""
