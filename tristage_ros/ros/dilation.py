"""By how much the time of an emulated arm is slower, for those who judge ages and keep a beat."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from std_msgs.msg import Float64

from tristage_ros.devices.arm.clock import MOST
from tristage_ros.ros import qos


def follow_dilation(node: Node, take: Callable[[float], None]) -> None:
    """Call `take` with how many seconds of the clock one of the arm's takes, now and whenever the arm says another."""

    def on_message(message: Float64) -> None:
        if 1.0 <= message.data <= MOST:  # what is none changes nothing
            take(message.data)

    node.create_subscription(Float64, qos.DILATION_TOPIC, on_message, qos.LATCHED)
