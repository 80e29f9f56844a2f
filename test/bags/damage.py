"""Copies of a bag with something done to their messages, as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from tristage_ros.bags.messages import typestore

SMALL_BAG = Path(__file__).resolve().parents[1] / "data" / "small_bag"
FRONT_COLOR = "/front/color/image_raw/compressed"
FRONT_DEPTH = "/front/aligned_depth_to_color/image_raw/compressedDepth"
WRIST_DEPTH = "/wrist/aligned_depth_to_color/image_raw/compressedDepth"
IMAGES = (FRONT_COLOR, FRONT_DEPTH, WRIST_DEPTH)


class Stored(NamedTuple):
    """A message as it lies in a bag."""

    topic: str
    kind: str
    stamp: int
    data: bytes
    definition: tuple[str, str] | None = None  # with its hash, as recorded; None: today's

    @property
    def made(self) -> int:
        """The stamp of the header, ns."""
        return int.from_bytes(self.data[4:8], "little") * 10**9 + int.from_bytes(self.data[8:12], "little")


def stored(source: Path = SMALL_BAG) -> list[Stored]:
    with Reader(source) as bag:
        return [
            Stored(c.topic, c.msgtype, stamp, bytes(data), (c.msgdef.data, c.digest))
            for c, stamp, data in bag.messages()
        ]


def write(
    path: Path, messages: Iterable[Stored], plugin: StoragePlugin = StoragePlugin.MCAP, qos: dict | None = None
) -> Path:
    connections = {}
    with Writer(path, version=9, storage_plugin=plugin) as bag:
        for m in sorted(messages, key=lambda m: m.stamp):
            if m.topic not in connections:
                profiles = [(qos or {})[m.topic]] if m.topic in (qos or {}) else []
                text, digest = m.definition or (None, None)
                connections[m.topic] = bag.add_connection(
                    m.topic, m.kind, typestore=typestore(), msgdef=text, rihs01=digest, offered_qos_profiles=profiles
                )
            bag.write(connections[m.topic], m.stamp, m.data)
    return path


def damaged(path: Path, change: Callable[[Stored, int], list[Stored]], topics: Iterable[str] = IMAGES) -> Path:
    """Copy the small bag; `change` gets every message of `topics` with its number in its topic."""
    counts, result = dict.fromkeys(topics, 0), []
    for message in stored():
        if message.topic not in counts:
            result.append(message)
            continue
        result += change(message, counts[message.topic])
        counts[message.topic] += 1
    return write(path, result)


def restamped(message: Stored, stamp: int) -> bytes:
    head = (stamp // 10**9).to_bytes(4, "little") + (stamp % 10**9).to_bytes(4, "little")
    return message.data[:4] + head + message.data[12:]
