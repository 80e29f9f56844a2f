"""How fast every fault is answered on the emulated arm while it moves: what `tristage bench arm reactions` prints.

A fault that a frame shows is timed from that frame on the bus, frames that stop coming from the last of them, all else
from when it was provoked.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from tristage_ros.bench.arm.conditions import EVERY, Account, Figure, make_slow, number, verdict
from tristage_ros.bench.arm.contact import PLACES, noticed_within
from tristage_ros.bench.arm.faults import FAULTS, Fault, enable_refused, firmware_unknown, interrupted, provoke
from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.guard import GuardConfig
from tristage_ros.devices.arm.trajectory import MotionLimits
from tristage_ros.devices.arm.values import LEAST_SAMPLES, LEAST_SILENCE
from tristage_ros.simulation.firmware import JOINT_FEEDBACK, RATE

TEST = "test_faults.py::test_fault"
NOT_A_FAULT = ("CAN drops 10 %", "policy killed mid-chunk")  # nothing has to be noticed: the way is finished
OTHERS = (  # name, answer, test, how it is measured: nothing moves
    (
        "enable refused",
        "gives up after 3 s, names the motors that stayed off; sends nothing more",
        "test_faults.py::test_enable_refused",
        lambda rig: enable_refused(rig),
    ),
    (
        "firmware unknown",
        "does not connect: nobody knows where J2 and J3 have their zero",
        "test_faults.py::test_firmware_unknown",
        lambda rig: firmware_unknown(),
    ),
    (
        "Ctrl-C while moving",
        "slows down along the path, holds, disconnects; the motors stay on",
        "test_faults.py::test_interrupted_in_motion, test_arm_process.py",
        lambda rig: (rig.enable(), interrupted(rig))[1],
    ),
)
PROMPT = 0.02  # s within which the last set-point moves once the bus has shown why not
_MOVES, _STANDS = 1e-6, 0.02  # rad that a set-point moves; rad/s of an arm that stands
_WATCHED, _STILL = 3.0, 0.4  # s that an arm is watched at most once it is told; that it has to stand


@dataclass(frozen=True)
class Reaction:
    """Hold how an arm answered one fault; NaN: not asked, inf: not in time."""

    told: float  # s from when it was provoked until /arm/status would tell
    moved: float = math.nan  # s until the last set-point that moved was sent; 0: before the bus showed it
    stands: float = math.nan  # s until the arm stood
    lead: float = math.nan  # rad, the largest between target and measured joint on the way there


def moved_within(fault: Fault, slow: bool) -> float:
    """Return the limit of the last set-point that moves, s, NaN where none is set.

    Frames that stop coming have an age. Without joints the arm slows down along its path from then on; where they come
    seldom, after two and a half of their periods. Other frames are missing after ten samples of the joints.
    """
    if fault.shows:
        return PROMPT
    if not fault.missing:
        return math.nan
    if fault.missing == JOINT_FEEDBACK:
        stale = 2.5 * EVERY / RATE if slow else GuardConfig().stale_after
        return stale + 1.0 / MotionLimits().feed_slope + PROMPT
    return max(LEAST_SILENCE, LEAST_SAMPLES * (EVERY if slow else 1) / RATE) + PROMPT


def reaction_rows(repetitions: int, slow: bool, account: Account) -> Iterator[str]:
    """Yield the fault table in Markdown, line by line as it is measured; count the verdicts."""
    yield (
        f"| fault | answer | test | told after | last set-point that moves: largest of {repetitions} "
        "| arm stands after | largest lead | limits |"
    )
    yield "|---|---|---|--:|--:|--:|--:|---|"
    for fault in FAULTS:
        reactions, trouble = _tried(partial(_during, fault, slow), repetitions)
        yield row(fault, slow, reactions, account)
        yield from _told(trouble, account)
    for name, answer, test, once in OTHERS:
        reactions, trouble = _tried(partial(_without_motion, once, slow), repetitions if name != OTHERS[1][0] else 1)
        yield f"| {name} | {answer} | `{test}` | {_ms(Figure([r.told for r in reactions]))} | - | - | - | - |"
        yield from _told(trouble, account)


def row(fault: Fault, slow: bool, reactions: list[Reaction], account: Account) -> str:
    """Return the line of one fault: medians, and the largest where there is a limit."""
    told = Figure([each.told for each in reactions], _told_within(fault, slow))
    moved = Figure([each.moved for each in reactions], moved_within(fault, slow))
    stands, lead = Figure([each.stands for each in reactions]), Figure([each.lead for each in reactions])
    cells = [
        "-" if fault.name in NOT_A_FAULT else _ms(told),
        moved.told("ms", 1e3),
        _ms(stands),
        f"{number(lead.counts, 1e3)} mrad".replace("- mrad", "-"),
        account.take(verdict(told, moved)),
    ]
    return f"| {fault.name} | {fault.answer} | `{TEST}[{fault.name}]` | {' | '.join(cells)} |"


def _told_within(fault: Fault, slow: bool) -> float:
    return noticed_within(PLACES["joint1"], 1.0, slow) if fault.told_within else math.nan


def _ms(figure: Figure) -> str:
    """Return a median, and what is held against a limit where there is one."""
    median = figure.median
    if not math.isfinite(median):
        return number(median)
    text = "< 1 ms" if abs(median) < 1e-3 else f"{1e3 * median:.0f} ms"
    return text if math.isnan(figure.limit) else f"{text} (largest {figure.told('ms', 1e3)})"


def _tried(once: Callable[[], Reaction], repetitions: int) -> tuple[list[Reaction], list[str]]:
    """Return what was measured, and why the rest was not, as on a machine that is too busy."""
    reactions, trouble = [], []
    for _ in range(repetitions):
        try:
            reactions.append(once())
        except TimeoutError as error:
            reactions.append(Reaction(math.inf))
            trouble.append(str(error))
        except RuntimeError as error:  # PiperError is one
            trouble.append(str(error))
    return reactions, trouble


def _told(trouble: list[str], account: Account) -> Iterator[str]:
    account.trouble += len(trouble)
    yield from (f"  not measured: {each}" for each in trouble)


def _during(fault: Fault, slow: bool) -> Reaction:
    """Provoke a fault once while the arm moves.

    Raises:
        TimeoutError: it was not noticed.
        PiperError, RuntimeError: the arm does not answer, or refuses.
    """
    with Rig() as rig:
        assert rig.tap is not None
        make_slow(rig, slow)
        rig.enable()
        if fault.shows:
            rig.tap.look_for(fault.shows)
        ended, leads, went = threading.Event(), [0.0], [(0.0, 0.0)]

        def watch() -> None:
            while not ended.wait(0.005):
                state = rig.state()
                leads.append(float(np.abs(state.target - state.position).max()))
                went.append((time.monotonic(), float(np.abs(rig.plant.velocity).max())))

        told = provoke(rig, fault, watching := threading.Thread(target=watch, daemon=True))
        began = time.monotonic() - told
        if not fault.latched:
            ended.set()
            watching.join()
            return Reaction(told)
        _wait(went)
        ended.set()
        watching.join()
        if fault.shows:
            began = rig.tap.shown
        elif fault.missing:
            began = max(rig.tap.latest[identifier] for identifier in fault.missing)
        rows = rig.tap.setpoints()
        moved = rows[1:][np.abs(np.diff(rows[:, 1:], axis=0)).max(axis=1) > _MOVES, 0]
        last = max(0.0, float(moved[-1]) - began) if len(moved) else math.nan
        return Reaction(told, last, _stood(went, began), max(leads))


def _wait(went: list[tuple[float, float]]) -> None:
    """Wait until the arm has stood for a while, at least a second and at most three: letting go is motion, too."""
    began = time.monotonic()
    while (now := time.monotonic()) < began + _WATCHED:
        recent = [speed for stamp, speed in went if stamp > now - _STILL]
        if now > began + 1.0 and max(recent, default=0.0) < _STANDS:
            return
        time.sleep(0.02)


def _stood(went: list[tuple[float, float]], began: float) -> float:
    """Return for how long the arm went on, s, of times and speeds; inf: it did not come to stand."""
    moving = [stamp for stamp, speed in went if speed >= _STANDS]
    if moving and moving[-1] > went[-1][0] - 0.5 * _STILL:
        return math.inf
    return max(0.0, moving[-1] - began) if moving else 0.0


def _without_motion(once: Callable[[Rig], float], slow: bool) -> Reaction:
    with Rig(tapped=False) as rig:
        make_slow(rig, slow)
        return Reaction(once(rig))
