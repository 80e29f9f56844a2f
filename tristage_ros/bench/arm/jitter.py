"""What the arm makes of a policy that predicts with jitter: how smooth its wishes, set-points and joints are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm import kinematics
from tristage_ros.devices.arm.smoothness import WINDOW, Smoothness, smoothness
from tristage_ros.devices.arm.values import ArmState
from tristage_ros.reports.smoothness import in_words as smoothness_in_words

Floats = NDArray[np.float64]

CHUNK_RATE = 5.0  # Hz
JITTER = 0.005  # m, standard deviation of each chunk's offset along each axis
_REACH = np.array([0.0, 0.06, 0.04])  # m, of the motion that is wished for
_LAP = 8.0  # s


@dataclass(frozen=True)
class Kind:
    """Say how a policy puts what it wants."""

    name: str
    actions: int
    time_step: float  # s; 0: key frames

    def times(self, chunk: float) -> Floats:
        """Return at which times its actions are wished for, s, of a chunk that was observed at `chunk`."""
        return chunk + (self.time_step or 1.0 / CHUNK_RATE) * np.arange(1, self.actions + 1)


KINDS = (Kind("key frames", 1, 0.0), Kind("timed actions", 10, 0.05))


@dataclass(frozen=True)
class Jittered:
    """Hold how smooth a motion was at every stage, and how many of its chunks the arm took."""

    name: str
    jitter: float  # m
    seconds: float
    wished: Smoothness
    targets: Smoothness
    measured: Smoothness
    chunks: int
    refused: int

    def lines(self) -> list[str]:
        """Put it in words."""
        head = f"{self.name} for {self.seconds:g} s, {CHUNK_RATE:g} chunks/s, jitter {self.jitter * 1e3:g} mm"
        return [
            f"{head}: {self.chunks} accepted, {self.refused} refused",
            *(f"  {name}: {in_words(getattr(self, name))}" for name in ("wished", "targets", "measured")),
        ]


def in_words(moved: Smoothness) -> str:
    """Put in words how something moved."""
    return "{} reversals, {}, RMS jerk {}".format(*smoothness_in_words(moved))


def over_all(windows: Sequence[Smoothness]) -> Smoothness:
    """Return what windows that follow one another make together."""
    each = np.array([[window.reversals, window.variation, window.jerk] for window in windows])
    return Smoothness(float(each[:, 0].mean()), float(each[:, 1].sum()), float(np.sqrt(np.square(each[:, 2]).mean())))


def jittered(kind: Kind, jitter: float, seconds: float, seed: int = 0) -> Jittered:
    """Let chunks drive the emulated arm around an ellipse for whole windows in `seconds`, each off by a random offset.

    A wish is an action, of the newest chunk there is for its moment; from one to the next the straight line counts.

    Raises:
        RuntimeError: the emulated arm refuses to be enabled.
    """
    rng, each = np.random.default_rng(seed), round(WINDOW * CHUNK_RATE)
    windows, wishes = list[ArmState](), list[tuple[float, Floats]]()  # wishes: s (monotonic clock), m
    with Rig(tapped=False) as rig:
        rig.enable()
        started, began, offset = rig.state().position, time.monotonic(), rig.controller.dh_is_offset
        start = kinematics.tool_pose(kinematics.forward(started, offset))
        facing = np.tile(kinematics.matrix_to_quaternion(start[:3, :3]), (kind.actions, 1))
        for number in range(1, each * max(1, int(seconds / WINDOW)) + 1):
            state = rig.state()
            observed = kinematics.tool_pose(kinematics.forward(state.position, offset))[:3, 3]
            times = kind.times(state.feedback.stamp)
            goals = start[:3, 3] + np.array([_way(at - began) for at in times]) + jitter * rng.normal(size=3)
            rig.submit(*(goals - observed), stamp=state.feedback.stamp, time_step=kind.time_step, orientation=facing)
            wishes = [wish for wish in wishes if wish[0] < times[0]] + list(zip(times, goals, strict=True))
            time.sleep(max(0.0, began + number / CHUNK_RATE - time.monotonic()))
            if number % each == 0:
                windows.append(rig.state())
    return Jittered(
        kind.name,
        jitter,
        WINDOW * len(windows),
        smoothness(np.array([at for at, _ in wishes]), _joints([goal for _, goal in wishes], start, started, offset)),
        over_all([state.target_smoothness for state in windows]),
        over_all([state.measured_smoothness for state in windows]),
        windows[-1].chunks_accepted,
        windows[-1].chunks_refused,
    )


def _way(seconds: float) -> Floats:
    """Return where the tool is wished for after so long, m from where it began."""
    angle = 2.0 * np.pi * seconds / _LAP
    return _REACH * np.array([0.0, np.sin(angle), np.cos(angle) - 1.0])


def _joints(tools: Sequence[Floats], start: Floats, joints: Floats, dh_is_offset: bool) -> Floats:
    """Return the joints [n, 6] of tool positions [3] in the orientation of pose `start`, the first near `joints`."""
    rows = []
    for tool in tools:
        pose = start.copy()
        pose[:3, 3] = tool
        joints = kinematics.inverse(kinematics.flange_pose(pose), joints, dh_is_offset)
        rows.append(joints)
    return np.array(rows)
