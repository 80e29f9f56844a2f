"""Bags as other recorders write them, and as they leave them behind, made of stored messages."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path

from damage import Stored
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import Channel, Schema, write_channel, write_record, write_schema

from tristage_ros.bags.messages import typestore

MAGIC = b"\x89MCAP0\r\n"
NO_SUMMARY = struct.pack("<BQI", 15, 4, 0) + struct.pack("<BQQQI", 2, 20, 0, 0, 0) + MAGIC
JSON = ("/web", "foxglove.Log", "jsonschema", "json", b'{"message": "hello"}')


def connected(bag: Writer, messages: Iterable[Stored]) -> dict[str, Connection]:
    """Add the topics of `messages` to a bag."""
    first = {m.topic: m for m in reversed(list(messages))}
    return {topic: bag.add_connection(topic, m.kind, typestore=typestore()) for topic, m in first.items()}


def rosbag2(path: Path, messages: Sequence[Stored], plugin: StoragePlugin, mode: CompressionMode) -> Path:
    """Write a closed bag, compressed by the file, by the message, by the chunk or not at all."""
    bag = Writer(path, version=9, storage_plugin=plugin)
    if mode != CompressionMode.NONE:
        bag.set_compression(mode, CompressionFormat.ZSTD)
    with bag:
        topics = connected(bag, messages)
        for m in messages:
            bag.write(topics[m.topic], m.stamp, m.data)
    return path


def humble(path: Path, messages: Sequence[Stored], write: Callable[[sqlite3.Connection], None] | None = None) -> Path:
    """Write what Humble writes by default: sqlite3 without definitions; here without metadata.yaml, too."""
    path.mkdir()
    database = sqlite3.connect(path / f"{path.name}_0.db3")
    database.executescript(
        """
        CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
        CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
            serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
        CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, data BLOB);
        CREATE INDEX timestamp_idx ON messages (timestamp ASC);
        INSERT INTO schema VALUES (3, 'humble');
        """
    )
    numbers = {topic: number for number, topic in enumerate(dict.fromkeys(m.topic for m in messages), 1)}
    kinds = {m.topic: m.kind for m in messages}
    for topic, number in numbers.items():
        database.execute("INSERT INTO topics VALUES (?, ?, ?, 'cdr', '')", (number, topic, kinds[topic]))
    rows = [(numbers[m.topic], m.stamp, m.data) for m in messages]
    database.commit()
    if write:
        write(database)
    database.executemany("INSERT INTO messages(topic_id, timestamp, data) VALUES (?, ?, ?)", rows)
    database.commit()
    if not write:
        database.close()
    return path


def fastwrite(path: Path, messages: Sequence[Stored], profile: str = "ros2", foreign: Sequence[tuple] = ()) -> Path:
    """Write an MCAP file without chunks and without an index, with messages of other encodings first."""
    schemas: list[Schema] = []
    channels: dict[str, int] = {}
    with path.open("wb") as stream:
        stream.write(MAGIC)
        write_record(stream, 1, _counted(profile, "another writer"))

        def define(topic: str, kind: str, text: str, schema: str, encoding: str) -> None:
            if topic not in channels:
                channels[topic] = len(channels) + 1
                schemas.append(Schema(channels[topic], kind, schema, text))
                write_schema(stream, schemas[-1])
                write_channel(stream, Channel(channels[topic], kind, topic, encoding, b""), schemas)

        def put(topic: str, stamp: int, data: bytes) -> None:
            write_record(stream, 5, _at_end(struct.pack("<HIQQ", channels[topic], 0, stamp, stamp) + data))

        for topic, kind, schema, encoding, data in foreign:
            define(topic, kind, "{}", schema, encoding)
            put(topic, messages[0].stamp, data)
        for m in messages:
            text, _ = typestore().generate_msgdef(m.kind, ros_version=2)
            define(m.topic, m.kind, text, "ros2msg", "cdr")
            put(m.topic, m.stamp, m.data)
        stream.write(NO_SUMMARY)
    return path


def without_message_index(path: Path) -> None:
    """Take the message index out of a closed MCAP file of rosbags, as writers do that are told to."""
    content = path.read_bytes()
    (begin,) = struct.unpack_from("<Q", content, len(content) - 28)
    kept, at = bytearray(content[:begin]), begin
    while content[at] != 2:
        kind, size = struct.unpack_from("<BQ", content, at)
        body = content[at + 9 : at + 9 + size]
        if kind == 8:
            (indexed,) = struct.unpack_from("<I", body, 32)
            body = body[:32] + struct.pack("<I", 0) + body[36 + indexed :]
        if kind != 14:  # offsets into the summary, which no longer hold
            kept += struct.pack("<BQ", kind, len(body)) + body
        at += 9 + size
    path.write_bytes(bytes(kept) + struct.pack("<BQQQI", 2, 20, begin, 0, 0) + MAGIC)


def _counted(*texts: str) -> BytesIO:
    return _at_end(b"".join(struct.pack("<I", len(text)) + text.encode() for text in texts))


def _at_end(content: bytes) -> BytesIO:
    record = BytesIO()
    record.write(content)
    return record
