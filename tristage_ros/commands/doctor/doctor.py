"""The command `tristage doctor`: check a machine and a robot before the first motion.

It says what is right, what is not, and what to do about it. Nothing is moved, switched or set.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tristage_ros.commands.doctor import computer
from tristage_ros.commands.doctor.arm import check_arm
from tristage_ros.commands.doctor.bus import check_adapters, check_bus, check_listeners
from tristage_ros.commands.doctor.finding import Finding, Level, Machine
from tristage_ros.commands.doctor.leader import check_leader
from tristage_ros.devices.arm.site import load_site
from tristage_ros.perception.extrinsics import load_extrinsics


def examine(machine: Machine, interface: str, channel: str, cameras: int, leader: str = "") -> Iterator[Finding]:
    """Yield what each check finds, the machine first, the arm last, and then its leader, if there is one."""
    yield from computer.check_ros(machine)
    yield computer.check_numpy()
    yield computer.check_shared_memory(machine, cameras)
    yield from computer.check_folders(machine, Path.cwd())
    yield computer.check_clock(machine)
    yield computer.check_gpu(machine)
    yield from computer.check_cameras(machine, cameras)
    bus = None
    if interface == "socketcan":
        yield from check_adapters(machine, channel)
        yield (bus := check_bus(machine, channel))
        yield from check_listeners(machine, channel)
    if bus is None or bus.level is not Level.FAIL:
        yield from check_arm(interface, channel)
    if leader:
        yield from _leader(machine, interface, leader)


def _leader(machine: Machine, interface: str, channel: str) -> Iterator[Finding]:
    if interface == "socketcan":
        yield (bus := check_bus(machine, channel))
        if bus.level is Level.FAIL:
            return
    yield from check_leader(interface, channel)


def run(options: argparse.Namespace, say: Callable[[str], None] = print) -> int:
    """Print every finding; return 1 when something has to be done first, else 0.

    Raises:
        OSError, ValueError: the site or cameras file that was given is wrong; the message is one line for a person.
    """
    if options.site is not None:
        for line in load_site(options.site, options.cameras_file or "").in_words():
            say(line)
        return 0
    if options.cameras_file is not None:
        load_extrinsics(options.cameras_file)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    counts = dict.fromkeys(Level, 0)
    for finding in examine(Machine(), options.interface, options.can, options.cameras, options.leader_can):
        counts[finding.level] += 1
        say(finding.line(columns))
    say(
        f"{counts[Level.OK]} ok, {counts[Level.WARN]} to consider, {counts[Level.FAIL]} to mend before the first motion"
    )
    return 1 if counts[Level.FAIL] else 0
