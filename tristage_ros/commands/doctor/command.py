"""`tristage doctor`: check a machine and a robot before the first motion."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from tristage_ros.commands.doctor.arm import check_arm
from tristage_ros.commands.doctor.bus import check_bus
from tristage_ros.commands.doctor.cameras import check_cameras
from tristage_ros.commands.doctor.finding import Finding, Level, Machine
from tristage_ros.commands.doctor.machine import check_clock, check_gpu, check_numpy, check_ros, check_shared_memory


def examine(machine: Machine, interface: str, channel: str, cameras: int) -> Iterator[Finding]:
    """Yield what each check finds, the machine first, the arm last."""
    yield from check_ros(machine)
    yield check_numpy()
    yield check_shared_memory(machine)
    yield check_clock(machine)
    yield check_gpu(machine)
    yield from check_cameras(machine, cameras)
    bus = check_bus(machine, channel) if interface == "socketcan" else None
    if bus is not None:
        yield bus
    if bus is None or bus.level is not Level.FAIL:
        yield from check_arm(interface, channel)


def run(options: argparse.Namespace, say: Callable[[str], None] = print) -> int:
    """Print every finding; return 1 when something has to be done first, else 0."""
    counts = dict.fromkeys(Level, 0)
    for finding in examine(Machine(), options.interface, options.can, options.cameras):
        counts[finding.level] += 1
        say(finding.line())
    say(
        f"{counts[Level.OK]} ok, {counts[Level.WARN]} to consider, {counts[Level.FAIL]} to mend before the first motion"
    )
    return 1 if counts[Level.FAIL] else 0
