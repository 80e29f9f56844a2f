from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tristage_ros.bags.messages import IMAGE, new_message, typestore
from tristage_ros.bags.writer import BagWriter


@pytest.fixture(scope="session")
def cdr() -> Callable[[Any], bytes]:
    """Return a function that serialises a message."""
    return lambda message: bytes(typestore().serialize_cdr(message, message.__msgtype__))


@pytest.fixture(scope="session")
def make_image() -> Callable[..., Any]:
    """Return a function that makes a sensor_msgs/Image of pixels."""

    def image(pixels: np.ndarray, encoding: str) -> Any:
        stamp = new_message("builtin_interfaces/msg/Time", sec=3, nanosec=50)
        return new_message(
            IMAGE,
            header=new_message("std_msgs/msg/Header", stamp=stamp, frame_id="front"),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            step=pixels.nbytes // len(pixels),
            data=np.ascontiguousarray(pixels).reshape(-1).view(np.uint8),
        )

    return image


@pytest.fixture
def record(tmp_path: Path, cdr: Callable[[Any], bytes]) -> Callable[..., Path]:
    """Return a function that writes (topic, message) pairs, one per millisecond, into a bag."""

    def write(*pairs: tuple[str, Any], name: str = "bag") -> Path:
        with BagWriter(tmp_path / name) as writer:
            for index, (topic, message) in enumerate(pairs):
                writer.write(topic, message.__msgtype__, cdr(message), index * 1_000_000)
        assert not writer.dropped
        return writer.path

    return write
