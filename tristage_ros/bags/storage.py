"""The files of one bag, read as one: which they are, whatever recorder wrote them and however that ended."""

from __future__ import annotations

import heapq
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2.storage_mcap import zstd

from tristage_ros.bags import mcap, sqlite
from tristage_ros.bags.mcap import McapFile
from tristage_ros.bags.sqlite import SqliteFile

ZSTD = b"\x28\xb5\x2f\xfd"  # begins what is compressed; CDR never begins so
SUFFIXES = {".mcap": "mcap", ".db3": "sqlite3"}
METADATA = "metadata.yaml"

File = McapFile | SqliteFile


class Storage:
    """Hold the open files of a bag. `breaks` says what of it is lost, `notes` what else a person should know."""

    def __init__(self, path: Path, resources: ExitStack) -> None:
        """Open the bag; `resources` close it.

        Raises:
            OSError, ValueError: there is none, or nothing of it can be read.
        """
        self.breaks: list[str] = []
        self.notes: list[str] = []
        self._resources = resources
        self._scratch = Path(resources.enter_context(TemporaryDirectory(prefix="tristage-")))
        paths = self._paths(path)
        self._files = [file for each in paths if (file := self._opened(each, len(paths) == 1))]
        if not self._files:
            raise ValueError("; ".join(self.breaks))
        self._sources: dict[tuple[str, str, str], list[Connection]] = {}
        for file in self._files:
            for source in file.connections:
                key = source.topic, source.msgtype, source.ext.serialization_format
                self._sources.setdefault(key, []).append(source)
        self.connections = [_merged(number, parts) for number, parts in enumerate(self._sources.values())]
        self._tell_breaks()

    @property
    def start(self) -> int:
        """Return the stamp of the first message, ns."""
        return min(file.span[0] for file in self._files)

    def messages(self, connections: list[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield the messages of `connections` in the order of their stamps, with these (ns), unpacked.

        Raises:
            Exception: the file is damaged; which one depends on where.
        """
        sources = list(self._sources.values())
        whole = {(id(part.owner), part.id): c for c in connections for part in sources[c.id]}

        def of(file: File) -> Iterator[tuple[int, Connection, bytes]]:
            wanted = [part.id for part in file.connections if (id(file), part.id) in whole]
            for source, stamp, data in file.messages(wanted) if wanted else ():
                yield stamp, whole[id(file), source], data

        for stamp, connection, data in heapq.merge(*map(of, self._files), key=itemgetter(0)):
            yield connection, stamp, zstd.decompress(data) if data[:4] == ZSTD else data

    def _paths(self, path: Path) -> list[Path]:
        if not path.exists():
            raise FileNotFoundError("there is nothing of that name")
        if not path.is_dir():
            return [path]
        path = path / "bag" if (path / "bag").is_dir() else path
        found, named = _found(path), self._named(path)
        if not found:
            lacks = (
                f"its files are missing: {', '.join(named)}"
                if named
                else "the folder holds neither an .mcap nor a .db3 file"
            )
            raise FileNotFoundError(lacks)
        missing = [name for name in named if _bare(name) not in map(_bare, (file.name for file in found))]
        if missing:
            self.breaks.append(f"{', '.join(missing)}, which {METADATA} names, is missing")
        others = [file.name for file in found if named and _bare(file.name) not in map(_bare, named)]
        if others and len(missing) < len(named):
            self.notes.append(f"{', '.join(others)} is not named by {METADATA} and left out")
            found = [file for file in found if file.name not in others]
        return found

    def _named(self, folder: Path) -> list[str]:
        """Return which files the metadata names; none where they are missing or cannot be read."""
        file = folder / METADATA
        try:
            return [Path(name).name for name in _paths_of(file.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            trouble = f"{METADATA} is missing, as after a recorder that was killed"
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            trouble = f"{METADATA} cannot be read"
        kinds = {SUFFIXES[Path(_bare(found.name)).suffix] for found in _found(folder)}
        self.notes += [f"{trouble}; for other tools: ros2 bag reindex {folder} -s {kind}" for kind in sorted(kinds)]
        return []

    def _opened(self, path: Path, is_alone: bool) -> File | None:
        try:
            file = self._open(path)
        except Exception as error:  # a damaged file can fail in any layer below
            if is_alone:
                raise
            self.breaks.append(f"{path.name} cannot be read: {error}")
            return None
        self._resources.callback(file.close)
        return file

    def _open(self, path: Path) -> File:
        begin = _begin(path)
        if begin.startswith(ZSTD):
            path = _unpacked(path, self._scratch)
            begin = _begin(path)
        if begin.startswith(mcap.MAGIC):
            return McapFile(path)
        if begin.startswith(sqlite.MAGIC):
            return SqliteFile(path, self._scratch)
        raise ValueError(f"{path.name} does not begin like an MCAP file or a sqlite3 database")

    def _tell_breaks(self) -> None:
        for file in self._files:
            if file.lost:
                which = file.path.name if len(self._files) > 1 else "the recording"
                seconds = max(file.span[1] - self.start, 0) * 1e-9
                self.breaks.append(f"{which} is cut off after {seconds:.1f} s: {file.lost}")


def _found(folder: Path) -> list[Path]:
    """Return the files of a bag in a folder in their order; of one that is there packed and not, the latter."""
    files = [file for file in folder.glob("*") if Path(_bare(file.name)).suffix in SUFFIXES and file.is_file()]
    by_name = {_bare(file.name): file for file in sorted(files, key=lambda file: -len(file.name))}
    numbered = {name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)] for name in by_name}
    return [by_name[name] for name in sorted(by_name, key=numbered.__getitem__)]


@lru_cache(maxsize=8)  # a bag is opened several times, and its metadata is long
def _paths_of(metadata: str) -> Sequence[str]:
    paths: Sequence[str] = yaml.safe_load(metadata)["rosbag2_bagfile_information"]["relative_file_paths"]
    return paths


def _bare(name: str) -> str:
    return name.removesuffix(".zstd")


def _begin(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(16)


def _unpacked(path: Path, folder: Path) -> Path:
    """Unpack a file into `folder`, of one that was cut off what can be."""
    target = folder / _bare(path.name)
    with zstd.open(path, "rb") as source, target.open("wb") as sink, suppress(EOFError):
        shutil.copyfileobj(source, sink)
    return target


def _merged(number: int, parts: list[Connection]) -> Connection:
    """Return one connection for those of the same topic in several files."""
    known = [part for part in parts if part.msgdef.format != MessageDefinitionFormat.NONE] or parts
    return known[0]._replace(id=number, msgcount=sum(part.msgcount for part in parts))
