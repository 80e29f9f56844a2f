"""The command `tristage stop`: slow the arm down and hold it, without a word of ROS to type."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from tristage_ros.graph.middleware import one_machine, without_images
from tristage_ros.ros.context import begin

PATIENCE = 5.0  # s for an arm node to be found, and again for its answer


def stop(ros_arguments: Sequence[str] = ()) -> int:
    """Call arm/stop and print what the arm says; return the exit code: 1 when no arm node answers.

    Args:
        ros_arguments: those of the node, such as its namespace.
    """
    for name, value in without_images(one_machine(simulated=False)).items():
        os.environ.setdefault(name, value)
    begin(ros_arguments, SignalHandlerOptions.ALL)
    node = Node("stop", start_parameter_services=False, enable_rosout=False)
    try:
        return _call(node)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _call(node: Node) -> int:
    client = node.create_client(Trigger, "arm/stop")
    end = time.monotonic() + PATIENCE
    while not client.wait_for_service(timeout_sec=0.05):
        if time.monotonic() > end:
            print(
                f"error: nobody offers {client.srv_name} in ROS domain {os.environ.get('ROS_DOMAIN_ID', '0')}: "
                "press the emergency stop",
                file=sys.stderr,
            )
            return 1
    answer = client.call_async(Trigger.Request())
    rclpy.spin_until_future_complete(node, answer, timeout_sec=PATIENCE)
    if not answer.done() or answer.result() is None or not answer.result().success:
        print("error: the arm node does not answer: press the emergency stop", file=sys.stderr)
        return 1
    print(answer.result().message)
    return 0
