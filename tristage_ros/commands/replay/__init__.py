"""Replay a bag through the real point cloud and policy nodes."""
