"""The ROS 2 nodes: parameters, topics, timing and diagnostics. The only room that imports rclpy."""
