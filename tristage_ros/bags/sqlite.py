"""Read sqlite3 files of rosbag2, of every layout since Foxy, closed or left behind by a recorder that was killed.

rosbags reads closed ones. It passes over what a killed recorder left in the write-ahead log, and refuses a file in which
one definition is of a kind that it does not know.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2.metadata import parse_qos

MAGIC = b"SQLite format 3\0"
BESIDE = ("-wal", "-journal")  # where a transaction is that was not finished
FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}


class SqliteFile:
    """Hold an open file."""

    def __init__(self, path: Path, scratch: Path) -> None:
        """Open the file; where a transaction lies beside it, a copy in the folder `scratch`: nothing is changed.

        Raises:
            ValueError: it is damaged; the message has the line that mends it.
        """
        self.path = path
        if any(Path(f"{path}{end}").exists() for end in BESIDE):
            source = _finished(path, scratch)
        else:
            source = path
        self._database = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            self.connections, self.span = self._topics()
        except sqlite3.Error as error:
            self.close()
            raise ValueError(self._damage(error)) from error
        except BaseException:
            self.close()
            raise

    def messages(self, topics: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
        """Yield topic, stamp (ns) and data of the messages on `topics`, in the order of their stamps.

        Raises:
            ValueError: the file is damaged.
        """
        marks = ", ".join("?" * len(topics))
        asked = f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp, id"
        try:
            yield from self._database.execute(asked, tuple(topics))
        except sqlite3.Error as error:
            raise ValueError(self._damage(error)) from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _damage(self, error: sqlite3.Error) -> str:
        mended = self.path.with_name(f"{self.path.stem}_mended.db3")
        return f"{error}; what is whole of it: sqlite3 {self.path} .recover | sqlite3 {mended}"

    def _topics(self) -> tuple[list[Connection], tuple[int, int]]:
        tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"topics", "messages"} <= tables:
            raise ValueError(f"{self.path.name} has no tables of rosbag2")
        definitions = {}
        if "message_definitions" in tables:
            asked = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            definitions = {kind: (encoding, text) for kind, encoding, text in self._database.execute(asked)}
        asked = "SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM messages GROUP BY topic_id"
        counted = {topic: row for topic, *row in self._database.execute(asked)}
        rows = self._database.execute("SELECT * FROM topics ORDER BY id")
        columns = [column for column, *_ in rows.description]
        connections = [_connection(dict(zip(columns, row, strict=True)), definitions, counted, self) for row in rows]
        span = min((row[1] for row in counted.values()), default=2**63 - 1), max((r[2] for r in counted.values()), default=0)
        return connections, span


def _connection(
    topic: dict[str, object], definitions: dict[str, tuple[str, str]], counted: dict[int, list[int]], owner: object
) -> Connection:
    encoding, text = definitions.get(topic["type"], ("", ""))
    known = FORMATS.get(encoding, MessageDefinitionFormat.NONE) if text else MessageDefinitionFormat.NONE
    profiles = parse_qos(topic.get("offered_qos_profiles", ""))
    return Connection(
        topic["id"], topic["name"], topic["type"], MessageDefinition(known, text),
        topic.get("type_description_hash", ""), counted.get(topic["id"], [0])[0],
        ConnectionExtRosbag2(topic["serialization_format"], profiles), owner,
    )  # fmt: skip


def _finished(path: Path, scratch: Path) -> Path:
    """Return a copy of a database in which what lay beside it is carried out, or undone where it cannot be."""
    copy = scratch / path.name
    shutil.copyfile(path, copy)
    for end in BESIDE:
        if (beside := Path(f"{path}{end}")).exists():
            shutil.copyfile(beside, f"{copy}{end}")
    database = sqlite3.connect(copy)
    try:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        database.close()
    return copy
