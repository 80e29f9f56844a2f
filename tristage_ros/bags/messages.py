"""The message types that bags hold, known without a ROS installation."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Connection, MessageDefinition, MessageDefinitionFormat, Nodetype
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAN_FRAME = "can_msgs/msg/Frame"  # of ros_canopen, which need not be installed: its fields as they are published
_CAN_FRAME_FIELDS = """std_msgs/Header header
uint32 id
bool is_rtr
bool is_extended
bool is_error
uint8 dlc
uint8[8] data
"""
NUMBERS = {
    "bool": np.bool_,
    "byte": np.uint8,
    "octet": np.uint8,
    "char": np.uint8,
    "float32": np.float32,
    "float64": np.float64,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
}


@functools.cache
def typestore() -> Typestore:
    """Return the types of ROS 2 Kilted with those of tristage_msgs and CAN frames added; the same object every time.

    Raises:
        FileNotFoundError: the definitions of tristage_msgs are not installed.
    """
    store = get_typestore(Stores.ROS2_KILTED)
    store.register(get_types_from_msg(_CAN_FRAME_FIELDS, CAN_FRAME))
    for path in sorted(definitions().glob("*.msg")):
        store.register(get_types_from_msg(path.read_text(encoding="utf-8"), f"tristage_msgs/msg/{path.stem}"))
    return store


def types_of(connections: Iterable[Connection]) -> Typestore:
    """Return the types of a bag: those that it defines itself, and for what it does not define the installed ones.

    A bag that brings its definitions can be read although they have changed since. One that cannot be parsed is left
    out.
    """
    return _types_of(tuple((connection.msgtype, connection.msgdef) for connection in connections))


@functools.lru_cache(maxsize=8)  # the bags of a folder have the same
def _types_of(definitions: tuple[tuple[str, MessageDefinition], ...]) -> Typestore:
    store = get_typestore(Stores.ROS2_KILTED)
    for name, definition in definitions:
        with suppress(Exception):  # the parser and the compiler have errors of their own
            store.register(_unknown(store, _defined(name, definition)))
    store.register(_unknown(store, typestore().fielddefs))
    return store


def _defined(name: str, definition: MessageDefinition) -> Mapping[str, Any]:
    kind, text = definition
    if kind == MessageDefinitionFormat.NONE:
        return {}
    return get_types_from_idl(text) if kind == MessageDefinitionFormat.IDL else get_types_from_msg(text, name)


def _unknown(store: Typestore, types: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields for name, fields in types.items() if name not in store.fielddefs}


def new_message(type_name: str, **fields: Any) -> Any:
    """Return a message with the given fields, the others zero, empty or False as ROS 2 leaves them.

    Raises:
        KeyError: the type is unknown.
        TypeError: it has no field of a given name.
    """
    blank = {name: _blank(kind) for name, kind in typestore().fielddefs[type_name][1] if name not in fields}
    return typestore().types[type_name](**blank, **fields)


def _blank(kind: Any) -> Any:
    node, content = kind
    if node == Nodetype.BASE:
        return "" if content[0] == "string" else np.zeros(1, NUMBERS[content[0]])[0].item()
    if node == Nodetype.NAME:
        return new_message(content)
    element, length = content
    length = length if node == Nodetype.ARRAY else 0
    if element[0] == Nodetype.BASE and element[1][0] in NUMBERS:
        return np.zeros(length, NUMBERS[element[1][0]])
    return [_blank(element) for _ in range(length)]


def as_current(value: Any) -> Any:
    """Return a message of an older or newer definition as a message of today's: what has no place is left out.

    Fields that the definition of today has and the message lacks are zero, empty or False.
    """
    kind = value.__msgtype__
    fields = {}
    for name, (node, _) in typestore().fielddefs[kind][1]:
        if hasattr(value, name):
            part = getattr(value, name)
            fields[name] = as_current(part) if node == Nodetype.NAME else part
    return new_message(kind, **fields)


def definitions() -> Path:
    """Return the folder of the .msg files of tristage_msgs: those it was installed with, or the checkout's.

    Publishers send what was installed; a bag has to say the same.

    Raises:
        FileNotFoundError: there is none.
    """
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    folders = [Path(prefix, "share", "tristage_msgs", "msg") for prefix in prefixes if prefix]
    folders.append(Path(__file__).resolve().parents[2] / "msg")
    for folder in folders:
        if any(folder.glob("*.msg")):
            return folder
    looked = ", ".join(map(str, folders))
    raise FileNotFoundError(f"no definitions of tristage_msgs in {looked}; build that package and source it")
