"""What can go wrong while the arm moves, what the answer has to be, and how fast it comes.

Every fault is provoked on the emulated arm, by the tests and by `reactions.py`, which measures the answers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import can
import numpy as np

from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.piper import PiperError
from tristage_ros.devices.arm.values import ArmMode, ArmState, ChunkState
from tristage_ros.simulation.arm import JointStop
from tristage_ros.simulation.controller import TEACHING
from tristage_ros.simulation.firmware import GROUPS
from tristage_ros.simulation.frames import ArmStatus, Frame, MotorStatus, MoveMode, joint_targets

FAR = (0.0, 0.25, 0.0)  # m, a way that takes longer than any fault needs to be noticed
Condition = Callable[[ArmState], bool]
Shows = Callable[[int, bytes], bool]


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
    silent: bool = False  # nothing is sent any more: the arm is somebody else's
    shows: Shows | None = None  # whether a frame, id and data, is one that shows it: then nothing may move any more
    missing: tuple[int, ...] = ()  # ids of the frames that stop coming
    told_within: bool = False  # it is a contact, whose time to be told has a limit


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


def _block(rig: Rig) -> object:
    """Put something into the way of joint 1, right where it is."""
    return rig.arm.put_in_the_way(JointStop(0, float(rig.state().position[0]) + 0.02, 1))


def _meddle(rig: Rig) -> object:
    """Let a second computer send a joint target."""
    with can.Bus(interface="virtual", channel=rig.channel) as other:
        other.send(can.Message(arbitration_id=0x155, data=bytes(8), is_extended_id=False))
    return None


def _lead(rig: Rig) -> object:
    """Let a master that is not heard lead joint 1 back, twice for each of our set-points."""
    return rig.arm.wire.lead(*joint_targets(rig.state().position - [0.3, 0.0, 0.0, 0.0, 0.0, 0.0]))


def _other_mode(rig: Rig) -> object:
    """Let a master that is not heard ask for straight lines."""
    return rig.arm.obey(Frame(0x151, bytes([1, MoveMode.LINE, 100, 0, 0, 0, 0, 0])))


def _of_another(identifier: int, data: bytes) -> bool:
    return identifier == 0x155 and data == bytes(8)


def _stopped(identifier: int, data: bytes) -> bool:
    return identifier == 0x2A1 and data[1] == ArmStatus.EMERGENCY_STOP


def _dropped(identifier: int, data: bytes) -> bool:
    """Tell whether a motor or the arm's status says that a joint has lost its power."""
    error = identifier == 0x2A1 and data[1] == ArmStatus.JOINT_STATUS_ERROR
    return error or (identifier == 0x263 and not data[5] & MotorStatus.ENABLED)


def _taught(identifier: int, data: bytes) -> bool:
    return identifier == 0x2A1 and data[0] == TEACHING


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
        missing=GROUPS["joints"],
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
        shows=_stopped,
    ),
    Fault(
        "motor fault",
        "latches, stops sending; /arm/recover leads out",
        lambda rig: rig.arm.fail_motor(2),
        _fault,
        "joint error",
        latched=True,
        shows=_dropped,
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
        "a joint is blocked",
        "latches, and lets go: its target goes back to where it stands; nothing else moves in a fault",
        _block,
        _fault,
        "is blocked",
        lambda rig: rig.arm.put_in_the_way(),
        latched=True,
        told_within=True,
    ),
    Fault(
        "arm status (0x2A1) stops",
        "latches after 0.25 s, not a step further; goes on sending the last target",
        lambda rig: rig.arm.wire.stop("status"),
        _fault,
        "no arm status",
        lambda rig: rig.arm.wire.stop(),
        latched=True,
        missing=GROUPS["status"],
    ),
    Fault(
        "motor states (0x261 to 0x266) stop",
        "latches after 0.25 s, not a step further; goes on sending the last target",
        lambda rig: rig.arm.wire.stop("motors"),
        _fault,
        "no motor states",
        lambda rig: rig.arm.wire.stop(),
        latched=True,
        missing=GROUPS["motors"],
    ),
    Fault(
        "efforts (0x251 to 0x256) stop",
        "latches after 0.25 s, not a step further; goes on sending the last target",
        lambda rig: rig.arm.wire.stop("speeds"),
        _fault,
        "no efforts",
        lambda rig: rig.arm.wire.stop(),
        latched=True,
        missing=GROUPS["speeds"],
    ),
    Fault(
        "teach button",
        "latches, stops sending: the arm is in a person's hands; released, /arm/clear_fault and /arm/enable",
        lambda rig: rig.arm.press_teach_button(),
        _fault,
        "teaching",
        lambda rig: rig.arm.press_teach_button(),
        latched=True,
        silent=True,
        shows=_taught,
    ),
    Fault(
        "teach button, firmware obeys 0x151",
        "the same: no frame of ours takes it back",
        lambda rig: rig.arm.press_teach_button(obeys=True),
        _fault,
        "teaching",
        lambda rig: rig.arm.press_teach_button(),
        latched=True,
        silent=True,
        shows=_taught,
    ),
    Fault(
        "a motor reports overcurrent, the arm nothing",
        "latches, holds",
        lambda rig: rig.arm.alarm(2, MotorStatus.OVERCURRENT),
        _fault,
        "motor 3: overcurrent",
        latched=True,
    ),
    Fault(
        "somebody else commands the arm",
        "latches, stops sending: never fights, never pulls it back",
        _meddle,
        _fault,
        "somebody else",
        latched=True,
        silent=True,
        shows=_of_another,
    ),
    Fault(
        "somebody else commands the arm, not heard",
        "latches once the joints go elsewhere and no motor pulls them back; stops sending: never fights",
        _lead,
        _fault,
        "not heard on the bus",
        lambda rig: rig.arm.wire.lead(),
        latched=True,
        silent=True,
    ),
    Fault(
        "somebody else asks for another move mode, not heard",
        "latches, stops sending: never fights",
        _other_mode,
        _fault,
        "gone over to MOVE L",
        latched=True,
        silent=True,
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


def provoke(rig: Rig, fault: Fault, watch: threading.Thread | None = None) -> float:
    """Let an enabled arm set out, provoke the fault, and return how long it took to be noticed, s.

    `watch` is started just before.

    Raises:
        TimeoutError: it was not.
    """
    rig.submit(FAR)
    start = rig.state().target
    rig.until(lambda state: bool(np.abs(state.target - start).max() > 0.05))
    if watch is not None:
        watch.start()
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
