"""Run rqt in a process that knows the topics of the curves before rqt makes its own node.

rqt restores its layout a fraction of a second after it has made its node, and rqt_plot drops, without a word, the
curves of topics that this node does not know by then. What one node of a process subscribes to, all nodes of its
context know at once, published or not, and rqt's node is made in the context that it finds. So rqt needs to wait for
nothing, and no part of it is changed.

This folder is started by path, with rqt's interpreter, which need not find this package:
`python3 PATH/OF/nodes/viewers/rqt PATH/OF/rqt_gui [ARGUMENT ...] [--ros-args ...]`.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.node import Node

TOPICS = {"tristage/pruning": "PruningStats", "tristage/timings": "StageTimings"}  # whose fields are curves
PATIENCE = 10.0  # s for the context to list its own subscriptions


def node_that_knows_topics() -> Node:
    """Return a node that subscribes to the topics in the namespace of this process; it is to be kept, not spun."""
    import rclpy
    import tristage_msgs.msg
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from rclpy.signals import SignalHandlerOptions

    # With rclpy's own handler SIGTERM would end the context, but not rqt.
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("rqt_curves", enable_rosout=False, start_parameter_services=False)
    newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    for topic, kind in TOPICS.items():
        node.create_subscription(getattr(tristage_msgs.msg, kind), topic, lambda message: None, newest)
    wait_until_known(node)
    return node


def wait_until_known(node: Node) -> None:
    """Return when the context of `node` lists the topics, or after a long time."""
    wanted, end = {node.resolve_topic_name(topic) for topic in TOPICS}, time.monotonic() + PATIENCE
    while wanted - {name for name, _ in node.get_topic_names_and_types()}:
        if time.monotonic() > end:
            node.get_logger().warning(f"rqt may lack curves: after {PATIENCE:.0f} s it does not know {wanted}")
            return
        time.sleep(0.02)


def main() -> None:
    """Become rqt."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until rqt sets its own: no traceback while it is loaded
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(sys.argv[0])
    try:
        kept = node_that_knows_topics()
    except ImportError as error:
        sys.exit(f"error: {error}: {sys.executable} runs rqt; was the workspace sourced?")
    runpy.run_path(sys.argv[0], {"kept": kept}, "__main__")


if __name__ == "__main__":
    main()
