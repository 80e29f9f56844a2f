"""A node under test with a helper node beside it, in this process."""

from contextlib import contextmanager

import rclpy
from camera_source import now
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class NodeSetting:
    """Make the node with its parameters, spin it, and end it."""

    def __init__(self, make_node, parameters, helper="helper"):
        rclpy.init(args=["--ros-args", *(word for text in parameters for word in ("-p", text))])
        self.node, self.helper = make_node(), Node(helper, use_global_arguments=False)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.helper)

    def until(self, condition, timeout=40.0):
        end = now() + timeout
        while not condition():
            self.executor.spin_once(timeout_sec=0.05)
            assert now() < end, f"nothing came; {self.state()}"

    def state(self):
        """Say what may explain why nothing comes."""
        return ""

    def close(self):
        if hasattr(self.node, "close"):
            self.node.close()
        self.executor.shutdown()
        self.node.destroy_node()
        self.helper.destroy_node()
        rclpy.try_shutdown()


@contextmanager
def made_by(make):
    """Return `make`, and end what it has made."""
    made = []

    def make_another(*parameters):
        made.append(make(*parameters))
        return made[-1]

    yield make_another
    for one in made:
        one.close()
    rclpy.try_shutdown()
