"""Copy a stretch of a bag, byte for byte: `python -m tristage_ros.bags.cut BAG OUT --start 5 --seconds 2`."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from tristage_ros.bags import facts
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.resources import user_path

EXIT_ERROR = 2


def cut(
    source: Path, target: Path, start: float, seconds: float, without: Collection[str] = ()
) -> tuple[int, list[str]]:
    """Copy what was recorded from `start` (s after the beginning) for `seconds`.

    Topics in `without` are left out. The facts of the run, written once at its beginning, are copied all the same.

    Returns:
        The number of messages, and what is to be known of the bag.

    Raises:
        BagError: the bag cannot be read, or there is nothing in that stretch; then nothing is written.
        FileExistsError: there is something at `target` already.
    """
    if target.exists():
        raise FileExistsError(f"{target} exists already; choose another name")
    with BagReader(source) as bag:
        try:
            copied = _copy(bag, target, start, seconds, without)
        except BagError:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return copied, bag.told


def _copy(bag: BagReader, target: Path, start: float, seconds: float, without: Collection[str]) -> int:
    copied, empty, connections = 0, True, dict[int, Connection]()
    writer = Writer(target, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    first = bag.start + round(start * 1e9)
    last = first + round(seconds * 1e9)
    with writer:
        writer.set_custom_data("cut from", bag.path.resolve().name)
        for connection, stamp, data in bag.stored([c for c in bag.connections if c.topic not in without]):
            within = first <= stamp < last
            if within or (connection.topic == facts.TOPIC and stamp < last):
                empty = empty and not within
                if connection.id not in connections:
                    connections[connection.id] = _like(connection, bag, writer)
                writer.write(connections[connection.id], max(stamp, first), data)
                copied += 1
    if empty:
        raise BagError(f"bag {bag.path} has nothing between {start:g} and {start + seconds:g} s; {bag.contents}")
    return copied


def _like(connection: Connection, bag: BagReader, writer: Writer) -> Connection:
    """Add a connection with the definition that the messages were recorded with, which need not be today's."""
    text, digest = bag.definition(connection)
    return writer.add_connection(
        connection.topic,
        connection.msgtype,
        msgdef=text,
        rihs01=digest,
        offered_qos_profiles=connection.ext.offered_qos_profiles,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Cut as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tristage_ros.bags.cut", description=__doc__)
    parser.add_argument("bag", type=user_path)
    parser.add_argument("out", type=user_path)
    parser.add_argument("--start", type=float, default=0.0, help="s after the beginning")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--without", nargs="*", default=[], metavar="TOPIC", help="as they are called in the bag")
    options = parser.parse_args(arguments)
    if not (math.isfinite(options.start) and math.isfinite(options.seconds) and options.seconds > 0):
        parser.error(f"--start {options.start:g} --seconds {options.seconds:g}: give numbers, and more than 0 s")
    try:
        copied, told = cut(options.bag, options.out, options.start, options.seconds, options.without)
    except (BagError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    for note in told:
        print(f"note: {note}")
    print(f"{copied} messages in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
