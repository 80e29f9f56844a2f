"""The command `tristage jog`: keys in a terminal lead the arm's tool, one way or turn at a time.

A key counts for as long as the terminal repeats it, and a moment more; then the tool is to stand. What is published is
a velocity of the tool, which the arm node takes as it takes a joystick's: engaged by a key, through the guard.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import rclpy
from geometry_msgs.msg import TwistStamped
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from tristage_msgs.msg import ArmStatus

from tristage_ros.commands.terminal import every_key, typed
from tristage_ros.devices.arm.values import BASE_FRAME
from tristage_ros.graph.middleware import one_machine, without_images
from tristage_ros.graph.namespaces import node_arguments
from tristage_ros.ros.context import begin
from tristage_ros.ros.convert import header

PERIOD = 0.02  # s between two velocities
HELD = 0.15  # s for which a key counts: longer than a terminal takes to repeat it
TOLD = 0.2  # s between two lines of status
WAYS = {  # by key: which of x, y, z, about x, y, z, and in which direction
    "w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "r": (2, 1), "f": (2, -1),
    "u": (3, 1), "o": (3, -1), "i": (4, 1), "k": (4, -1), "j": (5, 1), "l": (5, -1),
}  # fmt: skip
HELP = (
    "w s: x   a d: y   r f: z   u o, i k, j l: turn about x, y, z   c v: close, open   t: base or tool frame   "
    "e: engage, let go   space: stop the arm   q: leave"
)


class Jog(Node):
    """Publish what the keys say, and call for what they ask."""

    def __init__(self, speed: float, turn: float) -> None:
        """Lead the tool at `speed`, m/s, and `turn`, rad/s."""
        super().__init__("jog")
        self._speeds = (speed,) * 3 + (turn,) * 3
        self._frame, self._way, self._until = BASE_FRAME, (0, 0), 0.0
        self._status: ArmStatus | None = None
        self.told = ""  # by the arm, when it was last asked for something
        self._twists = self.create_publisher(TwistStamped, "arm/leader/twist", 1)
        self._openings = self.create_publisher(Float64, "arm/leader/gripper", 1)
        self._calls = {name: self.create_client(Trigger, f"arm/{name}") for name in ("engage", "disengage", "stop")}
        self._parameters = self.create_client(SetParameters, "arm/set_parameters")
        self.create_subscription(ArmStatus, "arm/status", self._on_status, 1)
        self.create_timer(PERIOD, self._publish)

    def press(self, keys: str) -> bool:
        """Do what keys ask for; return False when one of them ends it."""
        for key in keys:
            if key in WAYS:
                self._way, self._until = WAYS[key], time.monotonic() + HELD
            elif key == " ":
                self._until = 0.0
                self._call("stop")
            elif key in "cv":
                self._openings.publish(Float64(data=float(key == "v")))
            elif key == "t":
                self._until = 0.0
                self._frame = "tool" if self._frame == BASE_FRAME else BASE_FRAME
            elif key == "e":
                self._engage_or_let_go()
            elif key == "q":
                return False
        return True

    @property
    def line(self) -> str:
        """Return how the arm is, in one line."""
        arm = self._status
        if arm is None:
            return f"nobody publishes arm/status in ROS domain {os.environ.get('ROS_DOMAIN_ID', '0')}"
        ours = arm.command_source == ArmStatus.TWIST
        state = "engaged" if self._engaged else "not engaged" if arm.mode != ArmStatus.FAULT else arm.reason
        return "; ".join([f"{self._frame}: {state}", *filter(None, (arm.leading_reason if ours else "", self.told))])

    @property
    def _engaged(self) -> bool:
        arm, states = self._status, (ArmStatus.CATCHING_UP, ArmStatus.LEADING)
        return arm is not None and arm.command_source == ArmStatus.TWIST and arm.leading in states

    def _engage_or_let_go(self) -> None:
        if self._engaged:
            self._call("disengage")
            return
        source = Parameter("command_source", value="twist").to_parameter_msg()
        asked = self._parameters.call_async(SetParameters.Request(parameters=[source]))
        asked.add_done_callback(lambda done: self._engage_soon(done.result().results[0]))

    def _engage_soon(self, result: object) -> None:
        """Engage once the arm node has heard a velocity as one that leads it."""
        self.told = getattr(result, "reason", "")
        if getattr(result, "successful", False):
            timer = self.create_timer(0.2, lambda: (timer.cancel(), self._call("engage")))

    def _call(self, name: str) -> None:
        if not self._calls[name].service_is_ready():
            self.told = f"nobody offers arm/{name}" + ": press the emergency stop" * (name == "stop")
            return
        future = self._calls[name].call_async(Trigger.Request())
        future.add_done_callback(lambda done: setattr(self, "told", done.result().message))

    def _publish(self) -> None:
        axis, direction = self._way if time.monotonic() < self._until else (0, 0)
        values = [0.0] * 6
        values[axis] = direction * self._speeds[axis]
        message = TwistStamped(header=header(self.get_clock().now().nanoseconds * 1e-9, self._frame))
        v, w = message.twist.linear, message.twist.angular
        v.x, v.y, v.z, w.x, w.y, w.z = values
        self._twists.publish(message)

    def _on_status(self, message: ArmStatus) -> None:
        self._status = message

    def leave(self) -> None:
        """Let go, if the keys lead the arm."""
        if self._engaged:
            self._call("disengage")


def run(options: argparse.Namespace) -> int:
    """Lead by keys until one of them, or Ctrl-C, ends it; return the exit code.

    Raises:
        OSError: there is no terminal to read keys from.
    """
    if not sys.stdin.isatty():
        raise OSError("tristage jog reads keys: it needs a terminal")
    for name, value in without_images(one_machine(simulated=False)).items():
        os.environ.setdefault(name, value)
    begin(node_arguments(options))
    node, executor = Jog(options.speed, options.turn), SingleThreadedExecutor()
    executor.add_node(node)
    print(HELP)
    try:
        with every_key():
            _lead(node, executor)
    except KeyboardInterrupt:
        pass
    finally:
        node.leave()
        executor.spin_once(timeout_sec=0.2)
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        rclpy.try_shutdown()
        print()
    return 0


def _lead(node: Jog, executor: SingleThreadedExecutor) -> None:
    due, shown = 0.0, ""
    while rclpy.ok() and node.press(typed()):
        executor.spin_once(timeout_sec=PERIOD / 2)
        if time.monotonic() > due and node.line != shown:
            due, shown = time.monotonic() + TOLD, node.line
            width = os.get_terminal_size().columns if sys.stdout.isatty() else 200
            print(f"\r\x1b[2K{shown[: width - 1]}", end="", flush=True)
