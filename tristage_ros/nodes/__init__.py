"""The ROS 2 nodes: parameters, topics, timing and diagnostics. The only room that imports rclpy."""

import sys

from tristage_ros.start import NODES

# Without a word, `python -m tristage_ros.nodes.arm.node` would do nothing: a node is started through `tristage_ros.start`.
for _node in NODES:
    if f"{__name__}.{_node}" in sys.orig_argv[1:4]:
        sys.exit(f"error: type: python -m {__name__} {_node}")
