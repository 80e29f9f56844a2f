"""Whose the arm is, by what the bus says and what a person called: when set-points may be sent, and when none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tristage_ros.bench.arm.log import MOTORS, STATUS, Call, Log
from tristage_ros.devices.arm.can_bus import OF_A_MASTER
from tristage_ros.devices.arm.values import CAN_CONTROL, CONTROL_MODES, EMERGENCY_STOP, STANDBY, MotorBits

MOTORS_OFF, NODE_ENDED = "a motor lost its power", "the node's end"
IN_FLIGHT = 10  # set-points that may be on their way when the arm changes hands: 100 ms of them
_KNOWN_AFTER = 0.3  # s after which the node knows that the arm is in other hands: enabling is refused


@dataclass(frozen=True)
class Ended:
    """Say from when to when, s, no set-point may come, and how many may be on their way."""

    begin: float
    end: float
    why: str
    tolerated: int


def losses(log: Log) -> Iterator[tuple[float, str]]:
    """Yield when the bus said that the arm no longer acts on our targets, and why."""
    whose, powered = "", [True] * len(MOTORS)
    for stamp, identifier, data in log.down:
        if identifier in OF_A_MASTER:
            yield stamp, f"another master (0x{identifier:03x})"
        elif identifier == STATUS:
            now = _other_hands(data) or ("ours" if data[0] == CAN_CONTROL else "")
            if now not in ("", "ours", whose):
                yield stamp, now
            elif not now and whose == "ours":
                yield stamp, "it fell back to standby"
            whose = now
        elif identifier in MOTORS:
            motor, on = MOTORS.index(identifier), bool(data[5] & MotorBits.ENABLED)
            if powered[motor] and not on:
                yield stamp, MOTORS_OFF
            powered[motor] = on


def kept_away(log: Log) -> list[tuple[float, float]]:
    """Return from when to when the bus said that the arm is in other hands, or its emergency stop is pressed."""
    found, since = [], math.nan
    for stamp, identifier, data in log.down:
        if identifier == STATUS and _other_hands(data):
            since = stamp if math.isnan(since) else since
        elif identifier == STATUS and not math.isnan(since):
            found.append((since, stamp))
            since = math.nan
    return found if math.isnan(since) else [*found, (since, math.inf)]


def _other_hands(status: bytes) -> str:
    """Return why an arm with this frame 0x2A1 does not act on targets of ours, "" if it does or may."""
    if status[1] == EMERGENCY_STOP:
        return "emergency stop"
    if status[0] in (STANDBY, CAN_CONTROL):
        return ""
    return CONTROL_MODES[status[0]] if status[0] < len(CONTROL_MODES) else f"mode {status[0]}"


class _Possession:
    """Follow whether set-points may come: the arm is the node's, or is on its way to be, by a call of arm/enable."""

    def __init__(self, away: list[tuple[float, float]]) -> None:
        """Begin with an arm that is nobody's; `away`: when it is in other hands."""
        self._away, self._ours = away, False
        self._asked: dict[int, bool] = {}  # by call: whether nothing has come in between

    @property
    def given(self) -> bool:
        return self._ours or any(self._asked.values())

    def lose(self, why: str) -> None:
        self._ours = False
        if why != MOTORS_OFF:  # which they are while they are switched on
            self._asked = dict.fromkeys(self._asked, False)

    def forget(self, why: str) -> None:
        """Take the node's end, or that of its connection; what was asked for then is asked of the next one."""
        self._ours = False
        if why == NODE_ENDED:
            self._asked = dict.fromkeys(self._asked, False)

    def ask(self, call: Call) -> None:
        self._asked[id(call)] = not any(
            begin < call.sent - _KNOWN_AFTER and call.sent < end for begin, end in self._away
        )

    def answer(self, call: Call) -> None:
        kept = self._asked.pop(id(call), False)
        self._ours = self._ours or (call.success and kept)


def ends(log: Log) -> list[Ended]:
    """Return when no set-points may be sent: before it is enabled, and when the arm is no longer ours."""
    possession, found = _Possession(kept_away(log)), []
    since: tuple[float, str, int] | None = (-math.inf, "before it was enabled", 0)
    for when, why, change in sorted(_changes(log, possession), key=lambda each: each[0]):
        change()
        if possession.given and since is not None:
            found.append(Ended(since[0], when, *since[1:]))
            since = None
        elif not possession.given and since is None:
            since = (when, why, 0 if why == NODE_ENDED else IN_FLIGHT)
    return found if since is None else [*found, Ended(since[0], math.inf, *since[1:])]


def _changes(log: Log, possession: _Possession) -> Iterator[tuple[float, str, Callable[[], None]]]:
    for when, why in losses(log):
        yield when, why, partial(possession.lose, why)
    for _, _, gone in log.lives:
        yield gone, NODE_ENDED, partial(possession.forget, NODE_ENDED)
    for call in log.called("cleanup"):
        if call.success:
            yield call.answered, "cleanup", partial(possession.forget, "cleanup")
    for call in log.called("enable"):
        yield call.sent, "", partial(possession.ask, call)
        yield call.answered, f"enable was answered: {call.message}", partial(possession.answer, call)
