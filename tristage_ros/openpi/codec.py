"""The messages of OpenPI's protocol as bytes: msgpack, in which an array is a map of its bytes, dtype and shape.

The layout is that of `msgpack_numpy` of openpi-client 0.1.2. That package itself asks for numpy below 2 and dm-tree,
and its client waits for ever, for messages of any size; so the little that it takes is here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.words import one_line, shown

ARRAY, DATA, DTYPE, SHAPE, SCALAR = b"__ndarray__", b"data", b"dtype", b"shape", b"__npgeneric__"
KINDS = "biuf"  # bool, integers, floats: the kinds of numpy that are bytes and nothing else
LARGEST = 64 << 20  # bytes of a message


class CodecError(ValueError):
    """Say why something is no message; one line for a person."""


def packed(value: Any) -> bytes:
    """Return a message of maps, lists, texts, numbers and numpy arrays.

    Raises:
        CodecError: something in it cannot be sent.
    """
    import msgpack

    try:
        return bytes(msgpack.packb(value, default=_as_map))
    except (TypeError, ValueError, OverflowError) as error:
        raise CodecError(f"cannot be sent: {one_line(error)}") from error


def unpacked(data: bytes) -> Any:
    """Return what a message holds; its arrays can be written to.

    Raises:
        CodecError: it is damaged, or an array in it is none.
    """
    import msgpack

    if len(data) > LARGEST:
        raise CodecError(f"a message of {len(data) >> 20} MB; {LARGEST >> 20} MB is the most")
    try:
        return msgpack.unpackb(data, object_hook=_as_array)
    except CodecError:
        raise
    except Exception as error:  # msgpack has a dozen of its own, and lets those of Python pass
        words = one_line(error) or type(error).__name__
        raise CodecError(f"{len(data)} bytes that are no msgpack: {words}") from error


def _as_map(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in KINDS + "SU":
        raise TypeError(f"an array of {value.dtype}")
    if isinstance(value, np.ndarray):
        return {ARRAY: True, DATA: value.tobytes(), DTYPE: value.dtype.str, SHAPE: value.shape}
    if isinstance(value, np.generic):
        return {SCALAR: True, DATA: value.item(), DTYPE: value.dtype.str}
    raise TypeError(f"a {type(value).__name__}")


def _as_array(told: dict[Any, Any]) -> Any:
    if ARRAY in told:
        return _array(told)
    if SCALAR in told:
        try:
            return _dtype(told.get(DTYPE)).type(told.get(DATA))
        except (TypeError, ValueError, OverflowError) as error:
            raise CodecError(f"a number that is none: {one_line(error)}") from error
    return told


def _array(told: dict[Any, Any]) -> NDArray[Any]:
    dtype, shape, data = _dtype(told.get(DTYPE)), told.get(SHAPE), told.get(DATA)
    if not isinstance(shape, (list, tuple)) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 32:
        raise CodecError(f"an array of shape {shown(shape)}")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        size = f"{len(data)} bytes" if isinstance(data, bytes) else shown(data)
        raise CodecError(f"an array of {dtype} and shape {shown(tuple(shape))} has {size}")
    array: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape).copy()
    return array


def _dtype(name: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(name.decode() if isinstance(name, bytes) else name)
    except (TypeError, ValueError, SyntaxError) as error:
        raise CodecError(f"an array of dtype {shown(name)}") from error
    if not isinstance(name, (str, bytes)) or dtype.kind not in KINDS + "SU" or not dtype.itemsize:
        raise CodecError(f"an array of dtype {shown(name)}; bool, integers, floats and texts are read")
    return dtype
