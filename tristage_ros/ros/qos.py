"""How topics are sent: their quality of service, and what is done where a reader does not keep up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.exceptions import ROSInterruptException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

# Images and clouds: a best-effort or a reliable subscriber can both read them, and a slow one skips to the newest.
IMAGES = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=5)

# What we read ourselves: only the newest is of use.
NEWEST = QoSProfile(reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST, depth=1)

# The newest value also reaches those who come late.
LATCHED = QoSProfile(
    reliability=ReliabilityPolicy.RELIABLE,
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

# By how much an emulated arm's time is slower than the clock, 1 for any other; the arm says it.
DILATION_TOPIC = "arm/time_dilation"

# How old an observation would be when its action is there: what a policy told to rehearse found before it may act, s.
REHEARSAL_TOPIC = "policy/rehearsal"

# The policy repeats the header of every arm/status: a late one is of no use, and the next one comes at once.
HEARTBEAT_TOPIC = "policy/heartbeat"
HEARTBEAT = QoSProfile(reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=1)


# Sending what may be lost: a reader that lags must not end the node that it reads from.

PAUSE = 5.0  # s from one warning to the next


@contextmanager
def sending(node: Node, what: str) -> Iterator[None]:
    """Warn where publishing `what` fails, as a reliable publisher does whose reader does not keep up; the next goes."""
    try:
        yield
    except ROSInterruptException:
        raise
    except Exception as error:
        node.get_logger().warning(f"{what} not sent: {error}", throttle_duration_sec=PAUSE)
