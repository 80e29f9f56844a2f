"""Copy a stretch of a bag, byte for byte: `python -m tristage_ros.bags.cut BAG OUT --start 5 --seconds 2`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from tristage_ros.bags import facts
from tristage_ros.bags.reader import BagError
from tristage_ros.resources import user_path


def cut(source: Path, target: Path, start: float, seconds: float, without: Collection[str] = ()) -> int:
    """Copy what was recorded from `start` (s after the beginning) for `seconds`; return the number of messages.

    Topics in `without` are left out. The facts of the run, written once at its beginning, are copied all the same.

    Raises:
        BagError: there is nothing in that stretch.
        FileExistsError: there is something at `target` already.
    """
    if target.exists():
        raise FileExistsError(f"{target} exists already; choose another name")
    copied, connections = 0, {}
    writer = Writer(target, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with Reader(source) as bag, writer:
        first = bag.start_time + round(start * 1e9)
        last = first + round(seconds * 1e9)
        writer.set_custom_data("cut from", source.resolve().name)
        for connection, stamp, data in bag.messages([c for c in bag.connections if c.topic not in without]):
            if first <= stamp < last or (connection.topic == facts.TOPIC and stamp < last):
                if connection.id not in connections:
                    connections[connection.id] = _like(connection, writer)
                writer.write(connections[connection.id], max(stamp, first), data)
                copied += 1
    if not copied:
        raise BagError(f"bag {source} has nothing between {start:g} and {start + seconds:g} s")
    return copied


def _like(connection: Connection, writer: Writer) -> Connection:
    """Add a connection with the definition that the messages were recorded with, which need not be today's."""
    return writer.add_connection(
        connection.topic,
        connection.msgtype,
        msgdef=connection.msgdef.data,
        rihs01=connection.digest,
        offered_qos_profiles=connection.ext.offered_qos_profiles,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Cut as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bag", type=user_path)
    parser.add_argument("out", type=user_path)
    parser.add_argument("--start", type=float, default=0.0, help="s after the beginning")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--without", nargs="*", default=[], metavar="TOPIC", help="as they are called in the bag")
    options = parser.parse_args(arguments)
    copied = cut(options.bag, options.out, options.start, options.seconds, options.without)
    print(f"{copied} messages in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
