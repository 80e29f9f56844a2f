"""Read bags: closed ones, and what is left of those that were cut off."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.storage_mcap import McapReader, decompress
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from tristage_ros.bags.images import DEPTH_SUFFIX, raw_topic, restore
from tristage_ros.bags.messages import COMPRESSED_IMAGE, IMAGE, as_current, typestore
from tristage_ros.perception.images import UnsupportedImageError

OURS = "tristage_msgs/msg/"  # whose definitions may have changed since a bag was recorded
MAGIC = b"\x89MCAP0\r\n"
FOOTER, CHUNK, DATA_END = 0x02, 0x06, 0x0F  # kinds of records
# A footer that names no summary: readers then go through the records one by one.
END = struct.pack("<BQI", DATA_END, 4, 0) + struct.pack("<BQQQI", FOOTER, 20, 0, 0, 0) + MAGIC


class BagError(ValueError):
    """Say why a bag cannot be read; the message is one line for a person."""


@dataclass(frozen=True)
class Message:
    """Hold one message of a bag; its value is decoded when it is first asked for, also after the bag was closed."""

    topic: str
    type_name: str
    stamp: int  # ns, when it was recorded
    stored: bytes = field(repr=False, compare=False)  # CDR as it lies in the bag, of a compressed image where it is one
    _decode: Callable[[], Any] = field(repr=False, compare=False)
    _is_stored_as_it_is: bool = True

    @property
    def header_stamp(self) -> int:
        """Return the stamp in the header in ns, without decoding the message; its type must begin with a header."""
        order = "<" if self.stored[1] & 1 else ">"
        sec, nanosec = struct.unpack_from(f"{order}iI", self.stored, 4)
        return int(sec) * 10**9 + int(nanosec)

    @property
    def serialized(self) -> bytes:
        """Return the message as CDR of its `type_name`, as today's definition of it has it.

        Raises:
            BagError: the message is damaged.
        """
        if self._is_stored_as_it_is:
            return self.stored
        return bytes(typestore().serialize_cdr(as_current(self.value), self.type_name))

    def on(self, topic: str) -> Message:
        """Return the message as if it had been recorded on `topic`."""
        return self if topic == self.topic else replace(self, topic=topic)

    @cached_property
    def value(self) -> Any:
        """Return the message, an object with the fields of its type, in which arrays of numbers are numpy arrays.

        Raises:
            BagError: the message is damaged, or an image of a format that is not read.
        """
        try:
            return self._decode()
        except UnsupportedImageError as error:
            raise BagError(f"the message on {self.topic} at {self.stamp} ns cannot be read: {error}") from error
        except Exception as error:  # the decompressor, the parser and the image decoder have errors of their own
            raise BagError(f"the message on {self.topic} at {self.stamp} ns is damaged: {error}") from error


class BagReader:
    """Open a bag folder, a run's folder with a `bag` in it, or an .mcap file; use it in a `with` statement.

    Compressed images appear as what they were: sensor_msgs/Image on their raw topic. `complete` is False when the
    recording was cut off; then what was on disk by that time is read, and `break_` says where it ends.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the bag.

        Raises:
            BagError: there is no bag, or nothing in it can be read.
        """
        self.path = Path(path)
        self._resources = ExitStack()
        try:
            source = _storage(self.path)
            self.break_ = ""
            self.complete = source.is_dir() or _is_closed(source)
            if not self.complete:
                folder = Path(self._resources.enter_context(tempfile.TemporaryDirectory()))
                source, whole, size = _mended(source, folder)
                self.break_ = f"of {size} bytes the first {whole} can be read"
            self._reader = self._resources.enter_context(Reader(source))
            if self.break_:
                seconds = self._reader.duration * 1e-9 if self._reader.message_count else 0.0
                self.break_ = f"the recording is cut off after {seconds:.1f} s: {self.break_}"
            self._store = _types_of(self._reader.connections)
        except Exception as error:  # a damaged file can fail in any layer below
            self._resources.close()
            raise BagError(f"bag {self.path} cannot be read: {error}") from error

    @property
    def topics(self) -> dict[str, str]:
        """Return the message type of every topic."""
        return {_name(c): IMAGE if _is_compressed(c) else c.msgtype for c in _in_one_form(self._reader.connections)}

    def messages(self, *topics: str) -> Iterator[Message]:
        """Yield the messages of `topics`, of all topics when none is named, in the order of their stamps.

        Raises:
            BagError: the file is damaged.
        """
        chosen = [c for c in _in_one_form(self._reader.connections) if not topics or _name(c) in topics]
        if not chosen:
            return
        try:
            for connection, stamp, data in self._serialized(chosen):
                yield self._message(connection, stamp, data)
        except Exception as error:  # the decompressor has errors of its own
            raise BagError(f"bag {self.path} is damaged: {error}") from error

    def _message(self, connection: Connection, stamp: int, data: bytes) -> Message:
        topic, decode = connection.topic, partial(self._store.deserialize_cdr, data, connection.msgtype)
        if not _is_compressed(connection):
            current = not connection.msgtype.startswith(OURS)
            return Message(topic, connection.msgtype, stamp, data, decode, current)
        return Message(raw_topic(topic), IMAGE, stamp, data, lambda: restore(topic, decode()), False)

    def _serialized(self, connections: list[Connection]) -> Iterable[tuple[Connection, int, bytes]]:
        storage = self._reader.storage
        if self.complete or not isinstance(storage, McapReader):
            return self._reader.messages(connections)
        return sorted(storage.messages_scan(connections), key=itemgetter(1))

    def __enter__(self) -> BagReader:
        """Return the bag itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the bag."""
        self._resources.close()


def _is_compressed(connection: Connection) -> bool:
    return connection.msgtype == COMPRESSED_IMAGE and connection.topic != raw_topic(connection.topic)


def _name(connection: Connection) -> str:
    return raw_topic(connection.topic) if _is_compressed(connection) else connection.topic


def _in_one_form(connections: list[Connection]) -> list[Connection]:
    """Return all connections, but of images in several forms the raw one alone, or else the one without loss."""
    forms: dict[str, set[str]] = {}
    for connection in connections:
        forms.setdefault(_name(connection), set()).add(connection.topic)
    best = {name: name if name in topics or len(topics) == 1 else name + DEPTH_SUFFIX for name, topics in forms.items()}
    return [c for c in connections if len(forms[_name(c)]) == 1 or c.topic == best[_name(c)]]


def _types_of(connections: list[Connection]) -> Typestore:
    # The bag brings its own definitions, so one that was recorded with older messages can still be read.
    store = get_typestore(Stores.ROS2_KILTED)
    for connection in connections:
        if connection.msgdef.format == MessageDefinitionFormat.MSG:
            types = get_types_from_msg(connection.msgdef.data, connection.msgtype)
            store.register({name: fields for name, fields in types.items() if name not in store.fielddefs})
    return store


def _storage(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError("there is nothing of that name")
    if (path / "bag").is_dir():
        path /= "bag"
    files = list(path.glob("*.mcap")) if path.is_dir() else [path]
    if not files and not (path / "metadata.yaml").exists():
        raise FileNotFoundError("the folder holds neither an .mcap file nor a metadata.yaml")
    return files[0] if len(files) == 1 else path


def _is_closed(file: Path) -> bool:
    with file.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{file.name} does not begin like an MCAP file")
        stream.seek(-len(MAGIC), os.SEEK_END)
        return stream.tell() > 0 and stream.read() == MAGIC


def _mended(file: Path, folder: Path) -> tuple[Path, int, int]:
    """Copy the whole records of a cut-off MCAP file, put an end behind them, and return how many bytes of how many."""
    copy = folder / file.name
    with file.open("rb") as stream, copy.open("wb") as whole:
        whole.write(stream.read(len(MAGIC)))
        while len(head := stream.read(9)) == 9 and head[0] not in (0, DATA_END):
            (size,) = struct.unpack("<Q", head[1:])
            if len(content := stream.read(size)) < size or not _is_whole(head[0], content):
                break
            whole.write(head + content)
        readable = whole.tell()
        whole.write(END)
    return copy, readable, file.stat().st_size


def _is_whole(opcode: int, content: bytes) -> bool:
    """Tell whether a record can be used: a power cut can leave zeros inside the last chunk."""
    if opcode != CHUNK:
        return True
    size, checksum, letters = struct.unpack_from("<QII", content, 16)
    try:
        decompress(content[40 + letters :], content[32 : 32 + letters].decode(), size, checksum)
    except Exception:  # whatever the decompressor says of damaged data
        return False
    return True
