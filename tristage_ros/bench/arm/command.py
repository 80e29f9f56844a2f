"""Measure the arm's side on the emulated arm: `tristage bench arm WHAT`, one of those in `run`.

Limits hold on a machine that has nothing else to do: a missed one is exit code 1. With --load they are told beside what
was measured, and the exit code stays 0, since the emulated arm shares the processor. A false alarm is one at any load.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator

from tristage_ros.bench.arm import lead, stopping
from tristage_ros.bench.arm.alarms import alarms
from tristage_ros.bench.arm.attack import Attack
from tristage_ros.bench.arm.conditions import Account
from tristage_ros.bench.arm.contact import PLACES, rows
from tristage_ros.bench.arm.jitter import JITTER, KINDS, jittered
from tristage_ros.bench.arm.reactions import reaction_rows
from tristage_ros.bench.arm.soak import soak
from tristage_ros.bench.arm.stream import stream
from tristage_ros.bench.machine import described
from tristage_ros.graph.load import busy


def run(options: argparse.Namespace) -> int:
    """Run one measurement; return the exit code."""
    measurements = {
        "alarms": _alarms,
        "attack": _attack,
        "black-box": _black_box,
        "contact": _contact,
        "lead": _lead,
        "reactions": _reactions,
        "soak": _soak,
        "stalls": _stalls,
        "stop": _stop,
        "stream": _stream,
    }
    return measurements[options.measurement](options)


def _say(line: str) -> None:
    print(line, flush=True)


def _alarms(options: argparse.Namespace) -> int:
    _say(described(f"tristage bench arm alarms --minutes {options.minutes:g} --seed {options.seed}", options.load))
    with busy(options.load):
        tally = alarms(60.0 * options.minutes, options.seed, _say)
    print(*tally.lines(), sep="\n")
    return 1 if tally.faults or len(tally.broken) == tally.episodes else 0


def _attack(options: argparse.Namespace) -> int:
    attack = Attack(options.seed)
    attack.run(60.0 * options.minutes, _say)
    print(*attack.told(), sep="\n")
    return 1 if attack.findings else 0


def _black_box(options: argparse.Namespace) -> int:
    from tristage_ros.bench.arm.black_box import black_box_cost  # rclpy

    _say(described(f"tristage bench arm black-box --times {options.times}", options.load))
    with busy(options.load):
        print(*black_box_cost(options.times), sep="\n")
    return 0


def _contact(options: argparse.Namespace) -> int:
    places = options.where or tuple(PLACES)
    account, slow = Account(), options.slow
    return _judged(options, rows(places, options.repetitions, slow, options.hold, account), account)


def _lead(options: argparse.Namespace) -> int:
    _say(f"{described(f'tristage bench arm lead --seconds {options.seconds:g}', options.load)}\n")
    with busy(options.load):
        for line in lead.table(options.seconds):
            _say(line)
    return 0


def _reactions(options: argparse.Namespace) -> int:
    account = Account()
    return _judged(options, reaction_rows(options.repetitions, options.slow, account), account)


def _stop(options: argparse.Namespace) -> int:
    from tristage_ros.bench.arm import stopping_node  # rclpy, which nothing else here needs

    ways = {stopping.CALLBACK: stopping.stops, stopping.CLIENT: stopping_node.stops}
    account = Account()
    return _judged(options, stopping.table(ways, options.repetitions, account), account)


def _stalls(options: argparse.Namespace) -> int:
    from tristage_ros.bench.arm import stalls  # rclpy, which nothing else here needs

    account = Account()
    return _judged(options, stalls.table(options.repetitions, account), account)


def _judged(options: argparse.Namespace, lines: Iterator[str], account: Account) -> int:
    """Print a table as it is measured, beside the load that was asked for, and what its verdicts come to."""
    given = " --slow" if getattr(options, "slow", False) else ""
    given += f" --hold {options.hold:g}" if "hold" in options else ""
    given += "".join(f" --where {place}" for place in getattr(options, "where", None) or ())
    command = f"tristage bench arm {options.measurement} --repetitions {options.repetitions}{given}"
    _say(f"{described(command, options.load)}\n")
    with busy(options.load):
        for line in lines:
            _say(line)
    _say(f"\n{account.line()}")
    return account.exit_code(options.load)


def _soak(options: argparse.Namespace) -> int:
    if grown := soak(options.seconds, _say):
        print(f"error: it grew: {grown}", file=sys.stderr)
        return 1
    return 0


def _stream(options: argparse.Namespace) -> int:
    print(*stream(options.seconds, options.rate).lines(), sep="\n", flush=True)
    for kind, jitter in itertools.product(KINDS, (0.0, JITTER)):
        print(*jittered(kind, jitter, options.seconds).lines(), sep="\n", flush=True)
    return 0
