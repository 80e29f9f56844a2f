"""No false alarm: the experts of the tasks on the table drive the emulated arm at the wire, and nothing may be a fault.

Lids and doors are pushed by design: a fault meanwhile is a false alarm like any other. The seed of an episode decides
where things stand, which task it is, what the gripper carries, the speed, and how seldom and late feedback comes:
forty episodes have all of it, and one of them is repeated by its seed.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tristage_ros.bench.arm.conditions import hanging
from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.kinematics import matrix_to_quaternion, rpy_to_matrix
from tristage_ros.devices.arm.piper import PiperError
from tristage_ros.devices.arm.values import ActionChunk, ArmMode, ChunkState
from tristage_ros.simulation.episode import AFTERMATH, as_action
from tristage_ros.simulation.firmware import RATE
from tristage_ros.simulation.instructions import TABLE
from tristage_ros.simulation.setting import Variation
from tristage_ros.simulation.tasks.task import World

_LONGEST = 40.0  # s that a key frame may take
_LOST = 0.05  # of the emulated arm's time, from which on a fault says something about this machine
_NEW = 2.0  # s within which an observation has to be newer than the one before


@dataclass(frozen=True)
class Setting:
    """Say under which conditions an episode is led."""

    task: str
    payload: float  # kg
    speed_scale: float
    slow: bool  # feedback at 20 Hz and 80 ms late

    def line(self) -> str:
        """Put it in words."""
        feedback = "20 Hz feedback 80 ms late" if self.slow else "usual feedback"
        return f"{self.task}, {self.payload:g} kg, speed {self.speed_scale:g}, {feedback}"


def setting_of(seed: int) -> Setting:
    """Return the conditions of an episode; forty seeds in a row have them all."""
    names = list(TABLE)
    return Setting(
        names[seed % len(names)],
        (0.0, 0.5)[seed // 20 % 2],
        (1.0, 0.5)[seed // 10 % 2],
        bool(seed % 2),
    )


@dataclass
class Tally:
    """Count what became of the episodes."""

    episodes: int = 0
    succeeded: int = 0
    key_frames: int = 0
    unfinished: Counter[str] = field(default_factory=Counter)  # key frames refused or not reached: no fault
    faults: list[str] = field(default_factory=list)  # with seed, task and reason
    broken: list[str] = field(default_factory=list)  # episodes that this machine could not lead
    moving: float = 0.0  # s that arms were led

    def lines(self) -> list[str]:
        """Put it in words."""
        told = [
            f"{self.episodes} episodes, {self.succeeded} succeeded, {self.key_frames} key frames, "
            f"{self.moving / 60:.1f} min led; {sum(self.unfinished.values())} key frames refused or not reached; "
            f"{len(self.faults)} false alarms"
        ]
        told += [f"  not carried out: {count} x {reason}" for reason, count in self.unfinished.most_common(5)]
        told += [f"NOT LED: {line}" for line in self.broken]
        return told + [f"FALSE ALARM: {fault}" for fault in self.faults]


def alarms(seconds: float, seed: int, tell: Callable[[str], None]) -> Tally:
    """Lead one episode after the other for so long, at least one; `tell` hears a line for each."""
    tally, end = Tally(), time.monotonic() + seconds
    for each in itertools.count(seed):
        tell(_episode(each, tally))
        if time.monotonic() > end:
            return tally
    raise AssertionError("unreachable")


def _episode(seed: int, tally: Tally) -> str:
    setting = setting_of(seed)
    scene = {"task": setting.task, "seed": seed, "variation": Variation(light=0.0, color=0.0), "tapped": False}
    tally.episodes += 1
    try:
        rig = hanging(setting.speed_scale, setting.payload, setting.slow, **scene)
    except (PiperError, RuntimeError) as error:  # as on a machine that is too busy
        tally.broken.append(f"seed {seed}: {setting.line()}: {error}")
        return tally.broken[-1]
    with rig:
        began, missed = time.monotonic(), rig.arm.missed_ticks
        try:
            done, stage = _lead(rig, tally)
        except TimeoutError as error:
            done, stage = False, f"given up: {error}"
        took = time.monotonic() - began
        late = (rig.arm.missed_ticks - missed) / (RATE * took)
        state = rig.state()
    tally.moving += took
    tally.succeeded += done
    line = f"seed {seed}: {setting.line()}: {'done' if done else 'not done'} after {took:.1f} s"
    if state.mode is ArmMode.FAULT:
        line += f"; FAULT at {stage!r}: {state.reason}; {late:.1%} of the emulated arm's time was lost"
        (tally.broken if late > _LOST else tally.faults).append(line)
    elif not done:
        line += f", last at {stage!r}"
    return line


def _lead(rig: Rig, tally: Tally) -> tuple[bool, str]:
    """Let the expert drive until the task is done, an end or a fault; return whether it is done, and the last stage.

    Raises:
        TimeoutError: the arm takes no observation, or does not end a key frame.
    """
    task, stage, before = rig.cell.task, "", -np.inf
    for _ in range(task.max_steps):
        rig.until(lambda state, before=before: state.feedback.stamp > before, _NEW)
        stamp = before = rig.state().feedback.stamp
        stage, chunk = rig.cell.ask(lambda world, stamp=stamp: _answer(rig, world, stamp))
        tally.key_frames += 1
        accepted, reason = rig.controller.submit(chunk)
        if accepted:
            rig.until(lambda state: state.chunk_state is not ChunkState.EXECUTING, _LONGEST)
            reason = rig.state().chunk_reason
        if rig.state().mode is ArmMode.FAULT:
            return False, stage
        if reason:
            tally.unfinished[_kind(reason)] += 1
        time.sleep(AFTERMATH)
        if rig.cell.success() or rig.state().mode is ArmMode.FAULT:
            break
    return rig.cell.success(), stage


def _answer(rig: Rig, world: World, stamp: float) -> tuple[str, ActionChunk]:
    """Return the expert's next stage, and its key frame as a policy would send it on an observation made at `stamp`."""
    frame = rig.cell.task.act(world)
    action = as_action(frame, world.tool)
    turned = np.array([matrix_to_quaternion(rpy_to_matrix(angles)) for angles in action.rotation])
    return frame.stage, ActionChunk(stamp, 0.0, action.translation, turned, action.gripper)


def _kind(reason: str) -> str:
    """Return a reason without its numbers, so that it can be counted."""
    return " ".join("N" if any(letter.isdigit() for letter in word) else word for word in reason.split())
