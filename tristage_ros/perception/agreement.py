"""Whether the arm is where its joints say, and the cameras where their calibration says; and if not, which it is.

Two things in sight do not depend on the joints: the arm's base and the table for a camera on the base, the gripper for
a camera on the flange. If they are displaced, that camera has moved. If they are not, and the arm or the table that the
flange carries a camera over is, the joints are not what they say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.alignment import moved_camera, tilted_table, turned_joints
from tristage_ros.perception.cloud import RgbdFrame
from tristage_ros.perception.surfaces import (
    TABLE,
    ArmShape,
    Sight,
    Table,
    bare_table,
    compare,
    looked_through,
    measured_points,
)

Floats = NDArray[np.float64]

ARM, FRONT, WRIST = "arm", "front camera", "wrist camera"  # who is suspected
FRONT_STRIDE, WRIST_STRIDE = 4, 8  # pixels
BASE_SPOT = np.array([0.0, 0.0, 0.05])  # m, base frame: displacement of the base is told here
LEAST_BASE, LEAST_ARM, LEAST_GRIPPER, LEAST_SHARED = 30, 100, 60, 200  # pixels without which nothing is told
LEVER = 0.17  # m from the nearest joint that tilts the wrist camera, J5, to what is seen of the tool
OWN_SHARE = 0.5  # of what a suspect would have to show, from where on it does
OUTER = 0.9  # quantile of the displacements of what is seen of the table
UNKNOWN = math.nan


@dataclass(frozen=True)
class Limits:
    """Hold from where on something disagrees."""

    arm: float = 0.007  # m that base or tool is displaced
    gripper: float = 0.005  # m that the gripper is displaced, which fills much of the wrist camera's view
    table: float = 0.004  # m that the table is too high or too low
    tilt: float = math.radians(0.7)  # rad that the table leans
    share: float = 0.10  # of the arm's surface that is not there, or of points that another camera looks through
    gripper_share: float = 0.3  # of the gripper's surface that the wrist camera does not see: fingers differ


@dataclass(frozen=True)
class Look:
    """Hold what one pair of depth images says; UNKNOWN where it says nothing."""

    table: float  # m that the table is too high or too low for the front camera
    base: float  # m that the arm's base is displaced for it
    tool: float  # m that the tool is displaced for it, by what it sees of the arm
    missing: float  # share of the arm that it should see, and sees free space behind
    height: float  # m that the table is too high or too low for the wrist camera
    tilt: float  # rad that the table leans for it
    gripper: float  # m that the gripper is displaced for it
    gripper_missing: float  # share of the gripper that it should see, and sees free space behind
    through: float  # share of what it sees that the front camera looks through

    def excess(self, limits: Limits) -> dict[str, float]:
        """Return every figure over its limit, the largest that agrees being 1; without what is UNKNOWN."""
        over = {
            "table": self.table / limits.table,
            "base": self.base / limits.arm,
            "tool": self.tool / limits.arm,
            "missing": self.missing / limits.share,
            "height": self.height / limits.table,
            "tilt": self.tilt / limits.tilt,
            "gripper": self.gripper / limits.gripper,
            "gripper_missing": self.gripper_missing / limits.gripper_share,
            "through": self.through / limits.share,
        }
        return {name: value for name, value in over.items() if not math.isnan(value)}

    def suspects(self, limits: Limits) -> tuple[str, ...]:
        """Return who is most likely not where it is said to be: one, two that cannot be told apart, or none."""
        over = {name for name, value in self.excess(limits).items() if value > 1.0}
        cameras = (FRONT,) * bool(over & {"table", "base"}) + (WRIST,) * bool(over & {"gripper", "gripper_missing"})
        if cameras or not over:
            return cameras
        by_front, by_wrist = bool(over & {"tool", "missing"}), bool(over & {"height", "tilt", "through"})
        if by_front and by_wrist:
            return (ARM,)
        if by_front:
            return (ARM,) if self.base < OWN_SHARE * self.tool else (ARM, FRONT)
        return self._by_the_wrist_alone(over, limits)

    def _by_the_wrist_alone(self, over: set[str], limits: Limits) -> tuple[str, ...]:
        """Tell joints from a wrist camera that has moved where only its view of table and things disagrees.

        A joint that tilts the camera moves the tool as well, which the front camera sees.
        """
        due = LEVER * self.tilt if "tilt" in over else UNKNOWN
        if due > OWN_SHARE * limits.arm and not math.isnan(self.tool):
            return (ARM,) if self.tool > OWN_SHARE * due else (WRIST,)
        return (ARM,) if over == {"through"} and self.gripper < OWN_SHARE * limits.gripper else (ARM, WRIST)


def look(front: RgbdFrame | None, wrist: RgbdFrame | None, shape: ArmShape, table: Table) -> Look:
    """Return what depth images of a camera on the base and one on the flange say about an arm of this `shape`."""
    bare = None
    told: dict[str, float] = {}
    if front is not None:
        sight = compare(front, shape, table, FRONT_STRIDE)
        bare = bare_table(sight, table)
        told |= _by_front(front, sight, shape, table)
    if wrist is not None:
        told |= _by_wrist(wrist, shape, table, bare)
        if front is not None:
            told["through"] = _through(front, wrist)
    return Look(**{name: told.get(name, UNKNOWN) for name in Look.__dataclass_fields__})


def _by_front(frame: RgbdFrame, sight: Sight, shape: ArmShape, table: Table) -> dict[str, float]:
    told = {}
    base, arm = sight.of(sight.link == 0), sight.of(sight.link > 1)
    plane = sight.points[sight.link == TABLE]
    centre = plane.mean(0) if len(plane) else np.append(np.add(table.lower, table.upper) / 2, table.height)
    move = moved_camera(frame, shape, table, FRONT_STRIDE, (TABLE, 0), centre, sight)
    if len(plane) >= LEAST_SHARED:
        told["table"] = float(np.quantile(np.abs(move.at(plane)[:, 2]), OUTER))
    if (~base.hidden).sum() >= LEAST_BASE:
        told["base"] = float(np.linalg.norm(move.at(BASE_SPOT)))
    visible = ~arm.hidden
    if visible.sum() >= LEAST_ARM:
        told["missing"] = float(arm.missing.sum() / visible.sum())
        turn = turned_joints(frame, shape, table, FRONT_STRIDE, sight)
        tool = np.append(shape.solids.poses[-1][:3, 3], 1.0)  # a finger
        told["tool"] = float(np.linalg.norm((shape.turned(turn)[1] @ tool - tool)[:3]))
    return told


def _by_wrist(frame: RgbdFrame, shape: ArmShape, table: Table, bare: NDArray[np.bool_] | None) -> dict[str, float]:
    told = {}
    sight = compare(frame, shape, table, WRIST_STRIDE)
    tilt = tilted_table(sight, table, bare)
    if tilt is not None:
        told["height"], told["tilt"] = abs(float(tilt[0])), float(np.hypot(*tilt[1:]))
    gripper = sight.of(sight.link == 6)
    visible = ~gripper.hidden
    if visible.sum() >= LEAST_GRIPPER:
        centre = gripper.points.mean(0)
        move = moved_camera(frame, shape, table, WRIST_STRIDE, (6,), centre, sight)
        told["gripper"] = float(np.linalg.norm(move.shift))
        told["gripper_missing"] = float(gripper.missing.sum() / visible.sum())
    return told


def _through(front: RgbdFrame, wrist: RgbdFrame) -> float:
    through = looked_through(measured_points(wrist, WRIST_STRIDE), front, FRONT_STRIDE)
    return float(through.mean()) if len(through) >= LEAST_SHARED else UNKNOWN
