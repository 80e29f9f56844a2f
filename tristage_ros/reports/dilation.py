"""Simulated time in a recording, where it passed more slowly than the clock: what the arm's speeds are speeds of.

Stamps in a bag are of the clock, always. `/arm/time_dilation` tells how many of its seconds one of the cell's took.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tristage_ros.bags.reader import BagReader
from tristage_ros.devices.arm.clock import MOST, ArmClock

TOPIC, TYPE = "/arm/time_dilation", "std_msgs/msg/Float64"


def clock_of(told: Iterable[tuple[float, Any]]) -> ArmClock:
    """Return what counts simulated seconds by those of the bag's stamps; `told`: when (s) what was said on `TOPIC`."""
    moment = 0.0
    clock = ArmClock(lambda: moment)
    for time, message in told:
        if time >= moment and 1.0 <= message.data <= MOST:
            moment = time
            clock.dilate(float(message.data))
    return clock


def slowest_in(bag: str | Path) -> float:
    """Return the most seconds of the clock that one of the cell's took in a bag; 1: its time is the clock's.

    Raises:
        BagError: it cannot be read.
    """
    with BagReader(bag) as recorded:
        return max([1.0, *(message.value.data for message in recorded.messages_of({TOPIC: TYPE}))])
