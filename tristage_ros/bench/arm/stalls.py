"""What the arm does while the process of its node stands still, and what the node does after: a table.

The emulated arm is in this process, so that it goes on, as a real one does: to the last target that it was given.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tristage_ros.bench.arm.conditions import Account, Figure, verdict
from tristage_ros.bench.arm.log import Floats, Log
from tristage_ros.bench.arm.surface import Surface
from tristage_ros.devices.arm.guard import GuardConfig
from tristage_ros.graph.graph import environment
from tristage_ros.resources import resource
from tristage_ros.ros.joints import ARM_JOINTS

LENGTHS = (0.05, 0.1, 0.2, 0.5, 0.9, 1.2)  # s
KINDS = ("interpreter", "process")
SCALE = 1.0
_TOOL_SPEED = 2.0  # m/s in the site: the tool does not slow joint 1 down
_TURN, _TURN_TIME = 1.0, 1.5  # rad to either side of joint 1; s, at full speed
_UNDER_WAY = 0.6  # s after which it goes at full speed
_AFTER = 2.4  # s that are looked at after a stall
_LATE = 0.06  # s by which a set-point may come late beside a stall: two periods, and what the system adds
_STEP = 0.02  # s of motion that one set-point may stand for
_BACK = 0.01  # rad that set-points may go back: the guard's rounding, and a joint's noise
_THERE = 0.05  # rad from its goal, within which the arm has gone on
_ROUNDING = 1e-4  # rad: targets are in thousandths of a degree
_HANGS = 0.04  # rad by which a servo may hang below its target, which is no lead
_LIMITS = GuardConfig()


@dataclass(frozen=True)
class Stalled:
    """Hold what one stall came to."""

    gap: float  # s between two set-points
    travelled: float  # rad that joint 1 went meanwhile
    braked: float  # rad/s^2, the hardest that the arm slowed down meanwhile
    lead: float  # rad, the farthest that a set-point was ahead of the joint in the time after
    step: float  # rad, of the first set-point after
    speed: float  # rad/s, the fastest of the set-points after
    back: float  # rad that the set-points after went back
    outcome: str  # "goes on", "path ends" or "fault"


def judged(log: Log, began: float, seconds: float, goal: float) -> Stalled:
    """Return what a stall came to, by what was on the bus.

    Args:
        log: of the frames.
        began: s, when it began, with joint 1 on its way.
        seconds: how long it was.
        goal: rad, of joint 1.

    Raises:
        ValueError: there are no set-points before or after it, or this process stood still meanwhile.
    """
    end = began + seconds + _AFTER
    if (lost := log.stalled(began - 0.2, began + seconds + 0.5)) > 0.0:
        raise ValueError(f"the measuring process stood still itself, for {lost:.2f} s")
    joints, targets = log.measured()[:, :2], log.setpoints()[:, :2]  # s, rad of joint 1
    targets = targets[(targets[:, 0] > began - 0.2) & (targets[:, 0] < end)]
    steps = np.diff(targets, axis=0)
    if not (targets[:, 0] < began).any() or not (targets[:, 0] > began + seconds).any():
        raise ValueError("no set-points before or after a stall")
    gap = int(np.where(targets[:-1, 0] < began + seconds, steps[:, 0], 0.0).argmax())
    way = math.copysign(1.0, goal - targets[0, 1])
    arm = np.interp(targets[:, 0], joints[:, 0], joints[:, 1])
    later = steps[gap + 1 :]
    return Stalled(
        gap=float(steps[gap, 0]),
        travelled=float(way * (arm[gap + 1] - arm[gap])),
        braked=_braked(joints, targets[gap, 0], targets[gap + 1, 0], way),
        lead=float(np.abs(targets[gap + 1 :, 1] - arm[gap + 1 :]).max()),
        step=float(abs(steps[gap, 1])),
        speed=float((np.abs(later[:, 1]) / np.maximum(later[:, 0], _STEP)).max(initial=0.0)),
        back=float(np.maximum(-way * steps[gap:, 1], 0.0).sum()),
        outcome=_outcome(log, began, end, abs(targets[-1, 1] - goal)),
    )


def _braked(joints: Floats, begin: float, end: float, way: float) -> float:
    """Return the hardest that joint 1 slowed down in that time, rad/s^2, over 50 ms each; NaN in less than two."""
    span = 0.05
    stamps = np.arange(begin, end - 2 * span, 0.005)
    if not len(stamps):
        return math.nan
    at = np.stack([np.interp(stamps + k * span, joints[:, 0], joints[:, 1]) for k in range(3)])
    return float((-way * (at[2] - 2.0 * at[1] + at[0]) / span**2).max())


def _outcome(log: Log, begin: float, end: float, short: float) -> str:
    if any(fault for stamp, fault in log.statuses if begin < stamp < end):
        return "fault"
    return "path ends" if short > _THERE else "goes on"


def _wanted(seconds: float, gap: float) -> tuple[str, ...]:
    """Return what may become of the path, by the guard's own times; a gap is longer than what it comes from."""
    if gap > _LIMITS.lost_after:
        return ("fault",)
    if seconds > _LIMITS.gap_after:
        return ("path ends",)
    return ("goes on",) if gap <= _LIMITS.gap_after else ("goes on", "path ends")


class _Bench:
    """Hold an arm node and the emulated arm, whose joint 1 swings at full speed."""

    def __init__(self, folder: Path) -> None:
        site = folder / "site.yaml"
        shipped = resource("config", "site.yaml").read_text(encoding="utf-8")
        site.write_text(re.sub(r"(?m)^tool_speed: \S+", f"tool_speed: {_TOOL_SPEED}", shipped), encoding="utf-8")
        given = {"command_source": "trajectory", "site_file": str(site)}
        self.surface = Surface(SCALE, folder, "tristage_ros.bench.arm.stalled_node", given)
        self._side = 1.0

    def once(self, kind: str, seconds: float) -> Stalled:
        """Let the arm set out, and its node stand still on the way.

        Raises:
            RuntimeError: it does not set out; ValueError: as `judged`.
        """
        surface, goal = self.surface, self._side * _TURN
        self._enable()
        self._swing(goal)
        time.sleep(_UNDER_WAY)
        began = time.monotonic()
        if kind == "process":
            surface.freeze(seconds)
        else:
            surface.type(f"{seconds}")
            time.sleep(seconds)
        time.sleep(_AFTER)
        self._side = -self._side
        return judged(surface.log, began, seconds, goal)

    def _enable(self) -> None:
        for name in ("clear_fault", "enable"):
            call = self.surface.until(self.surface.call(name))
            if not call.success:
                raise RuntimeError(f"{name}: {call.message}")
        self._swing(-self._side * _TURN)
        time.sleep(2.0 * _TURN_TIME)
        if abs(self._joint() + self._side * _TURN) > _THERE:
            raise RuntimeError("joint 1 does not go where the way begins")

    def _joint(self) -> float:
        return float(self.surface.log.measured()[-1, 1])

    def _swing(self, goal: float) -> None:
        joints = self.surface.log.measured()[-1, 1:].tolist()
        message = JointTrajectory(joint_names=list(ARM_JOINTS))
        point = JointTrajectoryPoint(positions=[goal, *joints[1:]])
        point.time_from_start.sec, point.time_from_start.nanosec = int(_TURN_TIME), int(_TURN_TIME % 1.0 * 1e9)
        message.points.append(point)
        self.surface.trajectories.publish(message)


def _row(kind: str, seconds: float, found: list[Stalled], account: Account) -> str:
    """Return a row of the table, and count its verdict."""

    def figure(name: str, limit: float = math.nan) -> Figure:
        return Figure([getattr(each, name) for each in found], limit)

    top = SCALE * _LIMITS.max_velocity
    gap = figure("gap", seconds + _LATE)
    step, speed = figure("step", top * _STEP + _ROUNDING), figure("speed", top + _ROUNDING / _STEP)
    lead, back = figure("lead", _LIMITS.max_lead + _HANGS), figure("back", _BACK)
    outcomes = sorted({each.outcome for each in found})
    wrong = [each for each in found if each.outcome not in _wanted(seconds, each.gap)]
    told = "missed" if wrong else verdict(gap, step, speed, lead, back)
    cells = [
        kind,
        f"{seconds:g} s",
        gap.told("ms", 1e3),
        figure("travelled").told("mrad", 1e3),
        figure("braked").told("rad/s²", 1.0, 1),
        step.told("mrad", 1e3),
        speed.told("rad/s", 1.0, 2),
        lead.told("mrad", 1e3),
        back.told("mrad", 1e3),
        ", ".join(outcomes),
        account.take(told),
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| what stands still | for | set-points apart | arm goes meanwhile | brakes | first step after | fastest after "
    "| lead after | goes back | path | limits |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|---|---|"
)


def table(repetitions: int, account: Account) -> Iterator[str]:
    """Yield the table, line by line, each row of the largest of so many stalls; count its verdicts."""
    os.environ.update(environment(simulated=True))
    rclpy.init(args=[])
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = _Bench(Path(folder))
            try:
                yield HEAD
                for kind, seconds in itertools.product(KINDS, LENGTHS):
                    found, trouble = [], []
                    for _ in range(repetitions):
                        try:
                            found.append(bench.once(kind, seconds))
                        except (RuntimeError, ValueError) as error:
                            trouble.append(str(error))
                    yield _row(kind, seconds, found, account) if found else f"| {kind} | {seconds:g} s |" + " - |" * 9
                    account.trouble += len(trouble)
                    yield from (f"({kind}, {seconds:g} s, once not measured: {each})" for each in trouble)
            finally:
                bench.surface.close()
    finally:
        rclpy.try_shutdown()
