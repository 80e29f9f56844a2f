"""Sending what may be lost: a reader that lags must not end the node that it reads from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.exceptions import ROSInterruptException
from rclpy.node import Node

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
