"""The quality of service that a bag says its publishers offered; `ros2 bag play` publishes with it."""

from __future__ import annotations

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

FOREVER = QosTime(9223372036, 854775807)  # what rosbag2 writes for an infinite duration


def offered(depth: int, *, reliable: bool = True, latched: bool = False) -> Qos:
    """Return the profile of a publisher that keeps the last `depth` messages; `latched`: for those who come late."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=depth,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=FOREVER,
        lifespan=FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=FOREVER,
        avoid_ros_namespace_conventions=False,
    )
