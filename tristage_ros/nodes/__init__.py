"""The ROS 2 nodes, a folder or file each; `tristage_ros.start` runs them."""

from tristage_ros.moved import tell

tell()  # without a word, `python -m tristage_ros.nodes.arm` would do nothing
