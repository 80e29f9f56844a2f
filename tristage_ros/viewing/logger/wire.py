"""What goes from this package to the process that calls rerun-sdk: records through a pipe, one after the other.

Both ends read this file, each in its own environment, so it takes nothing but the standard library and numpy. A record
is its two lengths (u32 each, little-endian), JSON of the first length, and arrays of the second: in the order in which
the JSON names them, with their type and shape in the place of their values.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

_LENGTHS = struct.Struct("<II")
_ARRAY = "\0array"  # in front of the type and shape of one
LONGEST = 1 << 28  # bytes of a record


class WireError(ValueError):
    """Say that what came is no record."""


@dataclass(frozen=True)
class Record:
    """Say what is logged: an archetype of Rerun, by its name, made of plain values and arrays."""

    path: str  # of the entity
    archetype: str
    fields: Mapping[str, Any]  # arguments of the archetype
    time: int | None = None  # ns; None: at all times


def pack(record: Record) -> bytes:
    """Return a record as it goes through the pipe."""
    arrays: list[bytes] = []

    def described(value: Any) -> Any:
        if isinstance(value, bytes):
            value = np.frombuffer(value, np.uint8)
        if not isinstance(value, np.ndarray):
            return value
        arrays.append(np.ascontiguousarray(value).tobytes())
        return [_ARRAY, value.dtype.str, value.shape]

    fields = {name: described(value) for name, value in record.fields.items()}
    text = json.dumps([record.path, record.archetype, record.time, fields]).encode()
    data = b"".join(arrays)
    return _LENGTHS.pack(len(text), len(data)) + text + data


def records(stream: BinaryIO) -> Iterator[Record]:
    """Yield the records of a stream until it ends.

    Raises:
        WireError: it ends within a record, or holds something else.
    """
    while head := stream.read(_LENGTHS.size):
        if len(head) < _LENGTHS.size:
            raise WireError("the stream ends within the lengths of a record")
        text, data = _LENGTHS.unpack(head)
        if text + data > LONGEST:
            raise WireError(f"a record of {text + data} bytes, more than {LONGEST}")
        body = stream.read(text + data)
        if len(body) < text + data:
            raise WireError(f"the stream ends after {len(body)} of the {text + data} bytes of a record")
        try:
            yield _unpacked(body[:text], memoryview(body)[text:])
        except (TypeError, ValueError, KeyError) as error:
            raise WireError(f"what came is no record: {error}") from error


def _unpacked(text: bytes, data: memoryview) -> Record:
    path, archetype, time, fields = json.loads(text)
    begin = 0
    for name, value in fields.items():
        if isinstance(value, list) and value[:1] == [_ARRAY]:
            kind, shape = np.dtype(value[1]), tuple(value[2])
            count = int(np.prod(shape, dtype=np.int64))
            # A copy: Arrow ends the process where an array does not begin at a multiple of its element.
            fields[name] = np.frombuffer(data, kind, count, begin).reshape(shape).copy()
            begin += count * kind.itemsize
    return Record(path, archetype, fields, time)
