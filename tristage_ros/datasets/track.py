"""Where the arm was over an episode, and where it was told to be: actions are what was commanded, not what came of it.

Where the arm did not obey, as under a hand that leads it by its teach button, what was measured is what was shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bags.messages import as_current
from tristage_ros.bags.reader import BagReader
from tristage_ros.bags.recording import ARM_STATUS, JOINT_STATE, JOINTS, STATUS
from tristage_ros.devices.arm.kinematics import (
    GRIPPER_RANGE,
    dh_is_offset,
    forward,
    matrix_to_quaternion,
    tool_pose,
)
from tristage_ros.devices.arm.values import ActionChunk, CommandSource
from tristage_ros.observing.joints import ARM_JOINTS, GRIPPER_JOINT, OUT_OF_ORDER, positions_of
from tristage_ros.observing.messages import seconds

Floats = NDArray[np.float64]

HAND = "hand"  # who moves an arm that does not obey
OBEYS = (2, 3)  # modes of an ArmStatus: holding, moving
MOST_RADIANS, MOST_METRES = 4.0, 0.2  # no joint turns so far, no gripper opens so wide: they are other units
NAMES = (*ARM_JOINTS, GRIPPER_JOINT)


@dataclass(frozen=True)
class Track:
    """Hold joints [7], rad and the gripper's opening in m, as they were measured and commanded."""

    stamps: Floats  # [N] s, ascending
    measured: Floats  # [N, 7]
    told_at: Floats  # [M] s, ascending
    told: Floats  # [M, 7]
    sources: Sequence[str]  # [M] who moved the arm
    dh_is_offset: bool

    def at(self, stamp: float) -> Floats:
        """Return what was measured at `stamp` (s), [7]."""
        return np.array([np.interp(stamp, self.stamps, column) for column in self.measured.T])

    def commanded(self, stamp: float) -> Floats:
        """Return where the arm was told to be at `stamp` (s), [7]; the gripper is told in steps, joints are not."""
        joints = [np.interp(stamp, self.told_at, column) for column in self.told[:, :6].T]
        return np.array([*joints, self.told[self._newest(stamp), 6]])

    def source(self, stamp: float) -> str:
        """Return who moved the arm at `stamp`, s."""
        return self.sources[self._newest(stamp)]

    def action(self, joints: Floats, stamp: float, until: float, time_step: float) -> ActionChunk:
        """Return what was commanded for the moment `until`, seen from `stamp` (s), when `joints` [7] were measured."""
        told = self.commanded(until)
        tool, here = (tool_pose(forward(place[:6], self.dh_is_offset)) for place in (told, joints))
        gripper = np.clip(told[6] / GRIPPER_RANGE[1], 0.0, 1.0)
        return ActionChunk(
            stamp=stamp,
            time_step=time_step,
            translation=(tool[:3, 3] - here[:3, 3])[None],
            orientation=matrix_to_quaternion(tool[:3, :3])[None],
            gripper=np.array([gripper]),
        )

    def _newest(self, stamp: float) -> int:
        return max(int(np.searchsorted(self.told_at, stamp, side="right")) - 1, 0)


def read_track(bag: BagReader) -> Track:
    """Return the track of a bag; without an arm's status, what was measured is what was shown.

    Raises:
        ValueError: joints have other names or units, values are not finite, or the clock went back.
        BagError: the bag is damaged.
    """
    states, statuses = list[tuple[float, Floats]](), list[tuple[float, Any]]()
    for message in bag.messages_of({JOINTS: JOINT_STATE, STATUS: ARM_STATUS}):
        value = message.value
        stamp = seconds(value.header.stamp)
        if message.topic == JOINTS:
            states.append((stamp, _checked(positions_of(value), f"{JOINTS} at {stamp:.3f} s")))
        else:
            statuses.append((stamp, as_current(value)))
    if not states:
        raise ValueError(f"nothing on {JOINTS}; {bag.contents}")
    stamps, measured = _sorted(JOINTS, states)
    versions = [status.firmware for _, status in statuses if status.firmware]
    is_offset = dh_is_offset(versions[-1]) if versions else True
    if not statuses:
        return Track(stamps, measured, stamps, measured, [HAND] * len(stamps), is_offset)
    told = [(stamp, _told(status, stamp, stamps, measured)) for stamp, status in statuses]
    told_at, targets = _sorted(STATUS, told)
    order = np.argsort([stamp for stamp, _ in statuses], kind="stable")
    return Track(stamps, measured, told_at, targets, [_source(statuses[i][1]) for i in order], is_offset)


def _sorted(topic: str, samples: Sequence[tuple[float, Floats]]) -> tuple[Floats, Floats]:
    stamps = np.array([stamp for stamp, _ in samples])
    back = np.flatnonzero(np.diff(stamps) < -OUT_OF_ORDER)
    if len(back):
        raise ValueError(f"{topic}: the clock went back by {stamps[back[0]] - stamps[back[0] + 1]:.2f} s")
    order = np.argsort(stamps, kind="stable")
    return stamps[order], np.stack([value for _, value in samples])[order]


def _told(status: Any, stamp: float, stamps: Floats, measured: Floats) -> Floats:
    if not _obeys(status):
        return np.array([np.interp(stamp, stamps, column) for column in measured.T])
    told = np.array([*status.joint_target, status.gripper_target], np.float64)
    where = f"the target in {STATUS} at {stamp:.3f} s"
    if not np.isfinite(told).all():
        raise ValueError(f"{where} is not finite: {told.tolist()}")
    return _checked(told, where)


def _checked(values: Floats, where: str) -> Floats:
    for name, value, most in zip(NAMES, values, (*[MOST_RADIANS] * 6, MOST_METRES), strict=True):
        if abs(value) > most:
            unit, others = ("m", "mm or shares") if name == GRIPPER_JOINT else ("rad", "degrees")
            raise ValueError(
                f"{where}: {name} is {value:g}, which cannot be {unit}; convert it, it looks like {others}"
            )
    return values


def _obeys(status: Any) -> bool:
    return status.mode in OBEYS and not status.dry_run


def _source(status: Any) -> str:
    return CommandSource(status.command_source).name.lower() if _obeys(status) else HAND
