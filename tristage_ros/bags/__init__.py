"""Record and read MCAP bags without a ROS installation."""
