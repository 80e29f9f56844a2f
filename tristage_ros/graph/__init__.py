"""What runs together, and where: the nodes of a graph, its arguments, machines and viewers. No ROS."""
