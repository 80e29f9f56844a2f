"""The arm's joints in a node: their history, and which zero J2 and J3 have."""

from __future__ import annotations

from rclpy.node import Node
from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.arm.kinematics import dh_is_offset
from tristage_ros.observing.joints import ARM_JOINTS, GRIPPER_JOINT, JointHistory

__all__ = ["ARM_JOINTS", "GRIPPER_JOINT", "JointHistory", "zero_of"]


def zero_of(node: Node, status: ArmStatus, before: bool) -> bool:
    """Return `kinematics.dh_is_offset` of the arm's firmware; what it was `before` where the status does not tell."""
    if not status.firmware:
        return before
    try:
        return dh_is_offset(status.firmware)
    except ValueError as error:
        node.get_logger().warning(f"arm/status: {error}", throttle_duration_sec=5.0)
        return before
