"""How closely the emulated arm follows an emulated leader in a hand, through the real SDK on both buses, and how late.

The hand goes to and fro with all joints, smoothly, trembling as hands do. The way from a leader's frame to a set-point
is looked at on the buses: by how much the set-points are best shifted to lie on the leader's joints, and how far they
are from them then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bench.arm.rig import Rig, Tap
from tristage_ros.devices.arm.config import ControllerConfig
from tristage_ros.devices.arm.values import ArmMode, LeadState

Floats = NDArray[np.float64]

PACES = (0.2, 0.5, 1.0)  # rad/s of the fastest joint, at most
_SWING = 0.3 * np.array([1.0, 0.5, -0.5, 1.0, -1.0, 1.0])  # rad
_LONGEST = 0.4  # s that set-points or joints may be late
_HEAD = (
    "| leader at most | set-points behind the leader's frames | from it then: median | largest "
    "| measured joints behind | held or ended meanwhile |",
    "|--:|--:|--:|--:|--:|---|",
)


def table(seconds: float) -> Iterator[str]:
    """Yield a row for every pace at which a hand goes to and fro for so long; nothing holds the arm back but itself.

    Raises:
        RuntimeError: the emulated arm refuses.
    """
    yield from _HEAD
    for pace in PACES:
        yield _row(pace, seconds)


def _row(pace: float, seconds: float) -> str:
    with Rig(ControllerConfig(), led=True) as rig:
        assert rig.leader is not None and rig.tap is not None
        ear = Tap(rig.leader.channel)
        try:
            rig.lead()
            rig.until(lambda state: state.lead.state is LeadState.LEADING)
            measured, words = _swing(rig, pace, seconds)
        finally:
            ear.close()
        leader, sent = ear.setpoints(), rig.tap.setpoints()
    begin, end = measured[0, 0] + _LONGEST, measured[-1, 0]
    late, distance = _behind(leader, sent[(sent[:, 0] > begin) & (sent[:, 0] < end)])
    arm_late, _ = _behind(leader, measured[measured[:, 0] > begin])
    return (
        f"| {pace:.1f} rad/s | {late * 1e3:.0f} ms | {np.median(distance) * 1e3:.1f} mrad "
        f"| {distance.max() * 1e3:.1f} mrad | {arm_late * 1e3:.0f} ms | {words or 'no'} |"
    )


def _swing(rig: Rig, pace: float, seconds: float) -> tuple[Floats, str]:
    """Let the hand go to and fro; return the measured joints [n, 7], s and rad, and what was told meanwhile."""
    leader = rig.leader
    assert leader is not None
    middle, side, samples, words = leader.position, 1.0, [], ""
    leader.hand.speed = pace
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not leader.busy:
            leader.reach(middle + side * _SWING)
            side = -side
        state = rig.state()
        if state.mode is ArmMode.FAULT:
            raise RuntimeError(state.reason)
        words = words or state.lead.words
        if not samples or state.feedback.stamp > samples[-1][0]:
            samples.append([state.feedback.stamp, *state.position])
        time.sleep(0.004)
    return np.array(samples), words


def _behind(leader: Floats, follows: Floats) -> tuple[float, Floats]:
    """Return by how much, s, joints [n, 7] are best shifted to lie on the leader's, and how far off they are, rad."""

    def distances(late: float) -> Floats:
        there = np.stack([np.interp(follows[:, 0] - late, leader[:, 0], leader[:, k]) for k in range(1, 7)], 1)
        apart: Floats = np.abs(there - follows[:, 1:]).max(1)
        return apart

    late = float(min(np.arange(-0.05, _LONGEST, 0.001), key=lambda shift: float(np.square(distances(shift)).sum())))
    return late, distances(late)
