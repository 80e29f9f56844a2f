"""The ROS 2 nodes: parameters, topics, timing and diagnostics around the other rooms. The only room that imports rclpy."""
