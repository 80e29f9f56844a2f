"""Bags of episodes without a robot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tristage_ros.bags.messages import IMAGE, new_message, typestore
from tristage_ros.bags.writer import BagWriter

COLOUR, BEGIN, RATE = "/front/color/image_raw", 100.0, 10.0


def image(stamp: float, level: int) -> Any:
    """Return an image of 32x24 pixels of one brightness."""
    seconds, rest = divmod(round(stamp * 1e9), 10**9)
    time = new_message("builtin_interfaces/msg/Time", sec=seconds, nanosec=rest)
    header = new_message("std_msgs/msg/Header", stamp=time, frame_id="front")
    pixels = np.full(24 * 32 * 3, level, np.uint8)
    return new_message(IMAGE, header=header, height=24, width=32, encoding="rgb8", step=96, data=pixels)


def brightening(path: Path) -> Path:
    """Write a bag of 4 s whose picture becomes brighter, and stays as it is from 2 s on."""
    with BagWriter(path, color="png") as writer:
        for frame in range(40):
            stamp = BEGIN + frame / RATE
            data = bytes(typestore().serialize_cdr(image(stamp, 5 * min(frame, 20)), IMAGE))
            writer.write(COLOUR, IMAGE, data, round(stamp * 1e9))
    return path
