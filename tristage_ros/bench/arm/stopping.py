"""How soon a stop reaches the set-points, whatever else the arm is asked meanwhile.

Once in this process, from where the callback of /arm/stop calls the controller; once through the arm node as a process
of its own, from a client's call to the bus (`stopping_node.py`). From the stop on the arm goes on at its pace for so
many set-points, and then as far as slowing down takes it: the way that it goes tells how many there were.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bench.arm.conditions import Account, Figure, number, verdict
from tristage_ros.bench.arm.rig import Rig, turned
from tristage_ros.devices.arm.controller import ControllerConfig
from tristage_ros.devices.arm.joint_path import MAX_POINTS, JointPath
from tristage_ros.devices.arm.trajectory import MotionLimits
from tristage_ros.devices.arm.values import CommandSource

Floats = NDArray[np.float64]

CASES = {  # what the arm is asked when the stop comes, and from which source it moves
    "nothing": CommandSource.POLICY,
    "/arm/enable at once": CommandSource.POLICY,
    "a chunk of 256 actions": CommandSource.POLICY,
    "a trajectory of 2000 points": CommandSource.TRAJECTORY,
}
UNSLOWED = 2.0  # set-points: the limit
SCALE = 0.2  # of the speed: the way then lasts
TURN, TURN_TIME = 0.5, 2.5  # rad of joint 1, to and fro; s, by a trajectory
UNDER_WAY = 0.8  # s after which the arm goes at an even pace
LATEST = 0.2  # s that the stop may come after the rest: planning takes longer
RATE = 100.0  # set-points per second
_BEFORE = 0.25  # s before the stop, from which the pace is taken
_AT_REST = 0.6  # s that an arm takes at most to come to rest


@dataclass(frozen=True)
class Stop:
    """Hold how one stop came out."""

    unslowed: float  # set-points that still went at full pace after the stop
    after: float  # s from the stop to the first slowed set-point on the bus


def judged(rows: Floats, stop: float, speed_scale: float = SCALE) -> Stop:
    """Return how a stop came out, by the way that was gone after it.

    Args:
        rows: [n, 7] stamp, s, and joint targets, rad, of the set-points of an arm that came to rest.
        stop: s, when it was stopped, at an even pace.
        speed_scale: share of full speed at which it went; it slows down to rest within this share of the time that full
            speed takes.

    Raises:
        ValueError: it was not moving.
    """
    stamps = rows[:, 0]
    joint = 1 + int(np.ptp(rows[stamps > stop - _BEFORE, 1:], axis=0).argmax())
    gone = np.abs(rows[:, joint] - np.interp(stop - _BEFORE, stamps, rows[:, joint]))
    pace = float(np.interp(stop, stamps, gone)) / _BEFORE
    if pace < 0.02:
        raise ValueError(f"it moved at {pace:.3f} rad/s when it was stopped: too slow to tell")
    braking = speed_scale / MotionLimits().feed_slope / 2.0  # s at full pace that slowing down is as long as
    on = float(gone[-1] - np.interp(stop, stamps, gone)) / pace - braking
    later = stamps[stamps >= stop + max(0.0, on)]
    return Stop(max(0.0, on * RATE), float(later[0]) - stop if len(later) else math.inf)


def many_actions() -> Floats:
    """Return 256 actions [256, 3] m that a chunk may hold and that take long to plan."""
    return np.array([(0.0, 0.2 * math.sin(0.1 * k), 0.0) for k in range(256)])


def many_points(joints: Floats) -> tuple[Floats, Floats]:
    """Return 2000 times [n], s, and joints [n, 6], rad, of a trajectory that begins at `joints`."""
    times = 0.05 * np.arange(1, MAX_POINTS + 1)
    swing = 0.2 * np.sin(times)[:, None] * np.array([1.0, 0.3, -0.3, 0.5, -0.5, 0.5])
    return times, joints + swing


# In this process: from where the callback begins.


def stops(case: str, repetitions: int, seed: int = 1) -> Iterator[Stop | str]:
    """Stop a moving arm so often, at any moment of what it is asked meanwhile; yield how, or why it cannot be told."""
    luck = random.Random(seed)
    source = CASES[case]
    with Rig(ControllerConfig(rate=RATE, speed_scale=SCALE)) as rig:
        assert rig.tap is not None
        rig.controller.set_source(source)
        for k in range(repetitions):
            try:
                rig.enable()
                _set_out(rig, source, 1 if k % 2 == 0 else -1)
                time.sleep(UNDER_WAY)
                asking = threading.Thread(target=_ASKED[case], args=(rig,), daemon=True)
                asking.start()
                time.sleep(luck.uniform(0.0, LATEST))
                began = time.monotonic()
                rig.controller.stop("measured")
                asking.join()
                time.sleep(_AT_REST)
                yield judged(rig.tap.setpoints(), began)
            except (RuntimeError, ValueError) as error:
                yield str(error)


def _set_out(rig: Rig, source: CommandSource, side: int) -> None:
    if source is CommandSource.POLICY:
        translation, orientation = turned(rig.state().position, 0, side * TURN)
        done, reason = rig.submit(tuple(translation[0]), orientation=orientation)
    else:
        joints = rig.state().target + side * TURN * np.eye(6)[0]
        done, reason = rig.controller.follow(JointPath(time.monotonic(), np.array([TURN_TIME]), joints[None]))
    if not done:
        raise RuntimeError(reason)


def _enable(rig: Rig) -> None:
    rig.controller.enable()


def _plan_chunk(rig: Rig) -> None:
    rig.submit(*map(tuple, many_actions()), time_step=0.2)


def _plan_trajectory(rig: Rig) -> None:
    rig.controller.follow(JointPath(time.monotonic(), *many_points(rig.state().position)))


_ASKED: dict[str, Callable[[Rig], None]] = dict(
    zip(CASES, (lambda rig: None, _enable, _plan_chunk, _plan_trajectory), strict=True)
)


# The table.


def table(
    told: dict[str, Callable[[str, int], Iterator[Stop | str]]], repetitions: int, account: Account
) -> Iterator[str]:
    """Yield the table in Markdown, line by line as it is measured; `told`: ways to measure a case, by name."""
    yield (
        "| stopped | while it is asked for | unslowed set-points: p50 | largest "
        "| to the first slowed one on the bus: p50 | largest | limits |"
    )
    yield "|---|---|--:|--:|--:|--:|---|"
    for where, measure in told.items():
        for case in CASES:
            tries = _tries(measure(case, repetitions))
            yield row(where, case, [each for each in tries if isinstance(each, Stop)], account)
            trouble = [each for each in tries if isinstance(each, str)]
            account.trouble += len(trouble)
            yield from (f"  not measured: {each}" for each in trouble)


def _tries(measured: Iterator[Stop | str]) -> list[Stop | str]:
    """Return what was measured, and why it ended early if it did, as on a machine that is too busy."""
    tries: list[Stop | str] = []
    try:
        tries.extend(measured)
    except (RuntimeError, TimeoutError) as error:  # PiperError is one
        tries.append(str(error))
    return tries


def row(where: str, case: str, seen: Sequence[Stop], account: Account) -> str:
    """Return the line of one case, and count its verdict; nothing is asked of what lies before the callback."""
    limit = UNSLOWED if where == CALLBACK else math.nan
    unslowed = Figure([float(round(each.unslowed)) for each in seen], limit)
    after = Figure([each.after for each in seen])
    cells = [
        where,
        case,
        number(unslowed.median),
        unslowed.told(""),
        f"{number(after.median, 1e3)} ms",
        after.told("ms", 1e3),
        account.take(verdict(unslowed)),
    ]
    return f"| {' | '.join(cells)} |"


CALLBACK, CLIENT = "where the callback begins", "by a ROS client"
