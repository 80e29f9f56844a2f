"""What a stall of the arm node came to is read from the bus."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from tristage_ros.bench.arm.conditions import Account
from tristage_ros.bench.arm.log import Log
from tristage_ros.bench.arm.stalls import _row, _wanted, judged

SPEED, BEGAN, GOAL = 1.5, 1.0, 3.0  # rad/s, s, rad


def frames(first: int, stamp: float, joint: float) -> list[tuple[float, int, bytes]]:
    pair = struct.pack(">ii", round(math.degrees(joint) * 1e3), 0)
    return [(stamp, first, pair), (stamp, first + 1, bytes(8)), (stamp, first + 2, bytes(8))]


def stalled(seconds: float, back: float = 0.0, leap: float = 0.0, ends: bool = False) -> Log:
    """Return the log of set-points that pause, with an arm that goes to the last one; then what is asked for."""
    log, way, paused = Log(), 0.0, 0.0
    for stamp in np.arange(0.0, 6.0, 0.01):
        if BEGAN <= stamp < BEGAN + seconds:
            continue
        first = BEGAN + seconds <= stamp < BEGAN + seconds + 0.0099
        way += leap - back if first else 0.0
        if not (ends and stamp > BEGAN):
            way = min(GOAL, way + 0.01 * SPEED)
        log.up += frames(0x155, stamp, way)
        paused = stamp
    for stamp in np.arange(0.0, 6.0, 0.005):
        target = max((s, struct.unpack(">ii", d)[0]) for s, i, d in log.up if i == 0x155 and s <= stamp + 1e-9)[1]
        log.down += frames(0x2A5, stamp, math.radians(target * 1e-3))
    assert paused > 5.9
    return log


def test_a_stall_that_the_path_outlives() -> None:
    told = judged(stalled(0.2), BEGAN, 0.2, GOAL)
    assert told.gap == pytest.approx(0.21, abs=0.011)
    assert (told.outcome, told.back) == ("goes on", 0.0)
    assert told.step == pytest.approx(0.015, abs=1e-4) and told.speed < 1.6
    account = Account()
    assert _row("interpreter", 0.2, [told], account).endswith("| goes on | kept |")


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"back": 0.1}, "85 of 10 mrad"), ({"leap": 0.3}, "315 of 40 mrad"), ({"ends": True}, "path ends")],
)
def test_what_must_not_come_of_it_is_seen(changes: dict, words: str) -> None:
    account = Account()
    row = _row("process", 0.2, [judged(stalled(0.2, **changes), BEGAN, 0.2, GOAL)], account)
    assert words in row and account.missed == 1


def test_what_may_come_of_it_follows_the_guards_own_times() -> None:
    assert _wanted(0.1, 0.11) == ("goes on",)
    assert _wanted(0.2, 0.26) == ("goes on", "path ends")
    assert _wanted(0.5, 0.51) == ("path ends",)
    assert _wanted(1.2, 1.21) == ("fault",)


def test_a_measuring_process_that_stood_still_itself_measures_nothing() -> None:
    log = stalled(0.2)
    log.stalls.append((1.1, 1.3))
    with pytest.raises(ValueError, match=r"stood still itself, for 0\.20 s"):
        judged(log, BEGAN, 0.2, GOAL)
    with pytest.raises(ValueError, match="no set-points"):
        judged(Log(), BEGAN, 0.2, GOAL)
