"""Write what the arm node kept of its last minute into one .mcap file."""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from tristage_ros.bags import facts
from tristage_ros.bags.black_box.contents import (
    EVENTS,
    JOINTS,
    MOMENT,
    NAMES,
    RECEIVED,
    SENT,
    SETPOINTS,
    Contents,
    Kept,
)
from tristage_ros.bags.messages import CAN_FRAME, new_message, typestore
from tristage_ros.devices.arm import black_box
from tristage_ros.devices.arm.black_box import FRAME, SPAN, TICK

JOINT_STATE, LOG = "sensor_msgs/msg/JointState", "rcl_interfaces/msg/Log"
_LITTLE_ENDIAN = b"\0\1\0\0"  # before every CDR


def write(contents: Contents) -> int:
    """Write the file, and remove the oldest of this arm's; return the number of messages.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    folder = contents.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{contents.path.stem}-", dir=folder) as temporary:
        bag = Path(temporary, "bag")
        count = _write_bag(bag, contents)
        (file,) = bag.glob("*.mcap")
        file.replace(contents.path)
    _remove_oldest(contents)
    return count


def _remove_oldest(contents: Contents) -> None:
    stem = re.escape(re.sub(MOMENT, "", contents.path.stem))
    ours = re.compile(rf"{stem}{MOMENT}\.mcap")
    files = [path for path in contents.path.parent.iterdir() if ours.fullmatch(path.name)]
    files.sort(key=lambda path: (path.stat().st_mtime, path.name))
    for path in files[: max(0, len(files) - contents.keep)]:
        if path != contents.path:
            path.unlink(missing_ok=True)


def _write_bag(path: Path, contents: Contents) -> int:
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    connections: dict[str, Connection] = {}
    with writer:
        writer.set_custom_data("black box of", contents.channel)
        everything = sorted(
            (m for part in (_texts, _frames, _ticks) for m in part(contents)), key=lambda m: m.monotonic
        )
        for message in everything:
            if message.topic not in connections:
                connections[message.topic] = writer.add_connection(
                    message.topic, message.type_name, typestore=typestore()
                )
            stamp = round((message.monotonic - contents.monotonic + contents.wall) * 1e9)
            writer.write(connections[message.topic], stamp, message.data)
    return len(everything)


def _texts(contents: Contents) -> Iterator[Kept]:
    since = contents.monotonic - SPAN
    gathered, _ = facts.gather({"arm": contents.parameters}, {})
    yield Kept(since, facts.TOPIC, facts.TYPE, gathered.message())
    for event in contents.events:
        if event.monotonic >= since:
            message = new_message(LOG, stamp=_time(event.wall), level=event.level, name=event.kind, msg=event.text)
            yield _kept(event.monotonic, EVENTS, LOG, message)
    yield from (message for message in contents.messages if message.monotonic >= since)


def _frames(contents: Contents) -> Iterator[Kept]:
    frames = black_box.records(FRAME, contents.frames, contents.monotonic)
    pack, frame_id = _frame_layout(contents.channel)
    data = frames["data"].tobytes()
    rows = frames[["monotonic", "wall", "id", "flags", "dlc"]].tolist()
    for number, (monotonic, wall, identifier, flags, dlc) in enumerate(rows):
        seconds, nanoseconds = divmod(round(wall * 1e9), 10**9)
        kinds = (bool(flags & bit) for bit in (black_box.REMOTE, black_box.EXTENDED, black_box.ERROR))
        payload = data[8 * number : 8 * number + 8]
        cdr = pack(_LITTLE_ENDIAN, seconds, nanoseconds, len(frame_id), frame_id, identifier, *kinds, dlc, payload)
        yield Kept(monotonic, SENT if flags & black_box.SENT else RECEIVED, CAN_FRAME, cdr)


def _frame_layout(channel: str) -> tuple[Callable[..., bytes], bytes]:
    """Return what packs a can_msgs/Frame as CDR, and the frame_id: a general serialiser takes three times as long."""
    frame_id = channel.encode() + b"\0"
    return struct.Struct(f"<4siII{len(frame_id)}s{-len(frame_id) % 4}xI???B8s").pack, frame_id


def _ticks(contents: Contents) -> Iterator[Kept]:
    ahead, measured = contents.wall - contents.monotonic, -np.inf
    for tick in black_box.records(TICK, contents.ticks, contents.monotonic):
        if tick["sent"]:
            state = _joint_state(tick["wall"], tick["target"])
            yield _kept(tick["monotonic"], SETPOINTS, JOINT_STATE, state)
        if tick["stamp"] != measured:  # else it was there before
            measured = tick["stamp"]
            state = _joint_state(measured + ahead, tick["position"], [*tick["velocity"], 0.0], tick["effort"])
            yield _kept(tick["monotonic"], JOINTS, JOINT_STATE, state)


def _joint_state(wall: float, position: Any, velocity: Any = (), effort: Any = ()) -> Any:
    arrays = {"position": position, "velocity": velocity, "effort": effort}
    numbers = {key: np.array(value, np.float64) for key, value in arrays.items()}
    return new_message(JOINT_STATE, header=_header(wall, "base_link"), name=list(NAMES), **numbers)


def _kept(monotonic: float, topic: str, type_name: str, message: Any) -> Kept:
    return Kept(float(monotonic), topic, type_name, bytes(typestore().serialize_cdr(message, type_name)))


def _header(wall: float, frame_id: str) -> Any:
    return new_message("std_msgs/msg/Header", stamp=_time(wall), frame_id=frame_id)


def _time(wall: float) -> Any:
    seconds, nanoseconds = divmod(round(wall * 1e9), 10**9)
    return new_message("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
