"""The arm's controller on simulated time: what a chunk goes through before it moves anything, without bus and clock."""

from __future__ import annotations

import numpy as np

from tristage_ros.devices.arm import chunks
from tristage_ros.devices.arm.controller import ControllerConfig
from tristage_ros.devices.arm.freshness import JointHistory
from tristage_ros.devices.arm.guard import Guard, RefusedError
from tristage_ros.devices.arm.trajectory import Execution
from tristage_ros.devices.arm.values import ActionChunk
from tristage_ros.simulation.arm import Plant
from tristage_ros.simulation.controller import GRIPPER_ACCELERATION, GRIPPER_SPEED, Drive
from tristage_ros.simulation.motion import Ramp

_EFFORT = 1.0  # N m, of the gripper, as the driver asks for
_POWERED = np.ones(6, np.bool_)


class DirectArm:
    """Carry out action chunks as the arm node does, and put every set-point straight into the plant.

    Chunks pass the same checks and become the same waypoints, path and guarded set-points as on the robot. Left out is
    what lies between a set-point and the motor: bus, driver and the firmware's own interpolation.
    """

    def __init__(self, plant: Plant, config: ControllerConfig) -> None:
        """Begin at rest where `plant` stands."""
        self._plant, self._config = plant, config
        self._guard = Guard(config.guard)
        self._guard.engage(plant.position, plant.opening, plant.position)
        speed = self._guard.tool_speed
        self._execution = Execution(config.motion, config.gripper, plant.position, plant.opening, speed)
        self._fingers = Ramp(np.array([plant.opening]))
        self._history = JointHistory()
        self._period = 1.0 / config.rate
        self._ticks = 0
        self.sent = np.array([*plant.position, plant.opening])  # newest set-point, [7] rad, gripper opening in m
        self._history.add(self.time, plant.position)

    @property
    def time(self) -> float:
        """Return the simulated time since the beginning, s."""
        return self._ticks * self._period

    @property
    def busy(self) -> bool:
        """Tell whether a chunk is under way."""
        return self._execution.busy

    @property
    def asked_gripper(self) -> float:
        """Return the opening that the gripper was last asked for, 0 closed .. 1 open."""
        low, high = self._config.guard.gripper_range
        return min(1.0, max(0.0, (self._execution.gripper - low) / (high - low)))

    @property
    def fault(self) -> str:
        """Return why the arm holds and takes no more chunks, "" when it does not."""
        return self._guard.fault

    def submit(self, chunk: ActionChunk) -> None:
        """Begin a chunk instead of the present one, without a jump.

        Raises:
            RefusedError, ValueError: it was refused; the arm goes on as before.
        """
        now, config, arm = self.time, self._config, self._plant.position
        chunks.check(chunk, now, config.chunks)
        if self._guard.fault:
            raise RefusedError(f"the arm is in fault: {self._guard.fault}")
        observed = self._history.at(chunk.stamp)
        goals = chunks.waypoints(chunk, now, observed, arm, config.chunks, config.guard)
        path = self._execution.trajectory.plan(goals, now, config.speed_scale)
        self._guard.check_path(path.positions())
        self._execution.start(path)

    def tick(self) -> None:
        """Advance arm and physics by one set-point."""
        plant, step = self._plant, self._period
        allowance = self._guard.allowance(self.time, self.time, plant.position)
        feed = 0.0 if self._guard.fault else self._config.speed_scale * allowance
        target = self._execution.advance(step, feed, plant.position, plant.opening)
        setpoint = self._guard.filter(self.time, step, target, self._execution.gripper, plant.position)
        if self._guard.fault and self._execution.trajectory.feed <= 0.0:
            self._execution.trajectory.drop()
        self.sent = np.array([*setpoint.position, setpoint.gripper])
        self._fingers.step(np.array([setpoint.gripper]), GRIPPER_SPEED, GRIPPER_ACCELERATION, step)
        plant.step(Drive(setpoint.position, _POWERED, False, float(self._fingers.position[0]), _EFFORT, True), step)
        self._ticks += 1
        self._history.add(self.time, plant.position)
