"""Read sqlite3 files of rosbag2, of every layout since Foxy, closed or left behind by a recorder that was killed.

rosbags reads closed ones. It passes over what is in the write-ahead log, and refuses a file that was cut off, and one
with a definition of a kind that it does not know, as Jazzy writes for a type that it did not find.
"""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2.metadata import parse_qos

from tristage_ros.words import shown

MAGIC = b"SQLite format 3\0"
BESIDE = ("-wal", "-journal")  # where a transaction is that was not finished
FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}


class SqliteFile:
    """Hold an open file; `lost` says what is missing of one that was cut off."""

    def __init__(self, path: Path, scratch: Path) -> None:
        """Open the file; where a transaction lies beside it, a copy in the folder `scratch`: nothing is changed.

        Raises:
            ValueError: it is damaged inside; the message has the line that mends it.
        """
        self.path = path
        source = _finished(path, scratch) if any(Path(f"{path}{end}").exists() for end in BESIDE) else path
        self._database = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            # Without it nothing is told of a file that is shorter than it says of itself.
            self._database.execute("PRAGMA writable_schema = ON")
            self.lost, self._there = self._break(source)
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
        chosen = f"topic_id IN ({', '.join('?' * len(topics))})"
        asked = f"SELECT topic_id, timestamp, data FROM {self._there} AND {chosen} ORDER BY timestamp, id"
        try:
            yield from self._database.execute(asked, tuple(topics))
        except sqlite3.Error as error:
            raise ValueError(self._damage(error)) from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _damage(self, error: sqlite3.Error) -> str:
        mended = self.path.with_name(f"{self.path.stem}_mended.db3")
        damaged, mended = shlex.quote(str(self.path)), shlex.quote(str(mended))
        # Not .recover: Debian's and Ubuntu's sqlite3 is built without what that needs.
        saving = f"sqlite3 {damaged} .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 {mended}"
        return f"{error}; this saves what is whole: {saving}"

    def _break(self, source: Path) -> tuple[str, str]:
        """Return what is lost, and where the messages are that are not; those of a whole file are all there."""
        size, told = source.stat().st_size, _told_size(source)
        if told <= size:
            return "", "messages WHERE true"
        whole = 0
        with suppress(sqlite3.Error):  # where the file ends
            for _ in self._database.execute("SELECT id, data FROM messages NOT INDEXED ORDER BY id"):
                whole += 1
        lost = f"of {told} bytes the first {size} are there"
        # A limit, for whoever looks for the row behind the last one is beyond the end.
        return lost, f"(SELECT * FROM messages NOT INDEXED ORDER BY id LIMIT {whole}) WHERE true"

    def _topics(self) -> tuple[list[Connection], tuple[int, int]]:
        tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"topics", "messages"} <= tables:
            raise ValueError(f"{self.path.name} has no tables of rosbag2")
        definitions = {}
        if "message_definitions" in tables:
            asked = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            definitions = {kind: (encoding, text) for kind, encoding, text in self._database.execute(asked)}
        asked = f"SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM {self._there} GROUP BY topic_id"
        counted = {topic: row for topic, *row in self._database.execute(asked)}
        rows = self._database.execute("SELECT * FROM topics ORDER BY id")
        columns = [column for column, *_ in rows.description]
        connections = [_connection(dict(zip(columns, row, strict=True)), definitions, counted, self) for row in rows]
        span = (
            min((row[1] for row in counted.values()), default=2**63 - 1),
            max((r[2] for r in counted.values()), default=0),
        )
        return connections, span


def _connection(
    topic: dict[str, object], definitions: dict[str, tuple[str, str]], counted: dict[int, list[int]], owner: object
) -> Connection:
    words = topic["name"], topic["type"], topic["serialization_format"]
    encoding, text = definitions.get(topic["type"], ("", ""))
    if not all(isinstance(word, str) for word in (*words, encoding, text)):
        raise ValueError(f"topic {shown(topic['id'])} is {shown(words)}, of which some is no text")
    known = FORMATS.get(encoding, MessageDefinitionFormat.NONE) if text else MessageDefinitionFormat.NONE
    profiles = parse_qos(topic.get("offered_qos_profiles", ""))
    return Connection(
        topic["id"], topic["name"], topic["type"], MessageDefinition(known, text),
        topic.get("type_description_hash", ""), counted.get(topic["id"], [0])[0],
        ConnectionExtRosbag2(topic["serialization_format"], profiles), owner,
    )  # fmt: skip


def _told_size(path: Path) -> int:
    """Return how many bytes a database says it has: its pages times their size."""
    with path.open("rb") as stream:
        head = stream.read(100)
    page, pages = struct.unpack(">16xH10xI68x", head)
    return (65536 if page == 1 else page) * pages


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
