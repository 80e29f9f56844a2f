"""How soon a stop that a ROS client calls for is seen on the bus: through the arm node as a process of its own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import rclpy
from geometry_msgs.msg import Quaternion, Vector3
from rclpy.task import Future
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from tristage_msgs.msg import ActionChunk, ArmStatus

from tristage_ros.bench.arm.rig import Tap, turned
from tristage_ros.bench.arm.stopping import (
    CASES,
    LATEST,
    SCALE,
    TURN,
    TURN_TIME,
    UNDER_WAY,
    Stop,
    judged,
    many_actions,
    many_points,
)
from tristage_ros.devices.arm.values import CommandSource
from tristage_ros.graph.graph import environment
from tristage_ros.resources import resource
from tristage_ros.ros.convert import header
from tristage_ros.ros.joints import ARM_JOINTS
from tristage_ros.ros.operator import Operator
from tristage_ros.simulation.cell import Cell, CellConfig

_START_UP, _ANSWER = 60.0, 10.0  # s
_REST = 1.0  # s after a stop until the arm rests and says so


class _Client(Operator):
    """Call the arm's services and send it commands, beside the emulated arm."""

    def __init__(self) -> None:
        super().__init__("stop_measurement")
        self.joints = np.zeros(6)
        self._sequence = 0
        self._chunks = self.create_publisher(ActionChunk, "tristage/action", 10)
        self._trajectories = self.create_publisher(JointTrajectory, "arm/joint_trajectory", 10)
        self.create_subscription(JointState, "joint_states", self._on_joints, 10)

    def _on_joints(self, message: JointState) -> None:
        self.joints = np.array(message.position[:6])

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {seconds:g} s")
            rclpy.spin_once(self, timeout_sec=0.02)

    def rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(self, timeout_sec=0.01)

    def enable(self) -> None:
        self._answer(self.call("enable"))

    def _answer(self, future: Future) -> None:
        self.until(future.done, _ANSWER, "an answer")
        if not future.result().success:
            raise RuntimeError(future.result().message)

    def usable(self, source: CommandSource) -> bool:
        """Tell whether the arm node says what it does, answers, and hears what comes from `source`."""
        commands = self._chunks if source is CommandSource.POLICY else self._trajectories
        connected = self.arm is not None and self.arm.mode != ArmStatus.DISCONNECTED and bool(self.joints.any())
        return connected and commands.get_subscription_count() > 0 and "arm" not in self.missing()

    def set_out(self, source: CommandSource, side: int) -> None:
        if source is CommandSource.POLICY:
            self.send_chunk(*turned(self.joints, 0, side * TURN), 0.0)
        else:
            self.send_trajectory(np.array([TURN_TIME]), (self.joints + side * TURN * np.eye(6)[0])[None])

    def send_chunk(self, translations: np.ndarray, orientation: np.ndarray, time_step: float) -> None:
        self._sequence += 1
        x, y, z, w = orientation[0].tolist()
        chunk = ActionChunk(header=header(time.time(), "base_link"), sequence=self._sequence, time_step=time_step)
        chunk.translation = [Vector3(x=each[0], y=each[1], z=each[2]) for each in translations.tolist()]
        chunk.orientation = [Quaternion(x=x, y=y, z=z, w=w)] * len(translations)
        chunk.gripper = [1.0] * len(translations)
        self._chunks.publish(chunk)

    def send_trajectory(self, times: np.ndarray, joints: np.ndarray) -> None:
        message = JointTrajectory(joint_names=list(ARM_JOINTS))
        for when, position in zip(times.tolist(), joints.tolist(), strict=True):
            point = JointTrajectoryPoint(positions=position)
            point.time_from_start.sec, point.time_from_start.nanosec = int(when), int(when % 1.0 * 1e9)
            message.points.append(point)
        self._trajectories.publish(message)

    def ask(self, case: str) -> Future | None:
        """Ask the arm for what `case` says."""
        if "enable" in case:
            return self.call("enable")
        if "chunk" in case:
            self.send_chunk(many_actions(), turned(self.joints, 0, 0.0)[1], 0.2)
        elif "trajectory" in case:
            self.send_trajectory(*many_points(self.joints))
        return None


def stops(case: str, repetitions: int, seed: int = 1) -> Iterator[Stop | str]:
    """Stop a moving arm so often through its node; yield how, or why it cannot be told."""
    luck, source = random.Random(seed), CASES[case]
    os.environ.update(environment(simulated=True))
    with ExitStack() as open_:
        cell = Cell(CellConfig(str(resource("config", "cameras.yaml")), can_channel="127.0.0.1:0"))
        open_.callback(cell.close)
        cell.start()
        tap = Tap(cell.can_channel, "remote")
        open_.callback(tap.close)
        rclpy.init(args=[])
        open_.callback(rclpy.try_shutdown)
        client = _Client()
        open_.callback(client.destroy_node)
        node = _start(cell.can_channel, source)
        open_.callback(_end, node)
        client.until(lambda: client.usable(source), _START_UP, "the arm node")
        for k in range(repetitions):
            try:
                yield _once(client, tap, case, 1 if k % 2 == 0 else -1, luck.uniform(0.0, LATEST))
            except (RuntimeError, ValueError, TimeoutError) as error:
                yield str(error)


def _once(client: _Client, tap: Tap, case: str, side: int, later: float) -> Stop:
    client.enable()
    client.rest(0.1)
    client.set_out(CASES[case], side)
    client.rest(UNDER_WAY)
    client.ask(case)
    time.sleep(later if "enable" not in case else 0.0)
    began = time.monotonic()
    answer = client.call("stop")
    client.until(answer.done, _ANSWER, "an answer to the stop")
    client.rest(_REST)
    return judged(tap.setpoints(), began)


def _start(channel: str, source: CommandSource) -> subprocess.Popen[bytes]:
    values = {
        "can_interface": "remote",
        "can_channel": channel,
        "speed_scale": SCALE,
        "command_source": source.name.lower(),
        "max_age": 2.0,
    }
    given = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", "tristage_ros.nodes", "arm", "--ros-args", "--log-level", "error", *given]
    return subprocess.Popen(command)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
