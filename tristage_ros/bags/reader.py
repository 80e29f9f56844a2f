"""Read bags: closed ones, and what is left of those that were cut off."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.typesys.store import Typestore

from tristage_ros.bags.images import COLOR_SUFFIX, DEPTH_SUFFIX, raw_topic, restore
from tristage_ros.bags.messages import COMPRESSED_IMAGE, IMAGE, as_current, types_of, typestore
from tristage_ros.bags.storage import Storage
from tristage_ros.perception.images import UnsupportedImageError
from tristage_ros.words import one_line

OURS = "tristage_msgs/msg/"  # whose definitions may have changed since a bag was recorded
FORMS = ("", DEPTH_SUFFIX, COLOR_SUFFIX)  # of an image, the better first


LONGEST = 1500  # characters of an error, which may have a line to type


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
        where = f"the message on {self.topic} at {self.stamp} ns"
        try:
            return self._decode()
        except UnsupportedImageError as error:
            raise BagError(one_line(f"{where} cannot be read: {error}", LONGEST)) from error
        except Exception as error:  # the decompressor, the parser and the image decoder have errors of their own
            raise BagError(one_line(f"{where} is damaged: {error}", LONGEST)) from error


class BagReader:
    """Open a bag folder, a run's folder with a `bag` in it, or a file of one; use it in a `with` statement.

    Compressed images appear as what they were: sensor_msgs/Image on their raw topic. `complete` is False when
    something of the recording is lost, as when it was cut off; then what was on disk by that time is read, and
    `break_` says what is lost. `notes` says what else a person should know: what was left out, and why.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the bag.

        Raises:
            BagError: there is no bag, or nothing in it can be read.
        """
        self.path = Path(path)
        self._resources = ExitStack()
        try:
            self._storage = Storage(self.path, self._resources)
            self._store: Typestore = types_of(self._storage.connections)
        except Exception as error:  # a damaged file can fail in any layer below
            self._resources.close()
            raise BagError(one_line(f"bag {self.path} cannot be read: {error}", LONGEST)) from error
        self.start = self._storage.start
        self.break_ = "; ".join(self._storage.breaks)
        self.complete = not self.break_
        foreign = {c.id: why for c in self._storage.connections if (why := self._foreign(c))}
        left_out = [f"{c.topic} ({foreign[c.id]})" for c in self._storage.connections if c.id in foreign and c.msgcount]
        self.connections = [c for c in self._storage.connections if c.id not in foreign]
        self._read = _in_one_form(self.connections)
        self.notes = [*self._storage.notes]
        if left_out:
            self.notes.append(f"left out: {', '.join(left_out)}")

    @property
    def told(self) -> list[str]:
        """Return `break_`, where there is one, and the `notes`."""
        return [self.break_, *self.notes] if self.break_ else self.notes

    @property
    def topics(self) -> dict[str, str]:
        """Return the message type of every topic that can be read."""
        return {_name(c): IMAGE if _is_compressed(c) else c.msgtype for c in self._read}

    @property
    def contents(self) -> str:
        """Return which topics are in the bag, readable or not, for a person."""
        there = sorted(
            f"{c.topic} ({c.msgcount} {c.msgtype or c.ext.serialization_format})" for c in self._storage.connections
        )
        return f"it has {', '.join(there)}" if there else "it has no topic at all"

    def messages_of(self, kinds: Mapping[str, str]) -> Iterator[Message]:
        """Yield the messages of those topics of `kinds` that hold what it says: a foreign bag may have something else.

        Raises:
            BagError: the file is damaged.
        """
        there = [topic for topic, kind in self.topics.items() if kinds.get(topic) == kind]
        return self.messages(*there) if there else iter(())

    def messages(self, *topics: str) -> Iterator[Message]:
        """Yield the messages of `topics`, of all topics when none is named, in the order of their stamps.

        Raises:
            BagError: the file is damaged.
        """
        for connection, stamp, data in self.stored([c for c in self._read if not topics or _name(c) in topics]):
            yield self._message(connection, stamp, data)

    def stored(self, connections: list[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield connection, stamp (ns) and CDR of the messages of some of `connections`, in the order of their stamps.

        Raises:
            BagError: the file is damaged.
        """
        try:
            yield from self._storage.messages(connections)
        except Exception as error:  # the decompressor has errors of its own
            raise BagError(one_line(f"bag {self.path} is damaged: {error}", LONGEST)) from error

    def _message(self, connection: Connection, stamp: int, data: bytes) -> Message:
        topic, decode = connection.topic, partial(self._store.deserialize_cdr, data, connection.msgtype)
        if not _is_compressed(connection):
            current = not connection.msgtype.startswith(OURS)
            return Message(topic, connection.msgtype, stamp, data, decode, current)
        return Message(raw_topic(topic), IMAGE, stamp, data, lambda: restore(topic, decode()), False)

    def definition(self, connection: Connection) -> tuple[str, str]:
        """Return the text that defines the type of a connection as its messages were recorded, and its RIHS01 hash."""
        (form, text), kind = connection.msgdef, connection.msgtype
        if form == MessageDefinitionFormat.NONE:
            text, _ = self._store.generate_msgdef(kind, ros_version=2)
        return text, connection.digest or self._store.hash_rihs01(kind)

    def _foreign(self, connection: Connection) -> str:
        """Return why a connection cannot be read, empty when it can."""
        if connection.ext.serialization_format != "cdr":
            return connection.ext.serialization_format
        try:
            self._store.hash_rihs01(connection.msgtype)
        except KeyError as lacking:  # it, or what it is made of
            return f"the type {lacking} is not known here"
        if connection.msgdef.format == MessageDefinitionFormat.NONE and connection.msgtype.startswith(OURS):
            return self._mismatch(connection)
        return ""

    def _mismatch(self, connection: Connection) -> str:
        """Return that the first message is none of the installed definition, empty when it is one."""
        for _, _, data in self._storage.messages([connection]):
            try:
                self._store.deserialize_cdr(data, connection.msgtype)
            except Exception:  # the parser has errors of its own
                return f"recorded with another {connection.msgtype} than is installed; the bag does not define it"
            break
        return ""

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
    """Return all connections, but of images in several forms one alone: one with messages, the better first."""
    forms: dict[str, list[Connection]] = {}
    for connection in connections:
        forms.setdefault(_name(connection), []).append(connection)
    best = {name: min(found, key=partial(_rank, name)).topic for name, found in forms.items()}
    return [c for c in connections if c.topic == best[_name(c)]]


def _rank(name: str, connection: Connection) -> tuple[bool, int]:
    return connection.msgcount == 0, FORMS.index(connection.topic.removeprefix(name))
