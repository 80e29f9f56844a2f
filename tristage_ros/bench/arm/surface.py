"""A real arm node in a process of its own, the arm emulated behind a served bus, and everything one can do to both."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory
from tristage_msgs.msg import ActionChunk, ArmStatus

from tristage_ros.bench.arm.log import Call, Log, Pulse, TappedBus
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.convert import seconds
from tristage_ros.simulation.cell import Cell, CellConfig
from tristage_ros.simulation.frames import Frame
from tristage_ros.simulation.leader import EmulatedLeader

NAMESPACE = "attack"
SERVICES = (
    "enable",
    "stop",
    "clear_fault",
    "back_off",
    "move_home",
    "engage",
    "disengage",
    "recover",
    "gripper_home",
    "gripper_zero",
)
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "cleanup": Transition.TRANSITION_CLEANUP,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
}
COMES_UP, ENDS, ANSWERS = 60.0, 10.0, 6.0  # s that are waited at most
DISCOVERED = 1.0  # s in which other nodes are found
HANGS = 0.0025  # rad per N m, by which the emulated servos hang below their targets


class Surface:
    """Hold an emulated arm, the process of the node that has it, and a node that talks to that one.

    What it does and sees goes into `log`.
    """

    def __init__(
        self,
        scale: float,
        folder: Path,
        module: str = "tristage_ros.nodes",
        parameters: Mapping[str, Any] | None = None,
        led: bool = False,
    ) -> None:
        """Switch the arm on and start its node.

        Args:
            scale: speed_scale.
            folder: takes what the node says.
            module: that runs the node by its name.
            parameters: further ones of the node.
            led: there is a second arm, in a hand, that may lead it.

        Raises:
            ValueError: another arm node is in this ROS domain; the message names it.
        """
        self.log = Log()
        self._scale, self._folder, self._module, self._given = scale, folder, module, dict(parameters or {})
        self.bus = TappedBus(self.log)
        self.cell = Cell(CellConfig(str(resource("config", "cameras.yaml"))), self.bus)
        self.arm, self.plant = self.cell.firmware, self.cell.plant
        self.plant.compliance = HANGS
        self.leader: EmulatedLeader | None = None
        if led:
            self.leader = EmulatedLeader("remote", "127.0.0.1:0", self.plant.position)
            self._given |= {"leader_can": self.leader.channel}
            self._watch(self.leader)
        self.status: ArmStatus | None = None
        self.pose: PoseStamped | None = None
        self.codes: dict[str, str] = {}  # that a service gave, for the call that confirms
        self._process: subprocess.Popen[bytes] | None = None
        self.node = Node("attacker", namespace=NAMESPACE)
        self._refuse_company()
        self.node.create_subscription(ArmStatus, "arm/status", self._on_status, 50)
        self.node.create_subscription(PoseStamped, "arm/end_pose", self._on_pose, 1)
        self.chunks = self.node.create_publisher(ActionChunk, "tristage/action", 10)
        self.trajectories = self.node.create_publisher(JointTrajectory, "arm/joint_trajectory", 10)
        self.joints = self.node.create_publisher(JointState, "arm/leader/joint_states", 10)
        self.twists = self.node.create_publisher(TwistStamped, "arm/leader/twist", 10)
        self.heartbeats = self.node.create_publisher(Header, qos.HEARTBEAT_TOPIC, qos.HEARTBEAT)
        self._parameters = self.node.create_client(SetParameters, "arm/set_parameters")
        self._lifecycle = self.node.create_client(ChangeState, "arm/change_state")
        self._services: dict[str, Any] = {}
        self._pulse = Pulse(self.log)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name="attacker", daemon=True)
        self._thread.start()
        self.cell.start()
        if self.leader:
            self.leader.start()
        self.start()

    # The process of the node.

    def start(self) -> None:
        """Start the node and wait until it tells what the arm does; where it never does, that is a finding."""
        given = {"can_interface": "remote", "can_channel": self.cell.can_channel, "speed_scale": self._scale}
        given |= {"connect_timeout": 0.5, "black_box_dir": str(self._folder), **self._given}
        words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", self._module, "arm", "--ros-args", "-r", f"__ns:=/{NAMESPACE}", *words]
        environment = os.environ | {"TRISTAGE_SUPERVISOR": str(os.getpid())}  # without us it ends by itself
        self.status = self.pose = None
        with self._said().open("wb") as said:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=environment
            )
        end = time.monotonic() + COMES_UP
        while self.status is None or self.pose is None or not self._all_there():
            if self._process.poll() is not None or time.monotonic() > end:
                self._process.kill()
                self._process.wait()
                self.log.findings.append(
                    f"the node did not come up: {self._said().read_text(errors='replace')[-2000:]}"
                )
                return
            time.sleep(0.02)
        self.log.scales.append((time.monotonic(), self._scale))
        self.log.lives.append([time.monotonic(), math.inf, math.inf])

    def end(self) -> None:
        """Ask the node to end, as Ctrl-C does, and see how it does."""
        if not self.runs():
            return
        process, life, findings = self._process, self.log.lives[-1], self.log.findings
        assert process is not None
        life[1] = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            if code := process.wait(ENDS):
                findings.append(f"{life[1]:.3f}: asked to end, the node ended with {code}")
        except subprocess.TimeoutExpired:
            findings.append(f"{life[1]:.3f}: asked to end, the node did not within {ENDS:g} s")
            process.kill()
            process.wait()
        life[2] = time.monotonic()
        self._complaints()

    def type(self, line: str) -> None:
        """Give the node's process a line on its standard input, which the plain node does not read."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def freeze(self, seconds: float) -> None:
        """Let the node's process stand still for so long, all of it, as the system does when it takes the processor."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            self._process.send_signal(signal.SIGCONT)

    def runs(self) -> bool:
        """Tell whether the node is there, and note it where it ended by itself."""
        process = self._process
        if process is None or not self.log.lives or not math.isinf(self.log.lives[-1][1]):
            return False
        if process.poll() is not None:
            self.log.findings.append(f"{time.monotonic():.3f}: the node ended by itself with {process.returncode}")
            self.log.lives[-1][1:] = [time.monotonic(), time.monotonic()]
            self._complaints()
        return process.poll() is None

    def close(self) -> None:
        """End the node, the arm and what talks to them."""
        self.end()
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self.cell.close()
        if self.leader:
            self.leader.close()
        self._pulse.close()

    def _watch(self, leader: EmulatedLeader) -> None:
        """Note every frame that a leader is sent, to which nothing is sent."""
        pass_on = leader.firmware.wire.up

        def heard(frames: list[Frame]) -> list[Frame]:
            self.log.findings += [f"{time.monotonic():.3f}: frame 0x{f.id:03x} to the leader" for f in frames]
            return pass_on(frames)

        leader.firmware.wire.up = heard  # type: ignore[method-assign]

    def _complaints(self) -> None:
        said = self._said().read_text(errors="replace")
        if "Traceback" in said:
            self.log.findings.append(f"a traceback of the node: {said[said.index('Traceback') :][:3000]}")

    def _said(self) -> Path:
        return self._folder / "said.txt"

    # What it is asked for.

    def call(self, name: str) -> Call:
        """Call one of SERVICES, whatever its type is."""
        client = self._services[name]
        request = client.srv_type.Request()
        if hasattr(request, "code"):
            request.code = self.codes.pop(name, "")

        def answered(call: Call, response: Any) -> None:
            self.codes[name] = getattr(response, "code", "")
            call.answer(time.monotonic(), response.success, response.message)

        return self._ask(name, client, request, answered)

    def change(self, name: str) -> Call:
        """Ask for one of TRANSITIONS."""
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[name]))
        return self._ask(name, self._lifecycle, request, lambda call, r: call.answer(time.monotonic(), r.success, ""))

    def set(self, name: str, value: Any, wanted: bool | None) -> Call:
        """Set a parameter; `wanted`: whether that has to be done or refused."""
        parameter = Parameter(name, value=value).to_parameter_msg()
        if name == "speed_scale" and wanted:
            self.log.scales.append((time.monotonic(), value))
        return self._ask(
            f"{name} {value!r}",
            self._parameters,
            SetParameters.Request(parameters=[parameter]),
            lambda call, r: call.answer(time.monotonic(), r.results[0].successful, r.results[0].reason),
            wanted,
        )

    def until(self, call: Call, seconds: float = ANSWERS) -> Call:
        """Wait for an answer, but not for ever."""
        end = time.monotonic() + seconds
        while math.isinf(call.answered) and time.monotonic() < end:
            time.sleep(0.005)
        return call

    def _ask(
        self, name: str, client: Any, request: Any, answered: Callable[[Call, Any], None], wanted: bool | None = None
    ) -> Call:
        call = Call(name, time.monotonic(), wanted)
        self.log.calls.append(call)
        future = client.call_async(request)
        future.add_done_callback(lambda done: answered(call, done.result()))
        return call

    # What it tells.

    def _on_status(self, message: ArmStatus) -> None:
        stamp = seconds(message.header.stamp) - time.time() + time.monotonic()
        self.log.statuses.append((stamp, message.mode == ArmStatus.FAULT))
        what = f"{message.reason}; {message.chunk_reason}".rstrip("; ")
        if not self.log.told or self.log.told[-1][1] != what:
            self.log.told.append((stamp, what))
        self.status = message

    def _on_pose(self, message: PoseStamped) -> None:
        self.pose = message

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _all_there(self) -> bool:
        """Tell whether every service is offered; make clients for them, of the types that they have."""
        offered = dict(self.node.get_service_names_and_types())
        for name in SERVICES:
            types = offered.get(f"/{NAMESPACE}/arm/{name}")
            if types is None:
                return False
            if name not in self._services:
                package, kind = types[0].replace("/srv/", "/").split("/")
                kind = getattr(importlib.import_module(f"{package}.srv"), kind)
                self._services[name] = self.node.create_client(kind, f"arm/{name}")
        clients = [*self._services.values(), self._parameters, self._lifecycle]
        listened = self.chunks.get_subscription_count() and self.trajectories.get_subscription_count()
        return bool(listened) and all(client.service_is_ready() for client in clients)

    def _refuse_company(self) -> None:
        time.sleep(DISCOVERED)
        others = [name for name, _ in self.node.get_service_names_and_types() if name.endswith("arm/enable")]
        if others:
            self.node.destroy_node()
            self.cell.close()
            if self.leader:
                self.leader.close()
            raise ValueError(f"{others[0]} is in this ROS domain: choose another one by ROS_DOMAIN_ID")
