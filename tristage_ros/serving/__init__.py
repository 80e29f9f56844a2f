"""The policy behind any robot, without ROS: OpenPI's protocol over a websocket."""
