"""Read MCAP files of any writer: with chunks or without, with an index or without, closed or cut off.

rosbags reads those of rosbag2 that were closed. What it refuses or passes over in silence: files of another profile,
schemas of another kind, chunks without a message index, messages outside chunks that are not in order, and a lost end.
"""

from __future__ import annotations

import heapq
import shlex
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import itemgetter
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat, Qos
from rosbags.rosbag2.storage_mcap import decompress, get_qos

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, CHUNK_INDEX, STATISTICS, DATA_END = 2, 3, 4, 5, 6, 8, 11, 15  # records
HEAD = 9  # bytes before the content of a record: its kind and length
FOOTER_SIZE = HEAD + 20 + len(MAGIC)
RUN = 4 << 20  # bytes of messages outside chunks that are put in order together
FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}
FORMATS["omgidl"] = MessageDefinitionFormat.IDL


@dataclass
class _Block:
    """Name a stretch of the file with messages: the content of a chunk, or records outside chunks."""

    offset: int
    size: int
    is_chunk: bool
    start: int = 2**63 - 1  # ns
    end: int = 0
    channels: Collection[int] = ()  # empty: unknown


class McapFile:
    """Hold an open file; `lost` says what cannot be read of one that was cut off."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ValueError: it is closed, and damaged inside; the message has the line that mends it.
        """
        self.path, self.size, self.lost = path, path.stat().st_size, ""
        self._stream = path.open("rb")
        try:
            self.is_closed = self.size > FOOTER_SIZE and self._read(self.size - len(MAGIC), len(MAGIC)) == MAGIC
            if not (self.is_closed and self._take_summary()):
                self._scan()
        except BaseException:
            self._stream.close()
            raise

    @cached_property
    def connections(self) -> list[Connection]:
        """Return the channels, with the number of their messages."""
        return [self._connection(identifier) for identifier in self._channels]

    @property
    def span(self) -> tuple[int, int]:
        """Return the stamps (ns) of the first and last message; where there is none, the first is the later one."""
        blocks = [block for block in self._blocks if block.start <= block.end]
        return min((b.start for b in blocks), default=2**63 - 1), max((b.end for b in blocks), default=0)

    def messages(self, channels: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
        """Yield channel, stamp (ns) and data of the messages on `channels`, in the order of their stamps.

        Raises:
            ValueError: the file is damaged; the message has the line that mends it.
        """
        wanted = set(channels)
        blocks = [block for block in self._blocks if not block.channels or wanted.intersection(block.channels)]
        for stamp, channel, data in heapq.merge(*(self._of(block, wanted) for block in blocks), key=itemgetter(0)):
            if channel >= 0:
                yield channel, stamp, data

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _of(self, block: _Block, wanted: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
        """Yield stamp, channel and data; first a stamp alone, so that the block is read when its time has come."""
        yield block.start, -1, b""
        found = []
        for kind, content in _records(self._content(block)):
            if kind == MESSAGE:
                channel, _, stamp = struct.unpack_from("<HIQ", content)
                if channel in wanted:
                    found.append((stamp, channel, content[22:]))
        yield from sorted(found, key=itemgetter(0))

    def _content(self, block: _Block) -> bytes:
        content = self._read(block.offset, block.size)
        try:
            return _unpacked(content) if block.is_chunk else content
        except Exception as error:  # whatever the decompressor says of damaged data
            mended = self.path.with_name(f"{self.path.stem}_mended.mcap")
            saving = f"mcap recover {shlex.quote(str(self.path))} -o {shlex.quote(str(mended))}"
            raise ValueError(f"{error}; this saves what is whole: {saving}") from error

    def _read(self, offset: int, size: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(size)

    def _forget(self) -> None:
        self._schemas: dict[int, tuple[str, str, bytes]] = {}  # name, encoding, definition
        self._channels: dict[int, tuple[int, str, str, bytes]] = {}  # schema, topic, encoding, metadata
        self._counts: Counter[int] = Counter()
        self._blocks: list[_Block] = []

    def _take_summary(self) -> bool:
        """Take what the end of the file tells; return whether that is all that is needed."""
        self._forget()
        (begin,) = struct.unpack_from("<Q", self._read(self.size - FOOTER_SIZE + HEAD, 8))
        if not len(MAGIC) < begin < self.size:
            return False
        told = chunks = 0
        for kind, content in _records(self._read(begin, self.size - FOOTER_SIZE - begin)):
            if kind == CHUNK_INDEX:
                start, end, offset, length, indexed = struct.unpack_from("<QQQQI", content)
                channels = [channel for channel, _ in struct.iter_unpack("<HQ", content[36 : 36 + indexed])]
                self._blocks.append(_Block(offset + HEAD, length - HEAD, True, start, end, channels))
            elif kind == STATISTICS:
                told, _, _, _, _, chunks = struct.unpack_from("<QHIIII", content)
                self._counts.update(dict(struct.iter_unpack("<HQ", content[46:])))
            else:
                self._define(kind, content)
        counted = {channel for channel, count in self._counts.items() if count}
        return 0 < told == self._counts.total() and chunks == len(self._blocks) > 0 and counted <= self._channels.keys()

    def _scan(self) -> None:
        """Go through all records, of a file that was cut off as far as they are whole."""
        self._forget()
        at, written = len(MAGIC), self.size if self.is_closed else self._written()
        while len(head := self._read(at, HEAD)) == HEAD and head[0] not in (0, DATA_END, FOOTER):
            kind, size = struct.unpack("<BQ", head)
            end = at + HEAD + size
            if end > (written if kind == MESSAGE else self.size) or not self._take(kind, at, size):
                break
            at = end
        if not self.is_closed:
            self.lost = f"of {self.size} bytes the first {at} can be read"

    def _written(self) -> int:
        """Return where the zeros begin that a power cut can leave at the end; the size where there are few."""
        at = self.size
        while at > 0 and not (block := self._read(max(at - RUN, 0), min(at, RUN)).rstrip(b"\0")):
            at = max(at - RUN, 0)
        begin = max(at - RUN, 0) + len(block) if at > 0 else 0
        return begin if self.size - begin > HEAD else self.size

    def _take(self, kind: int, at: int, size: int) -> bool:
        """Take a record; return whether it is whole: a power cut can leave zeros inside the last chunk."""
        if kind == MESSAGE:
            run = self._blocks[-1] if self._blocks else None
            if run is None or run.is_chunk or run.offset + run.size != at or run.size > RUN:
                self._blocks.append(run := _Block(at, 0, False, channels=set()))
            run.size += HEAD + size
            self._count(run, self._read(at + HEAD, 22))
        elif kind == CHUNK:
            block = _Block(at + HEAD, size, True, channels=set())
            try:
                records = list(_records(self._content(block)))
            except (ValueError, struct.error):
                if self.is_closed:
                    raise
                return False
            self._blocks.append(block)
            for inner, content in records:
                if inner == MESSAGE:
                    self._count(block, content)
                else:
                    self._define(inner, content)
        elif kind in (SCHEMA, CHANNEL):
            self._define(kind, self._read(at + HEAD, size))
        return True

    def _count(self, block: _Block, content: bytes) -> None:
        channel, _, stamp = struct.unpack_from("<HIQ", content)
        block.start, block.end = min(block.start, stamp), max(block.end, stamp)
        block.channels.add(channel)
        self._counts[channel] += 1

    def _define(self, kind: int, content: bytes) -> None:
        if kind == SCHEMA:
            (identifier,) = struct.unpack_from("<H", content)
            name, encoding, definition = _texts(content, 2)
            self._schemas[identifier] = name.decode(), encoding.decode(), definition
        elif kind == CHANNEL:
            identifier, schema = struct.unpack_from("<HH", content)
            topic, encoding, metadata = _texts(content, 4)
            self._channels[identifier] = schema, topic.decode(), encoding.decode(), metadata

    def _connection(self, identifier: int) -> Connection:
        schema, topic, encoding, metadata = self._channels[identifier]
        name, kind, text = self._schemas.get(schema, ("", "", b""))
        package, _, rest = name.partition("/")
        name = f"{package}/msg/{rest}" if rest and "/" not in rest else name  # as ROS 1 and some writers have it
        known = FORMATS.get(kind, MessageDefinitionFormat.NONE) if text else MessageDefinitionFormat.NONE
        definition = MessageDefinition(known, text.decode(errors="replace"))
        extra = ConnectionExtRosbag2(encoding, _qos(metadata))
        return Connection(identifier, topic, name, definition, "", self._counts[identifier], extra, self)


@lru_cache(maxsize=64)  # it is YAML, parsed slowly, and the same in every bag of a folder
def _qos(metadata: bytes) -> list[Qos]:
    return get_qos(metadata)


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of records that follow each other."""
    at = 0
    while at + HEAD <= len(data):
        kind, size = struct.unpack_from("<BQ", data, at)
        yield kind, data[at + HEAD : at + HEAD + size]
        at += HEAD + size


def _unpacked(chunk: bytes) -> bytes:
    """Return the records in a chunk."""
    size, checksum, letters = struct.unpack_from("<QII", chunk, 16)
    return decompress(chunk[40 + letters :], chunk[32 : 32 + letters].decode(), size, checksum)


def _texts(content: bytes, at: int) -> list[bytes]:
    """Return three strings, each behind its length, from byte `at` on."""
    found = []
    for _ in range(3):
        (length,) = struct.unpack_from("<I", content, at)
        found.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return found
