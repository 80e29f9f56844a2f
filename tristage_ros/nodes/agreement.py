"""Cameras against kinematics, about once a second beside the point cloud: in a thread of its own, on frames it has."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Float32
from std_srvs.srv import Trigger

from tristage_ros.devices.arm.shapes import arm_shape
from tristage_ros.devices.arm.site import load_site
from tristage_ros.perception.agreement import ARM, Limits, Look, look
from tristage_ros.perception.cloud import RgbdFrame, Workspace
from tristage_ros.perception.lying_joint import Lie, lying_joint
from tristage_ros.perception.surfaces import Table
from tristage_ros.perception.watch import Finding, Watch
from tristage_ros.ros.diagnostics import OK, WARN, Part
from tristage_ros.ros.parameters import Parameter
from tristage_ros.ros.qos import sending
from tristage_ros.ros.runner import ConfigurationError

OFF, WARN_ONLY, STOP = "off", "warn", "stop"
PARAMETERS = (
    Parameter(
        "disagreement",
        WARN_ONLY,
        "when cameras and joints disagree: nothing is compared, a warning, or /arm/stop as well",
        choices=(OFF, WARN_ONLY, STOP),
    ),
    Parameter("agreement_period", 1.0, "cameras are compared with the joints this often at most", "s", 0.2, 60.0),
    Parameter("site_file", "", "how high the table is, which lies under the whole crop; empty: config/site.yaml"),
    Parameter("displacement_limit", 7.0, "base or tool farther off than this disagree", "mm", 2.0, 100.0),
    Parameter("gripper_limit", 5.0, "a gripper farther off for the wrist camera disagrees", "mm", 1.0, 100.0),
    Parameter("height_limit", 4.0, "a table higher or lower than this disagrees", "mm", 1.0, 100.0),
    Parameter("tilt_limit", 0.7, "a table that leans more for the wrist camera disagrees", "deg", 0.2, 30.0),
    Parameter("missing_limit", 0.1, "a larger share of the arm that is not there disagrees", "", 0.02, 1.0),
)
FASTEST = 0.5  # rad/s: joints that turn faster are not looked at, stamps are not that exact
AROUND = 0.05  # s to either side of a frame over which that is told
RESTART = 10.0  # s from a finding to the next search for the joint


def limits_of(settings: SimpleNamespace) -> Limits:
    """Return the limits in the node's `settings`, which has `PARAMETERS`."""
    return Limits(
        settings.displacement_limit * 1e-3,
        settings.gripper_limit * 1e-3,
        settings.height_limit * 1e-3,
        math.radians(settings.tilt_limit),
        settings.missing_limit,
    )


@dataclass(frozen=True)
class Moment:
    """Hold what was seen and measured at one moment."""

    front: RgbdFrame | None
    wrist: RgbdFrame | None
    joints: NDArray[np.float64]  # [7] rad, and the gripper opening in m
    dh_is_offset: bool
    stamp: float  # s, ROS time


class AgreementCheck:
    """Compare moments that the node offers; tell on a topic and in diagnostics; stop the arm where that is wanted."""

    def __init__(self, node: Node, settings: SimpleNamespace, workspace: Workspace, may_stop: bool) -> None:
        """Start the thread unless nothing is to be compared; `may_stop`: not while a bag is replayed.

        Raises:
            ConfigurationError: the site file, which says how high the table is, cannot be read, or is wrong.
        """
        self._node, self._period = node, settings.agreement_period
        self.mode = settings.disagreement
        self._may_stop = may_stop and self.mode == STOP
        try:
            self._table = Table.under(workspace, load_site(settings.site_file).table_height)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{node.get_name()}: {error}") from error
        self.watch = Watch(limits_of(settings))
        self.looks, self.milliseconds, self.newest = 0, 0.0, -math.inf
        self.look: Look | None = None
        self.lie: Lie | None = None
        self._searched = -math.inf
        self._told = False
        self._moments: queue.Queue[Moment | None] = queue.Queue(1)
        self._publisher = node.create_publisher(Float32, "tristage/disagreement", 10)
        self._stop = node.create_client(Trigger, "arm/stop") if self._may_stop else None
        self._thread = threading.Thread(target=self._work, name="agreement", daemon=True)
        self._closed = threading.Event()
        if self.mode != OFF:
            self._thread.start()

    def due(self, stamp: float) -> bool:
        """Tell whether a moment of `stamp`, s, would be looked at."""
        return self.mode != OFF and not self._moments.full() and not 0.0 <= stamp - self.newest < self._period

    def offer(self, moment: Moment) -> None:
        """Have a moment looked at; never waits."""
        self.newest = moment.stamp
        try:
            self._moments.put_nowait(moment)
        except queue.Full:
            return

    def part(self, now: float) -> Part:
        """Return the state for diagnostics; `now` in s, ROS time."""
        if self.mode == OFF:
            return Part(OK, "not compared: disagreement is off")
        values = {"disagreement": self.watch.excess, "looks": self.looks, "time [ms]": self.milliseconds}
        values |= {name: getattr(self.look, name) for name in Look.__dataclass_fields__} if self.look else {}
        if self.watch.finding is not None:
            finding = self.watch.finding
            values["since"] = time.strftime("%H:%M:%S", time.localtime(finding.since))
            return Part(WARN, f"{self._said(finding)}, for {now - finding.since:.0f} s; {finding.remedy}", values)
        if not self.looks:
            return Part(OK, "not compared yet: frames, joints at rest or slow", values)
        if math.isnan(self.watch.excess):
            return Part(OK, "cannot be told: too little of arm and table in sight", values)
        return Part(OK, "cameras and joints agree", values)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._moments.put_nowait(None)
            self._thread.join(0.1)

    def _work(self) -> None:
        while (moment := self._moments.get()) is not None and not self._closed.is_set():
            start = time.perf_counter()
            shape = arm_shape(moment.joints, moment.dh_is_offset)
            self.look = look(moment.front, moment.wrist, shape, self._table)
            self.watch.add(moment.stamp, self.look)
            self.looks, self.milliseconds = self.looks + 1, (time.perf_counter() - start) * 1e3
            with sending(self._node, "disagreement"):
                self._publisher.publish(Float32(data=self.watch.excess))
            self._tell(moment)

    def _tell(self, moment: Moment) -> None:
        """Log a finding once, stop the arm for it once, and only then look for the joint, which takes a while."""
        finding = self.watch.finding
        if finding is None:
            if self._told:
                self._node.get_logger().info("cameras and joints agree again")
            self._told, self.lie, self._searched = False, None, -math.inf
            return
        if not self._told:
            self._told = True
            self._node.get_logger().warning(f"{finding}; {finding.remedy}")
            self._stop_the_arm()
        if finding.suspects == (ARM,) and moment.front is not None and abs(moment.stamp - self._searched) > RESTART:
            self._searched = moment.stamp
            shape = arm_shape(moment.joints, moment.dh_is_offset)
            self.lie = lying_joint(moment.front, moment.wrist, shape, self._table, self._closed.is_set)

    def _stop_the_arm(self) -> None:
        if self._stop is None:
            return
        if not self._stop.service_is_ready():
            self._node.get_logger().error("disagreement is 'stop', but nobody serves arm/stop: stop the arm by hand")
            return
        self._stop.call_async(Trigger.Request())
        self._node.get_logger().warning(
            "asked /arm/stop: the arm slows down and holds; /arm/enable once it is put right"
        )

    def _said(self, finding: Finding) -> str:
        if self.lie is None or finding.suspects != (ARM,):
            return str(finding)
        return f"{finding} (most likely joint {self.lie.joint + 1}, by {abs(math.degrees(self.lie.angle)):.0f} deg)"
