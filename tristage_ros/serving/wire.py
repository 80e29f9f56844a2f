"""What goes over the wire: msgpack, with numpy arrays as OpenPI's client packs them.

An array is a map of four entries, a numpy scalar one of three. Nothing is ever unpickled: only numbers have a kind.
What a message declares is checked before memory is taken for it, and what it is made of is counted while it is read.
"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from tristage_ros.words import one_line, shown

ARRAY, SCALAR = b"__ndarray__", b"__npgeneric__"
KINDS = frozenset(
    np.dtype(order + kind + size).str
    for order in "<>"
    for kind, sizes in (("b", "1"), ("i", "1248"), ("u", "1248"), ("f", "248"))
    for size in sizes
)
MOST_ENTRIES = 64  # of a list or a map
MOST_DIMENSIONS = 4  # of an array
MOST_VALUES = 4096  # in lists and maps, all together
MOST_TEXT = 1 << 14  # bytes


class WireError(ValueError):
    """Say in one line what is wrong with a message."""


def pack(message: object) -> bytes:
    """Return a message of plain values and numpy arrays as bytes; raise TypeError for what has no form there."""
    packed: bytes = msgpack.packb(message, default=_form)
    return packed


def unpack(data: bytes) -> dict[str, Any]:
    """Return the entries of a message; its arrays are views of `data`'s copy, and cannot be written.

    Raises:
        WireError: it is no msgpack, no map, has arrays of objects or such whose size is not that of their data, or is
            made of more parts than any observation.
    """
    count = _Count()
    try:
        message = msgpack.unpackb(
            data,
            object_hook=count.map,
            list_hook=count.list,
            max_array_len=MOST_ENTRIES,
            max_map_len=MOST_ENTRIES,
            max_str_len=MOST_TEXT,
            max_ext_len=0,
        )
    except WireError:
        raise
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as error:
        told = f"{type(error).__name__} {one_line(error)}".strip()
        raise WireError(f"not a message in msgpack: {told}") from None
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise WireError(f"a message is a map of names to values, not {shown(message)}")
    return message


def _form(value: object) -> object:
    if isinstance(value, np.ndarray) and value.dtype.str in KINDS:
        return {ARRAY: True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic) and value.dtype.str in KINDS:
        return {SCALAR: True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"{shown(value)} has no form in a message")


class _Count:
    """Turn maps into what they stand for, and refuse a message whose values become too many."""

    def __init__(self) -> None:
        self._values = 0

    def list(self, entries: list[Any]) -> list[Any]:
        self._add(len(entries))
        return entries

    def map(self, entries: dict[Any, Any]) -> object:
        self._add(len(entries))
        if ARRAY in entries:
            return _array(entries)
        return _scalar(entries) if SCALAR in entries else entries

    def _add(self, entries: int) -> None:
        self._values += 1 + entries
        if self._values > MOST_VALUES:
            raise WireError(f"the message has more than {MOST_VALUES} values beside its arrays")


def _array(entries: dict[Any, Any]) -> NDArray[Any]:
    data: Any = entries.get(b"data")
    shape: Any = entries.get(b"shape")
    kind = _kind(entries)
    if not isinstance(data, bytes):
        raise WireError(f"the data of an array are bytes, not {shown(data)}")
    whole = isinstance(shape, list) and len(shape) <= MOST_DIMENSIONS
    if not whole or not all(type(size) is int and size > 0 for size in shape):
        raise WireError(f"the shape of an array is {shown(shape)}; it is up to {MOST_DIMENSIONS} sizes of 1 or more")
    if (needed := math.prod(shape) * kind.itemsize) != len(data):
        raise WireError(f"an array of {kind.str} {shape} takes {needed} bytes, and {len(data)} came")
    array: NDArray[Any] = np.frombuffer(data, kind).reshape(shape)
    return array


def _scalar(entries: dict[Any, Any]) -> object:
    value: Any = entries.get(b"data")
    kind = _kind(entries)
    fits = isinstance(value, bool) if kind.kind == "b" else type(value) in (int, float) and abs(value) < 1 << 62
    if not fits and not (type(value) is float and kind.kind == "f"):  # NaN and infinity
        raise WireError(f"{shown(value)} is no {kind.str}")
    return value


def _kind(entries: dict[Any, Any]) -> np.dtype[Any]:
    name = entries.get(b"dtype")
    if not isinstance(name, str) or name not in KINDS:
        raise WireError(f"arrays hold numbers, and objects never: no dtype {shown(name)} is taken")
    return np.dtype(name)
