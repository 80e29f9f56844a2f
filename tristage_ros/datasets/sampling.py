"""Which moments of an episode become frames: at a rate, or where something happens; idle ends are left away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.datasets.track import Track
from tristage_ros.devices.arm.kinematics import forward, tool_pose

Floats = NDArray[np.float64]

# When an arm is idle, and how much of that is kept.
WINDOW = 0.2  # s over which motion is told from noise
STILL = 0.02  # rad/s, of the joint that turns most
STILL_GRIPPER = 0.01  # m/s
LEAD, TAIL = 0.3, 0.5  # s that are kept before the first motion and after the last

# Key frames.
GRID = 0.02  # s
PAUSE = 0.15  # s at rest that are a pause
ACTED = 0.01  # m by which the gripper's command changes when it acts
REACH = 0.2  # s before and after a corner ...
LEAST = 0.015  # m that the tool goes in either ...
CORNER = np.radians(60.0)  # and by how much it turns there
APART = 0.25  # s; key frames nearer than that are one

# A rate.
SLACK = 0.9  # share of a rate that cameras have to deliver
GAP = 0.5  # s without a frame that no policy would have had


@dataclass(frozen=True)
class Sampling:
    """Say how episodes are sampled."""

    rate: float = 10.0  # Hz; 0: key frames
    trims: bool = True  # leave idle ends away


def busy(track: Track, begin: float, end: float) -> tuple[float, float]:
    """Return from when to when (s, of `begin` to `end`) the arm or its gripper moves, with a little before and after.

    Raises:
        ValueError: it never moves.
    """
    times = np.arange(begin, end, GRID)
    before, after = times - WINDOW / 2, times + WINDOW / 2
    speed = np.abs(_at(track, after) - _at(track, before)) / WINDOW
    moving = np.flatnonzero((speed[:, :6].max(axis=1, initial=0.0) > STILL) | (speed[:, 6] > STILL_GRIPPER))
    if not len(moving):
        raise ValueError(f"the arm never moves from {begin:.2f} to {end:.2f} s: discard it, or trim it otherwise")
    return max(begin, times[moving[0]] - LEAD), min(end, times[moving[-1]] + TAIL)


def at_rate(stamps: Floats, rate: float) -> list[int]:
    """Return which of `stamps` (s, ascending) are frames of a dataset of `rate` Hz.

    Raises:
        ValueError: they are too few for that rate, or there is a gap.
    """
    if len(stamps) == 1:
        return [0]
    gaps = np.diff(stamps)
    usual, where = float(np.median(gaps)), int(gaps.argmax())
    if usual * rate * SLACK > 1.0:
        raise ValueError(
            f"frames come at {1 / usual:.1f} Hz, not at the {rate:g} Hz that are asked for: give a lower rate"
        )
    if gaps[where] > GAP:
        raise ValueError(
            f"no whole frame for {gaps[where]:.2f} s after {stamps[where] - stamps[0]:.2f} s: trim it to one side, or "
            "discard it"
        )
    ticks = np.arange(stamps[0], stamps[-1] + usual / 2, 1.0 / rate)
    after = np.searchsorted(stamps, ticks).clip(1, len(stamps) - 1)
    nearest = np.where(ticks - stamps[after - 1] <= stamps[after] - ticks, after - 1, after)
    return [int(index) for index in np.unique(nearest)]


def at_key_frames(stamps: Floats, track: Track, begin: float, end: float) -> tuple[list[int], float]:
    """Return which of `stamps` (s) are key frames, and the moment (s) of the last, which is only gone to.

    A frame is the first one at or after the moment that it stands for: the tool is there, and the scene as it was left.
    """
    moments = key_moments(track, begin, end)
    *seen, goal = [begin, *moments] if moments else [begin, end]
    indices = np.searchsorted(stamps, np.array(seen) - GRID).clip(0, len(stamps) - 1)
    return [int(index) for index in np.unique(indices)], goal


def key_moments(track: Track, begin: float, end: float) -> list[float]:
    """Return when (s, after `begin`) the tool paused, the gripper had acted, or the direction broke."""
    times = np.arange(begin, end + GRID, GRID)
    joints = _at(track, times)
    tool = tool_pose(forward(joints[:, :6], track.dh_is_offset))[:, :3, 3]
    found = [*_pauses(times, joints), *_acts(track, times), *_corners(times, tool), end]
    moments: list[float] = []
    for moment in sorted(time for time in found if time > begin + APART):
        if moments and moment - moments[-1] < APART:
            moments[-1] = moment
        else:
            moments.append(moment)
    return moments


def _at(track: Track, times: Floats) -> Floats:
    return np.stack([np.interp(times, track.stamps, column) for column in track.measured.T], axis=1)


def _pauses(times: Floats, joints: Floats) -> list[float]:
    """Return when the joints had come to rest for `PAUSE`."""
    half = max(round(WINDOW / 2 / GRID), 1)
    speed = np.zeros(len(times))
    speed[half:-half] = np.abs(joints[2 * half :, :6] - joints[: -2 * half, :6]).max(axis=1) / (2 * half * GRID)
    runs = _runs(speed < STILL)
    return [float(times[first]) for first, last in runs if times[last] - times[first] >= PAUSE]


def _acts(track: Track, times: Floats) -> list[float]:
    """Return when the gripper's command had changed and its fingers were still again."""
    openings = np.array([track.commanded(time)[6] for time in times])
    changed = np.abs(np.diff(openings, prepend=openings[0])) > 1e-6
    half = round(WINDOW / GRID)
    acts = []
    for first, last in _runs(changed):
        if abs(openings[last] - openings[max(first - 1, 0)]) < ACTED:
            continue
        fingers = np.interp(times[last:], track.stamps, track.measured[:, 6])
        speed = np.abs(fingers[half:] - fingers[:-half]) / WINDOW if len(fingers) > half else np.zeros(1)
        still = np.flatnonzero(speed < STILL_GRIPPER)
        settled = half + int(still[0]) if len(still) else len(fingers) - 1
        acts.append(float(times[min(last + settled, len(times) - 1)]))
    return acts


def _corners(times: Floats, tool: Floats) -> list[float]:
    """Return where the way before and the way behind make a corner, the sharpest point of each."""
    reach = round(REACH / GRID)
    if len(times) <= 2 * reach:
        return []
    into, out = tool[reach:-reach] - tool[: -2 * reach], tool[2 * reach :] - tool[reach:-reach]
    lengths = np.linalg.norm(into, axis=1), np.linalg.norm(out, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (into * out).sum(axis=1) / (lengths[0] * lengths[1])
    angle = np.where(np.minimum(*lengths) > LEAST, np.arccos(np.clip(cosine, -1.0, 1.0)), 0.0)
    return [float(times[reach + first + angle[first : last + 1].argmax()]) for first, last in _runs(angle > CORNER)]


def _runs(flags: NDArray[np.bool_]) -> Sequence[tuple[int, int]]:
    """Return the first and the last index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]
