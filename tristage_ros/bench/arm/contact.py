"""What the emulated arm does when something is in its way: how soon it is noticed, and what is left of the push.

Something soft stands in the way of one joint, the table is under the tool, or something stands just short of a key
frame. What a joint pushes is its effort beyond that of the same arm at the same place once the obstacle is gone: the
rest is gravity. Servos hang under what they carry, as real ones do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bench.arm.conditions import Account, Figure, hanging, number, verdict
from tristage_ros.bench.arm.rig import Rig, turned
from tristage_ros.devices.arm.values import ArmMode, ArmState, ChunkState
from tristage_ros.simulation.arm import JointStop, Obstacle, Wall

SCALES, PAYLOADS = (1.0, 0.5, 0.1), (0.0, 0.5)  # of the speed; kg
_AWAY = 0.2  # rad of the way, after which a joint meets what is in its way
_DROP, _HEIGHT = 0.15, 0.06  # m that the tool is to go down, and after which it meets the table
_SHORT = 0.08  # rad before the key frame
PUSH, TRAVEL, SINKING = 2.0, 0.010, 0.002  # N m at J1 to J3, m, m: limits
_PATIENCE = 8.0  # s that the contact, the fault and the rest after it may take, each
_AFTER = 1.0  # s in which an arm whose obstacle has gone is watched for leaping

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """Say what is in the way of what."""

    name: str
    joint: int  # 0..5 that is turned; -1: the tool goes straight down
    angle: float  # rad that it is to turn
    short: bool = False  # just before the end instead of early on the way

    def obstacle(self, rig: Rig) -> Obstacle:
        """Return what is in the way, seen from where the arm is."""
        if self.joint < 0:
            x, y, z = rig.plant.tool()
            return Wall((x, y, z - _HEIGHT), (0.0, 0.0, 1.0))
        side = 1 if self.angle > 0 else -1
        before = abs(self.angle) - _SHORT if self.short else _AWAY
        return JointStop(self.joint, float(rig.plant.position[self.joint]) + side * before, side)

    def go(self, rig: Rig) -> None:
        """Send the arm there, by one key frame.

        Raises:
            RuntimeError: it refuses; the message says why.
        """
        if self.joint < 0:
            done, reason = rig.submit((0.0, 0.0, -_DROP))
        else:
            translation, orientation = turned(rig.state().position, self.joint, self.angle, rig.controller.dh_is_offset)
            done, reason = rig.submit(tuple(translation[0]), orientation=orientation)
        if not done:
            raise RuntimeError(f"the way into it was refused: {reason}")


PLACES = {
    place.name: place
    for place in (
        Place("joint1", 0, 0.7),
        Place("joint2", 1, -0.5),
        Place("joint3", 2, -0.5),
        Place("table", -1, 0.0),
        Place("short", 0, 0.5, short=True),
    )
}
_WORDS = {
    "joint1": "soft, at J1",
    "joint2": "soft, at J2",
    "joint3": "soft, at J3",
    "table": "table under the tool",
    "short": "just short of a key frame",
}


def noticed_within(place: Place, speed_scale: float, slow: bool) -> float:
    """Return the limit of the time from contact to fault, s.

    Feedback that comes seldom and late is known 80 ms later, and that a joint stands by two and a half of its periods.
    What stands just short of a key frame is noticed after a second at rest, as a key frame that was not reached.
    """
    if place.short:
        return 2.0
    return (0.3 if speed_scale >= 0.5 else 0.8) + (0.2 if slow else 0.0)


@dataclass(frozen=True)
class Contact:
    """Hold what one contact came to."""

    noticed: float = math.inf  # s from contact to fault, or to a key frame that is given up
    most: float = math.nan  # N m beyond gravity, at any joint, until it stood
    push: float = math.inf  # N m beyond gravity at J1 to J3, once let go
    travel: float = math.inf  # m that the tool moved at most when the obstacle went
    sinking: float = math.nan  # m that it sank afterwards; NaN: not watched


def measure(place: Place, speed_scale: float, payload: float, slow: bool, hold: float) -> Contact:
    """Let an arm run into something once, and take that away again; watch it sink for `hold` s if that is not 0.

    Raises:
        PiperError, RuntimeError: the arm does not answer, or refuses.
    """
    with hanging(speed_scale, payload, slow) as rig:
        obstacle = place.obstacle(rig)
        rig.arm.put_in_the_way(obstacle)
        place.go(rig)
        efforts: list[Floats] = []
        if _until(rig, lambda state: _touches(rig, obstacle), efforts, 3.0 * _PATIENCE) is None:
            raise RuntimeError("it never met what is in its way")
        took = _until(rig, _noticed, efforts)
        if took is None:
            return Contact()
        let_go = _at_rest(rig, efforts).feedback.effort
        stood = _tool(rig)
        rig.arm.put_in_the_way()
        travel = _leap(rig, stood)
        free = rig.state().feedback.effort
        sinking = math.nan
        if hold:
            height = _tool(rig)[2]
            time.sleep(hold)
            sinking = max(0.0, float(height - _tool(rig)[2]))
        most = float(np.abs(np.array(efforts) - free).max())
        return Contact(took, most, float(np.abs(let_go - free)[:3].max()), travel, sinking)


def _noticed(state: ArmState) -> bool:
    return state.mode is ArmMode.FAULT or state.chunk_state is ChunkState.ABORTED


def _touches(rig: Rig, obstacle: Obstacle) -> bool:
    with rig.arm.lock:
        return bool(obstacle.torque(rig.plant).any())


def _tool(rig: Rig) -> Floats:
    with rig.arm.lock:
        place: Floats = rig.plant.tool()
        return place


def _until(
    rig: Rig, condition: Callable[[ArmState], bool], efforts: list[Floats], patience: float = _PATIENCE
) -> float | None:
    """Wait for a state of the arm, noting efforts meanwhile; return how long it took, s, None: it did not come."""
    began = time.monotonic()
    while not condition(state := rig.state()):
        if time.monotonic() > began + patience:
            return None
        efforts.append(state.feedback.effort)
        time.sleep(0.003)
    return time.monotonic() - began


def _at_rest(rig: Rig, efforts: list[Floats]) -> ArmState:
    """Return the state of an arm whose set-points and joints have not moved for half a second."""
    end, since, before = time.monotonic() + _PATIENCE, time.monotonic(), rig.state()
    while (now := time.monotonic()) < end and now < since + 0.5:
        state = rig.state()
        efforts.append(state.feedback.effort)
        if np.abs(state.target - before.target).max() > 1e-6 or np.abs(state.position - before.position).max() > 1e-3:
            since, before = now, state
        time.sleep(0.003)
    return rig.state()


def _leap(rig: Rig, stood: Floats) -> float:
    """Return how far the tool gets from where it stood, m, at most."""
    end, farthest = time.monotonic() + _AFTER, 0.0
    while time.monotonic() < end:
        farthest = max(farthest, float(np.linalg.norm(_tool(rig) - stood)))
        time.sleep(0.003)
    return farthest


# The table.


def rows(places: Sequence[str], repetitions: int, slow: bool, hold: float, account: Account) -> Iterator[str]:
    """Yield the table in Markdown, line by line as it is measured; `hold`: s that the first of each row is watched."""
    yield (
        "| in the way | speed scale | payload | contact to fault: median | largest | pushes at most "
        f"| pushes once let go, J1 to J3 | tool moves when it goes | sinks in {hold:g} s | limits |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"
    for name in places:
        for scale in SCALES:
            for payload in PAYLOADS:
                once = partial(measure, PLACES[name], scale, payload, slow)
                tries = [_tried(once, 0.0 if k else hold) for k in range(repetitions)]
                trouble = [each for each in tries if isinstance(each, str)]
                account.trouble += len(trouble)
                contacts = [each for each in tries if isinstance(each, Contact)]
                yield row(PLACES[name], scale, payload, slow, contacts, account)
                yield from (f"  not measured: {each}" for each in trouble)


def _tried(once: Callable[[float], Contact], hold: float) -> Contact | str:
    """Return a contact, or why it could not be measured, as on a machine that is too busy."""
    try:
        return once(hold)
    except RuntimeError as error:  # PiperError is one
        return str(error)


def row(
    place: Place, speed_scale: float, payload: float, slow: bool, contacts: Sequence[Contact], account: Account
) -> str:
    """Return the line of one place, speed and payload, each figure with its limit, and count its verdict."""
    noticed = Figure([each.noticed for each in contacts], noticed_within(place, speed_scale, slow))
    push = Figure([each.push for each in contacts], PUSH)
    travel = Figure([each.travel for each in contacts], TRAVEL)
    sinks = [each.sinking for each in contacts if not math.isnan(each.sinking)]
    sinking = Figure(sinks, SINKING if sinks else math.nan)
    most = Figure([each.most for each in contacts])
    cells = [
        _WORDS[place.name],
        f"{speed_scale:g}",
        f"{payload:g} kg",
        f"{number(noticed.median, 1.0, 2)} s",
        noticed.told("s", 1.0, 2),
        most.told("N m"),
        push.told("N m", 1.0, 1),
        travel.told("mm", 1e3, 1),
        sinking.told("mm", 1e3, 1),
        account.take(verdict(noticed, push, travel, sinking)),
    ]
    return f"| {' | '.join(cells)} |"
