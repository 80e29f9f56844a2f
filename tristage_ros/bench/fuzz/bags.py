"""Bags: files of MCAP and sqlite3, their metadata, and the facts of a run in them."""

from __future__ import annotations

import json
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from rosbags.rosbag2 import StoragePlugin, Writer

from tristage_ros.bags import facts
from tristage_ros.bags.changes import changes_of
from tristage_ros.bags.images import compress
from tristage_ros.bags.messages import IMAGE, new_message, typestore
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.bench.fuzz.images import COLOR, DEPTH
from tristage_ros.bench.fuzz.judge import Kind
from tristage_ros.bench.fuzz.mutations import SCALARS, SIZES, TEXTS, mangled, spoiled_json, spoiled_yaml, written_to

MAGIC = b"\x89MCAP0\r\n"
FACTS = {
    "parameters": {"policy": {"pruner.tau_2d": 0.1, "control": "frame"}}, "files": {"policy.pruning": "tau_2d: 0.1\n"},
    "versions": {"numpy": "1"}, "machine": {}, "checkpoint": {},
}  # fmt: skip


def kinds(folder: Path) -> dict[str, Kind]:
    """Return the kinds by name; their files are in `folder`."""
    mcap, sqlite = _write(folder / "mcap", StoragePlugin.MCAP), _write(folder / "sqlite", StoragePlugin.SQLITE3)
    metadata = sqlite.with_name("metadata.yaml")
    tree = yaml.safe_load(metadata.read_text(encoding="utf-8"))
    alone = folder / "input.mcap"
    database = folder / "db3"
    shutil.copytree(sqlite.parent, database)
    return {
        "mcap": Kind(_mcap(mcap.read_bytes()), written_to(alone, lambda: _look(alone)), (ValueError,)),
        "sqlite3": Kind(
            _sqlite(sqlite.read_bytes(), folder / "made.db3"),
            written_to(database / sqlite.name, lambda: _look(database)),
            (ValueError,),
        ),
        "metadata": Kind(spoiled_yaml(tree), written_to(metadata, lambda: _look(sqlite.parent)), (ValueError,)),
        "facts": Kind(spoiled_json(FACTS), _facts, (ValueError,)),
    }


def _look(path: Path) -> None:
    """Read all of a bag, and what it knows of its run; a message that cannot be decoded is an error of its own."""
    with BagReader(path) as bag:
        _ = bag.topics
        for message in bag.messages():
            try:
                _ = message.value, message.serialized
            except BagError as error:
                assert str(error).isprintable(), str(error)
        facts.read_facts(bag)
        changes_of(bag.messages(facts.TOPIC))


def _facts(data: bytes) -> None:
    known = facts.Facts.parsed(data.decode("utf-8", "replace"))
    _ = known.pruning, facts.differences(known, facts.Facts(**FACTS)), known.dumped()


def _write(folder: Path, plugin: StoragePlugin) -> Path:
    """Write a bag with a colour image, a depth image and the facts of a run, and return its file."""
    with Writer(folder, version=9, storage_plugin=plugin) as bag:
        for number, (topic, message) in enumerate(_messages()):
            kind = message.__msgtype__
            connection = bag.add_connection(topic, kind, typestore=typestore())
            bag.write(connection, 10**9 + number, typestore().serialize_cdr(message, kind))
    return next(file for file in folder.iterdir() if file.suffix in (".mcap", ".db3"))


def _messages() -> Iterator[tuple[str, object]]:
    for name, encoding, pixels in (("color", "rgb8", COLOR), ("depth", "16UC1", DEPTH)):
        sizes = {"height": 12, "width": 16, "step": pixels.nbytes // 12, "encoding": encoding}
        image = new_message(IMAGE, data=pixels.reshape(-1).view("u1"), **sizes)
        suffix, small = compress(image) or ("", image)
        yield f"/front/{name}{suffix}", small
    yield facts.TOPIC, new_message(facts.TYPE, data=json.dumps(FACTS))


@st.composite
def _mcap(draw: DrawFn, whole: bytes) -> bytes:
    """Return an MCAP file near `whole`: bytes of it, or records without checksums, some of them spoiled."""
    if draw(st.booleans()):
        return draw(mangled([whole]))
    records = [draw(_record(code, content)) for code, content in _records(whole)]
    order = draw(st.one_of(st.just(records), st.permutations(records), st.lists(st.sampled_from(records), max_size=12)))
    return MAGIC + b"".join(order) + draw(st.sampled_from((MAGIC, MAGIC, b"")))


@st.composite
def _record(draw: DrawFn, code: int, content: bytes) -> bytes:
    if draw(st.integers(0, 3)) == 0:
        content = draw(mangled([content]))
    length = len(content) if draw(st.integers(0, 9)) else draw(st.sampled_from(SIZES)) % 2**64
    return struct.pack("<BQ", code if draw(st.integers(0, 19)) else draw(st.integers(0, 255)), length) + content


def _records(whole: bytes) -> list[tuple[int, bytes]]:
    """Return the records of a file, those in chunks taken out of them where nothing is compressed."""
    found, at = [], len(MAGIC)
    while at + 9 < len(whole) - len(MAGIC):
        code, length = struct.unpack_from("<BQ", whole, at)
        content = whole[at + 9 : at + 9 + length]
        if code == 6:  # a chunk: its checksum becomes 0, which says that there is none
            content = content[:24] + bytes(4) + content[28:]
        found.append((code, content))
        at += 9 + length
    return found


@st.composite
def _sqlite(draw: DrawFn, whole: bytes, made: Path) -> bytes:
    """Return a database near `whole`: bytes of it, or rows and tables that are spoiled."""
    if draw(st.booleans()):
        return draw(mangled([whole]))
    made.write_bytes(whole)
    value = st.one_of(SCALARS.filter(lambda v: not isinstance(v, int) or abs(v) < 2**63), st.binary(max_size=40))
    changes = st.sampled_from((
        "UPDATE topics SET type = ? WHERE id = 1", "UPDATE topics SET name = ?", "UPDATE messages SET data = ?",
        "UPDATE messages SET timestamp = ? WHERE id = 1", "UPDATE messages SET topic_id = ?", "DELETE FROM topics",
        "UPDATE topics SET serialization_format = ?", "UPDATE topics SET offered_qos_profiles = ?", "DROP TABLE topics",
        "DROP TABLE messages", "UPDATE message_definitions SET encoded_message_definition = ?", "DELETE FROM messages",
        "UPDATE message_definitions SET encoding = ?", "UPDATE topics SET type_description_hash = ?",
        "UPDATE schema SET schema_version = ?", "DROP TABLE message_definitions", "ALTER TABLE topics RENAME TO other",
    ))  # fmt: skip
    with closing(sqlite3.connect(made)) as database:
        for change in draw(st.lists(changes, min_size=1, max_size=2)):
            try:
                database.execute(change, [draw(st.one_of(value, TEXTS))] * change.count("?"))
            except (sqlite3.Error, OverflowError, UnicodeError):
                continue  # no such database can be made
        database.commit()
    return made.read_bytes()
