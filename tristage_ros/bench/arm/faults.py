"""What can go wrong while the arm moves, what the answer has to be, and how fast it comes.

Every fault is provoked on the emulated arm, by the tests and by `tristage bench arm reactions`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.piper import PiperError
from tristage_ros.devices.arm.values import ArmMode, ArmState, ChunkState
from tristage_ros.simulation.frames import ArmStatus

FAR = (0.0, 0.25, 0.0)  # m, a way that takes longer than any fault needs to be noticed
Condition = Callable[[ArmState], bool]


@dataclass(frozen=True)
class Fault:
    """Describe one fault during a motion."""

    name: str
    answer: str
    provoke: Callable[[Rig], object]
    noticed: Condition
    words: str  # in the reason that is given
    undo: Callable[[Rig], object] = lambda rig: None
    latched: bool = False  # only an operator ends it; otherwise the next chunk moves the arm again


def _fault(state: ArmState) -> bool:
    return state.mode is ArmMode.FAULT


def _aborted(state: ArmState) -> bool:
    return state.chunk_state is ChunkState.ABORTED


def _refused(state: ArmState) -> bool:
    return state.chunk_state is ChunkState.REFUSED


def _reached(state: ArmState) -> bool:
    return state.chunk_state is ChunkState.REACHED


def _old(rig: Rig) -> object:
    return rig.controller.submit(replace(rig.chunk(FAR), stamp=time.monotonic() - 2.0))


def _backwards(rig: Rig) -> object:
    before = rig.state().chunk_stamp - 0.02
    return rig.controller.submit(replace(rig.chunk((0.0, 0.0, 0.02)), stamp=before))


def _two_sources(rig: Rig) -> object:
    return rig.controller.submit(rig.chunk(FAR), "2 nodes publish /tristage/action")


def _abandoned(rig: Rig) -> object:
    """Give timed actions and then nothing more, as a policy that dies."""
    steps = [(0.0, 0.01 * i, 0.0) for i in range(1, 6)]
    return rig.submit(*steps, time_step=0.1)


FAULTS = (
    Fault(
        "CAN silent",
        "slows down after 50 ms, ends the path after 0.25 s, latches after 1 s; holds the last target",
        lambda rig: rig.arm.wire.silence(None),
        _fault,
        "no joint feedback",
        lambda rig: rig.arm.wire.silence(0.0),
        latched=True,
    ),
    Fault(
        "CAN silent for 0.5 s",
        "ends the path; goes on with an observation made after the gap",
        lambda rig: rig.arm.wire.silence(0.5),
        _aborted,
        "no joint feedback",
    ),
    Fault(
        "CAN drops 10 %",
        "nothing: lost samples are left out, targets are sent again 10 ms later",
        lambda rig: rig.arm.wire.drop(0.1),
        _reached,
        "",
        lambda rig: rig.arm.wire.drop(0.0),
    ),
    Fault(
        "CAN swaps two joint frames",
        "mixed samples are not taken; as CAN silent",
        lambda rig: rig.arm.wire.swap(0x2A6, 0x2A7),
        _fault,
        "no joint feedback",
        lambda rig: rig.arm.wire.swap(0, 0),
        latched=True,
    ),
    Fault(
        "feedback frozen, bus alive",
        "latches once the target has moved 0.05 rad for 0.2 s while no joint changed; holds",
        lambda rig: rig.arm.wire.freeze(),
        _fault,
        "has not changed",
        lambda rig: rig.arm.wire.freeze(()),
        latched=True,
    ),
    Fault("chunk with NaN", "refuses it", lambda rig: rig.submit((np.nan, 0.0, 0.0)), _refused, "not finite"),
    Fault("chunk with infinity", "refuses it", lambda rig: rig.submit((np.inf, 0.0, 0.0)), _refused, "not finite"),
    Fault(
        "chunk of the wrong size", "refuses it", lambda rig: rig.submit(FAR, gripper=np.ones(2)), _refused, "has shape"
    ),
    Fault("chunk out of limits", "refuses it", lambda rig: rig.submit((0.45, 0.0, 0.0)), _refused, "action 1 of 1"),
    Fault("chunk too far", "refuses it", lambda rig: rig.submit((0.0, -0.5, 0.4)), _refused, "m at once"),
    Fault("chunk from the past", "refuses it", _old, _refused, "2.0"),
    Fault("stamps going backwards", "refuses the older one", _backwards, _refused, "older than that of the chunk"),
    Fault("policy slow (2 s)", "holds at the end of the path; refuses the old observation", _old, _refused, "old"),
    Fault(
        "policy killed mid-chunk",
        "finishes the actions that it has, then holds; none may be more than 1 s late",
        _abandoned,
        _reached,
        "",
    ),
    Fault(
        "two publishers on the action topic", "ends the path, refuses both", _two_sources, _refused, "2 nodes publish"
    ),
    Fault(
        "emergency stop pressed on the arm",
        "latches, stops sending; /arm/recover leads out",
        lambda rig: rig.arm.press_emergency_stop(),
        _fault,
        "emergency stop",
        latched=True,
    ),
    Fault(
        "motor fault",
        "latches, stops sending; /arm/recover leads out",
        lambda rig: rig.arm.fail_motor(2),
        _fault,
        "joint error",
        latched=True,
    ),
    Fault(
        "collision",
        "latches, holds; /arm/recover leads out",
        lambda rig: rig.arm.report(ArmStatus.COLLISION),
        _fault,
        "collision",
        latched=True,
    ),
    Fault(
        "controller too hot",
        "latches, holds; /arm/recover leads out",
        lambda rig: rig.arm.report(ArmStatus.CONTROLLER_TOO_HOT),
        _fault,
        "too hot",
        latched=True,
    ),
)


def provoke(rig: Rig, fault: Fault) -> float:
    """Let an enabled arm set out, provoke the fault, and return how long it took to be noticed, s.

    Raises:
        TimeoutError: it was not.
    """
    rig.submit(FAR)
    start = rig.state().target
    rig.until(lambda state: bool(np.abs(state.target - start).max() > 0.05))
    began = time.monotonic()
    fault.provoke(rig)
    rig.until(fault.noticed)
    return time.monotonic() - began


def enable_refused(rig: Rig) -> float:
    """Enable an arm whose motors have no power; return how long it takes to be told so, s."""
    rig.arm.refuse_enabling(True)
    began = time.monotonic()
    done, _ = rig.controller.enable()
    rig.arm.refuse_enabling(False)
    return float("nan") if done else time.monotonic() - began


def firmware_unknown(version: str = "") -> float:
    """Connect to an arm that tells `version`; return how long it takes to be refused, s."""
    began = time.monotonic()
    try:
        Rig(firmware=version).close()
    except PiperError:
        return time.monotonic() - began
    return float("nan")


def interrupted(rig: Rig) -> float:
    """End a controller in motion, as Ctrl-C does; return how long it takes to hold and disconnect, s."""
    rig.submit(FAR)
    rig.until(lambda state: state.mode is ArmMode.MOVING)
    began = time.monotonic()
    rig.controller.close()
    return time.monotonic() - began


# How fast the answer comes, fault by fault: what `tristage bench arm reactions` prints.

TEST = "test_faults.py::test_fault"
NOT_A_FAULT = ("CAN drops 10 %", "policy killed mid-chunk")  # nothing has to be noticed: the way is finished


def measure_reactions(repetitions: int) -> Iterable[tuple[str, str, str, float]]:
    """Provoke every fault `repetitions` times; yield its name, the answer, its test and the median reaction, s."""
    for fault in FAULTS:
        yield (
            fault.name,
            fault.answer,
            f"{TEST}[{fault.name}]",
            _median(repetitions, lambda fault=fault: _during(fault)),
        )
    yield (
        "enable refused",
        "gives up after 3 s, names the motors that stayed off; sends nothing more",
        "test_faults.py::test_enable_refused",
        _median(repetitions, _enable_refused),
    )
    yield (
        "firmware unknown",
        "does not connect: nobody knows where J2 and J3 have their zero",
        "test_faults.py::test_firmware_unknown",
        _median(1, firmware_unknown),
    )
    yield (
        "Ctrl-C while moving",
        "slows down along the path, holds, disconnects; the motors stay on",
        "test_faults.py::test_interrupted_in_motion, test_arm_process.py",
        _median(repetitions, _interrupted),
    )


def reaction_table(repetitions: int) -> str:
    """Return the fault table in Markdown."""
    rows = ["| fault | answer | test | reaction |", "|---|---|---|---|"]
    for name, answer, test, seconds in measure_reactions(repetitions):
        told = f"{seconds * 1e3:.0f} ms" if seconds >= 1e-3 else "< 1 ms"
        reaction = "-" if name in NOT_A_FAULT else told
        rows.append(f"| {name} | {answer} | `{test}` | {reaction} |")
    return "\n".join(rows)


def _median(repetitions: int, once: Callable[[], float]) -> float:
    return statistics.median(once() for _ in range(repetitions))


def _during(fault: Fault) -> float:
    with Rig(tapped=False) as rig:
        rig.enable()
        return provoke(rig, fault)


def _enable_refused() -> float:
    with Rig(tapped=False) as rig:
        return enable_refused(rig)


def _interrupted() -> float:
    with Rig(tapped=False) as rig:
        rig.enable()
        return interrupted(rig)
