"""RealSense cameras: the SDK, what is asked of it, and whether its images can be believed."""
