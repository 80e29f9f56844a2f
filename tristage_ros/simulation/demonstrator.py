"""A person who demonstrates a task by leading: brings the leader near, asks for it to be engaged, does what experts do.

It looks at the cell as it truly is, as the scripted experts do, and acts through the leader alone: a hand, its
firmware, and whatever lies between the leader and the arm. Nothing here tells the arm anything.
"""

from __future__ import annotations

import math
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, UnreachablePoseError, flange_pose, inverse
from tristage_ros.devices.arm.values import LeadState
from tristage_ros.simulation.cell import Cell
from tristage_ros.simulation.leader import EmulatedLeader
from tristage_ros.simulation.tasks.task import KeyFrame, World, tool_rotation

Floats = NDArray[np.float64]

_ARRIVED = 0.03  # rad between the arm and where the hand has gone
_PATIENCE = 3.0  # s that a person waits for an arm that does not come
_LOOKS = 0.4  # s that a person looks on before the next move
_ASKS = 1.0  # s between two calls to engage


class _Doing(Enum):
    LOOKS = auto()
    REACHES = auto()  # or waits for the arm
    GRASPS = auto()


class Demonstrator:
    """Lead one arm through its task; times are s on any clock that goes on."""

    def __init__(self, cell: Cell, leader: EmulatedLeader) -> None:
        """Take the leader of the cell's arm into the hand."""
        self._cell, self._leader = cell, leader
        self._doing, self._since = _Doing.LOOKS, -math.inf
        self._frame: KeyFrame | None = None
        self._asked = -math.inf
        self.stage = ""  # what the hand is about

    def act(self, now: float, state: LeadState) -> bool:
        """Go on with what there is to do; return whether the person calls for the leader to be engaged."""
        if state in (LeadState.TOO_FAR, LeadState.NOT_LEADING, LeadState.READY):
            return self._come_near(now, state)
        if state is LeadState.LEADING and not self._leader.busy:
            self._go_on(now)
        return False

    def _come_near(self, now: float, state: LeadState) -> bool:
        self.stage, self._doing, self._since = "brings the leader to the arm", _Doing.LOOKS, now
        if self._leader.busy:
            return False
        arm = self._arm()
        if state is LeadState.READY and np.abs(self._leader.position - arm).max() < 2 * _ARRIVED:
            ask, self._asked = now > self._asked + _ASKS, max(self._asked, now - _ASKS)
            self._asked = now if ask else self._asked
            return ask
        self._leader.reach(arm)
        return False

    def _go_on(self, now: float) -> None:
        if self._doing is _Doing.LOOKS:
            if now > self._since + _LOOKS:
                self._set_out(now)
        elif self._doing is _Doing.REACHES:
            there = np.abs(self._arm() - self._leader.position).max() < _ARRIVED
            if there or now > self._since + _PATIENCE:
                assert self._frame is not None
                self._leader.grasp(self._frame.gripper * GRIPPER_RANGE[1])
                self._doing, self._since = _Doing.GRASPS, now
        else:
            self._doing, self._since = _Doing.LOOKS, now

    def _set_out(self, now: float) -> None:
        """Decide what to do next, and begin to reach for it."""
        self._frame, joints = self._cell.ask(self._next)
        self.stage = self._frame.stage
        if joints is not None:
            self._leader.reach(joints)
        self._doing, self._since = _Doing.REACHES, now

    def _next(self, world: World) -> tuple[KeyFrame, Floats | None]:
        """Return the expert's next key frame, and the joints that are there, [6] rad, None where none are."""
        frame = self._cell.task.act(world)
        place = frame.position + np.array([0.0, 0.0, world.table])
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = tool_rotation(place, frame.yaw, frame.tilt), place
        try:
            return frame, inverse(flange_pose(pose), world.joints)
        except UnreachablePoseError:
            return frame, None

    def _arm(self) -> Floats:
        """Return where the joints of the arm are, [6] rad, as a person sees them."""
        return self._cell.ask(lambda world: world.joints.copy())
