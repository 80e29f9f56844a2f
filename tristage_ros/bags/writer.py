"""Record messages into an MCAP bag without ever making their source wait.

The bag also says with which quality of service each topic was published (`offered`).
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter

from tristage_ros.bags.images import COLOR_FORMATS, ColorFormat, compress
from tristage_ros.bags.messages import COMPRESSED_IMAGE, IMAGE, typestore

# `ros2 bag play` publishes with the quality of service that a bag says its publishers offered.

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


CHECKPOINT_INTERVAL = 1.0  # s: what a crash or a power cut can cost
PATIENCE = 2.0  # s to write what is queued at the end; who ends a run does not wait much longer
SMALL = 64 << 10  # bytes; an eighth of the queue is kept for messages below this, so that images do not crowd them out


class _Item(NamedTuple):
    topic: str
    type_name: str
    data: bytes  # CDR
    stamp: int  # ns


class BagWriter:
    """Write serialised messages on a thread of its own. All methods may be called from any thread.

    Chunks are zstd-compressed; images are compressed too (see tristage_ros.bags.images) and then lie under their topic
    with `/compressed` or `/compressedDepth` added. Messages that find the queue full are dropped and counted in
    `dropped`, those on disk in `written`, by topic. Everything older than a second is on disk, so a recording that was
    cut off can be read up to there; only a closed bag has an index and a metadata.yaml.
    """

    def __init__(self, path: str | Path, queue_bytes: int = 256 << 20, color: ColorFormat = "jpeg") -> None:
        """Create the bag, a folder; at most `queue_bytes` of messages wait to be written.

        `color` is how colour images are compressed: `jpeg`, or without loss `png` or `raw`. Depth never loses anything.

        Raises:
            FileExistsError: there is something at `path` already.
            OSError: the folder cannot be made.
            ValueError: `color` is none of these.
        """
        if color not in COLOR_FORMATS:
            raise ValueError(f"color = {color!r} must be one of {', '.join(COLOR_FORMATS)}")
        self.path = Path(path)
        if self.path.exists():
            raise FileExistsError(f"{self.path} exists already; a bag is not overwritten, choose another name")
        self.color: ColorFormat = color
        self.dropped: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.failure: Exception | None = None  # what ended the recording before its time
        self._queue: deque[_Item] = deque()
        self._queued, self._capacity = 0, queue_bytes
        self._closing, self._deadline = False, math.inf
        self._changed = threading.Condition()
        self._connections: dict[tuple[str, str], Connection] = {}
        self._offered: dict[str, Qos] = {}
        self._bag = Writer(self.path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._bag.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._bag.open()
        self._thread = threading.Thread(target=self._run, name="bag writer", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """Return how many bytes of the bag are on disk."""
        return sum(file.stat().st_size for file in self.path.glob("*") if file.is_file())

    def offer(self, topic: str, qos: Qos) -> None:
        """Say with which quality of service `topic` is published, before its first message is written."""
        self._offered[topic] = qos

    def write(self, topic: str, type_name: str, data: bytes, stamp_ns: int) -> None:
        """Queue one CDR-serialised message, such as type "sensor_msgs/msg/Image", received at `stamp_ns`.

        Raises:
            ValueError: the type is unknown.
        """
        if type_name not in typestore().fielddefs:
            raise ValueError(f"{topic}: message type {type_name!r} is unknown; write it like 'sensor_msgs/msg/Image'")
        with self._changed:
            capacity = self._capacity if len(data) < SMALL else self._capacity * 7 // 8
            if self._closing or self.failure or self._queued + len(data) > capacity:
                self.dropped[topic] += 1
                return
            self._queue.append(_Item(topic, type_name, data, stamp_ns))
            self._queued += len(data)
            self._changed.notify()

    def close(self, patience: float | None = None) -> None:
        """Write what is queued, as far as `patience` (s, default `PATIENCE`) allows, and finish the bag.

        Later calls do nothing.

        Raises:
            OSError: the recording had ended before, as when the disk was full.
        """
        with self._changed:
            already, self._closing = self._closing, True
            self._deadline = min(self._deadline, time.monotonic() + (PATIENCE if patience is None else patience))
            self._changed.notify()
        self._thread.join()
        if self.failure and not already:
            raise OSError(f"{self.path} is incomplete, recording ended with: {self.failure}") from self.failure

    def __enter__(self) -> BagWriter:
        """Return the writer itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the bag."""
        self.close()

    def _run(self) -> None:
        try:
            self._write_until_closed()
            self._bag.set_custom_data("dropped", json.dumps(self.dropped))
            self._bag.close()
        except Exception as error:
            with self._changed:
                self.failure = error
                self.dropped.update(item.topic for item in self._queue)
                self._queue.clear()
            with suppress(Exception):
                self._bag.abort()

    def _write_until_closed(self) -> None:
        due = time.monotonic() + CHECKPOINT_INTERVAL
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing, max(due - time.monotonic(), 0.0))
                if self._closing and time.monotonic() > self._deadline:
                    self.dropped.update(item.topic for item in self._queue)
                    self._queue.clear()
                item = self._queue.popleft() if self._queue else None
                self._queued -= len(item.data) if item else 0
                if item is None and self._closing:
                    return
            if item is not None:
                self._store(item)
            if time.monotonic() >= due:
                self._checkpoint()
                due = time.monotonic() + CHECKPOINT_INTERVAL

    def _store(self, item: _Item) -> None:
        topic, type_name, data, stamp = _compressed(item, self.color) if item.type_name == IMAGE else item
        key = topic, type_name
        if key not in self._connections:
            profile = self._offered.get(item.topic, offered(10))
            self._connections[key] = self._bag.add_connection(
                topic, type_name, typestore=typestore(), offered_qos_profiles=[profile]
            )
        self._bag.write(self._connections[key], stamp, data)
        self.written[item.topic] += 1

    def _checkpoint(self) -> None:
        storage = self._bag.storage
        assert isinstance(storage, McapWriter)
        if storage.chunk.msgs:
            storage.close_chunk()
        storage.bio.flush()


def _compressed(item: _Item, color: ColorFormat) -> _Item:
    store = typestore()
    try:
        result = compress(store.deserialize_cdr(item.data, IMAGE), color)
    except ValueError:  # a malformed image is worth keeping as it came
        return item
    if result is None:
        return item
    suffix, message = result
    data = bytes(store.serialize_cdr(message, COMPRESSED_IMAGE))
    return _Item(item.topic + suffix, COMPRESSED_IMAGE, data, item.stamp)
