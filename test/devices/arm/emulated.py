"""Set-points for an emulated arm, on a clock in the test's hands, and perhaps a master whom nobody hears."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import mujoco
import numpy as np

from tristage_ros.devices.arm.config import ControllerConfig
from tristage_ros.devices.arm.motion import Motion
from tristage_ros.devices.arm.values import CAN_CONTROL, ArmFeedback, MotorBits, MotorHealth
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource
from tristage_ros.simulation import commands
from tristage_ros.simulation.arm import Plant
from tristage_ros.simulation.controller import Controller
from tristage_ros.simulation.scene import build_model
from tristage_ros.simulation.sensing import vertical_fov
from tristage_ros.simulation.setting import EVERYTHING, PLAIN, Setting
from tristage_ros.simulation.tasks import task_called

from .test_motion import Bench

TICK = 0.005  # s, of the firmware
HANGS = 0.0025  # rad per N m


@cache
def _model() -> mujoco.MjModel:
    file = str(resource("config", "cameras.yaml"))
    mounts = load_extrinsics(file)
    return build_model(mounts.values(), vertical_fov(file, tuple(mounts)), EVERYTHING)


class Emulated(Bench):
    """A motion with an emulated firmware behind it: 200 Hz, set-points at 100 Hz, each at a time of its own."""

    def __init__(
        self, scale: float = 1.0, payload: float = 0.0, every: int = 1, latency: float = 0.0, seed: int = 0
    ) -> None:
        model = _model()
        self.plant = Plant(model, Setting(model).start(task_called("banana"), 0, PLAIN))
        self.plant.compliance, self.plant.payload = HANGS, payload
        self.firmware = Controller(self.plant)
        self.random = random.Random(seed)
        self.now, self.ticks, self.every, self.latency = 50.0, 0, every, latency  # s; feedback of every so-manieth tick
        self.under_way: list[ArmFeedback] = []
        self.other: Callable[[float], np.ndarray] | None = None
        self.other_period, self.other_due = 0.01, 0.0
        self.due = self.now
        self.feedback = self._measured()
        self.motion = Motion(ControllerConfig(speed_scale=scale), True, self.feedback)
        self._say(commands.Mode(1, 1, self.motion.percent), commands.EnableMotors(tuple(range(6)), True))
        self.engaged = False
        self.run(0.3)
        self.motion.engage(self.now)
        self.engaged = True
        self.run(0.7 + 10.0 * every * TICK)

    def _say(self, *said: object) -> None:
        for command in said:
            self.firmware._handlers[type(command)](command)

    def _measured(self) -> ArmFeedback:
        bits = (int(MotorBits.ENABLED),) * 6
        health = MotorHealth(*(np.full(6, value) for value in (24.0, 0.5, 30.0, 30.0)), bits)
        position = np.radians(np.rint(np.degrees(self.plant.position) * 1e3) * 1e-3)
        plant, now = self.plant, self.now
        arm = ArmFeedback(
            now,
            position,
            plant.velocity,
            plant.torque,
            plant.opening,
            0.0,
            0xC0,
            health,
            CAN_CONTROL,
            0,
            0,
            3040.0,
            0.4,
        )
        return replace(arm, groups={"joint positions": (self.now, TICK * self.every, 0)})

    def master(self, target: Callable[[float], np.ndarray] | None, rate: float = 1.0) -> None:
        """Let somebody else command, too, at `rate` times our rate."""
        self.other, self.other_period = target, 0.01 / rate
        self.other_due = self.now + self.random.random() * self.other_period

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.tick()

    def tick(self) -> None:
        """Let 5 ms pass; who commands within it is heard in the order of time."""
        self.now += TICK
        self.ticks += 1
        heard = []
        while self.other is not None and self.other_due <= self.now:
            heard.append((self.other_due, self.other(self.other_due)))
            self.other_due += self.other_period * (1.0 + 0.05 * (self.random.random() - 0.5))
        if self.engaged and self.due <= self.now:
            setpoint = self._setpoint()
            if setpoint is not None:
                heard.append((self.due, setpoint))
            self.due = max(self.now - TICK, self.due + 0.01 * (1.0 + 0.1 * (self.random.random() - 0.5)))
        for _, target in sorted(heard, key=lambda one: one[0]):
            self._say(*(commands.JointTarget(k, tuple(target[k : k + 2])) for k in (0, 2, 4)))
        self.firmware.step(TICK)
        if self.ticks % self.every == 0:
            self.under_way.append(self._measured())
        while self.under_way and self.under_way[0].stamp + self.latency <= self.now:
            self.feedback = self.under_way.pop(0)
            self.motion.take(replace(self.feedback, stamp=self.now))

    def _setpoint(self) -> np.ndarray | None:
        motion = self.motion
        self._say(commands.Mode(1, 1, motion.percent))
        setpoint = motion.next_setpoint(self.now)
        if setpoint is None:
            motion.sent = None
            return None
        motion.sent = setpoint
        return setpoint.position
