"""The arm as a node: commands in, guarded joint targets out, joint states back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Header
from trajectory_msgs.msg import JointTrajectory
from tristage_msgs.msg import ActionChunk, ArmStatus
from visualization_msgs.msg import MarkerArray

from tristage_ros.devices.arm import values
from tristage_ros.devices.arm.chunks import ChunkLimits
from tristage_ros.devices.arm.controller import ArmController, ControllerConfig
from tristage_ros.devices.arm.piper import PiperDriver, PiperError
from tristage_ros.devices.arm.site import Site, load_site
from tristage_ros.devices.arm.values import MAX_ACTIONS, CommandSource
from tristage_ros.nodes.arm import black_box, leading, messages
from tristage_ros.nodes.arm.authority import ArmServices, SetClock, Stamps, rivals
from tristage_ros.nodes.arm.black_box import BlackBox
from tristage_ros.nodes.arm.leading import LeadTopics
from tristage_ros.nodes.arm.markers import site_markers
from tristage_ros.nodes.arm.trajectories import TRAJECTORIES, joint_path
from tristage_ros.nodes.arm.trajectory_action import TrajectoryAction
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.convert import seconds
from tristage_ros.ros.diagnostics import WARN, Diagnostics, Part
from tristage_ros.ros.parameters import Parameter, declare
from tristage_ros.ros.runner import AUTOSTART, STOP, ManagedNode, run
from tristage_ros.ros.subscriptions import Subscriptions

ACTIONS = "tristage/action"
SOURCES = {source.name.lower(): source for source in CommandSource if source is not CommandSource.OPERATOR}
REPLAYED = "use_sim_time is set: an arm runs on this machine's clock, and a replayed bag must not move it"
PARAMETERS = (
    AUTOSTART,
    Parameter("can_interface", "socketcan", "python-can interface of the bus"),
    Parameter("can_channel", "can0", "channel of the bus"),
    Parameter("state_rate", 50.0, "joint states per second", "Hz", 10.0, 200.0),
    Parameter("speed_scale", 0.1, "share of the velocity limits that may be used", "", 0.01, 1.0, read_only=False),
    Parameter("dry_run", False, "until the arm is enabled: work everything out, send nothing"),
    Parameter("command_source", "policy", "who may move the arm", choices=tuple(SOURCES), read_only=False),
    Parameter("cameras_file", "", "where the wrist camera is; empty: config/cameras.yaml"),
    Parameter("site_file", "", "where the arm stands and what it carries; empty: config/site.yaml"),
    Parameter("max_age", 0.5, "chunks of observations older than this are refused", "s", 0.05, 10.0),
    Parameter(
        "link_timeout",
        0.0,
        "a policy on another machine that is not heard for longer is a fault; 0: not watched",
        "s",
        0.0,
        10.0,
    ),
    Parameter("gripper_effort", 1.0, "torque of the gripper", "N m", 0.0, 5.0),
    Parameter("connect_timeout", 10.0, "how long to wait for the first feedback", "s", 0.5, 120.0),
    *leading.PARAMETERS,
    *black_box.PARAMETERS,
)


class ArmNode(ManagedNode):
    """Own the arm: connect in configure, move only while active and enabled by an operator."""

    def __init__(self) -> None:
        """Declare parameters and services; nothing is connected yet."""
        super().__init__("arm")
        self.settings = declare(self, PARAMETERS)
        self.controller: ArmController | None = None
        self._site: Site | None = None
        self.active = False
        self._ros_clock = SetClock(self.settings.max_age)
        self._dh_is_offset = True
        self._newest_chunk = (math.nan, Time())  # its stamp on the monotonic and on the ROS clock
        self._joint_publisher = self.create_publisher(JointState, "joint_states", 10)
        self._pose_publisher = self.create_publisher(PoseStamped, "arm/end_pose", 10)
        self._status_publisher = self.create_publisher(ArmStatus, "arm/status", 10)
        self._dilation_publisher = self.create_publisher(Float64, qos.DILATION_TOPIC, qos.LATCHED)
        self._told_dilation = 0.0  # before it was told
        self._site_publisher = self.create_publisher(MarkerArray, "arm/site", qos.LATCHED)
        commands = Subscriptions(self)  # none of which may be lost
        commands.add(ActionChunk, ACTIONS, self._on_chunk, 1, fixed=True)
        commands.add(JointTrajectory, TRAJECTORIES, self._on_trajectory, 1, fixed=True)
        self.create_subscription(Header, qos.HEARTBEAT_TOPIC, self._on_heartbeat, qos.HEARTBEAT)
        self._black_box = BlackBox(self, self.settings.black_box_dir, self.settings.black_box_keep)
        connected, active = (lambda: self.controller), (lambda: self.active)
        self._person = ArmServices(self, connected, active, self._black_box)
        self._lead = LeadTopics(self, commands, leading.named_joints(self.settings), connected, self._black_box)
        self._action = TrajectoryAction(self, connected, active, self._stamps, self._black_box)
        self.create_timer(1.0 / self.settings.state_rate, self._publish_joints)
        self.create_timer(0.05, self._publish_status)
        self.add_on_set_parameters_callback(self._black_box.parameters(self._on_parameters))
        self._diagnostics = Diagnostics(self, f"piper on {self.settings.can_channel}")
        for name, part in messages.PARTS.items():
            self._diagnostics.add(name, lambda part=part: self._part(part))
        self._diagnostics.add("commands", commands.part)
        if self.settings.autostart:
            self.bring_up()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Connect to the arm and start monitoring it; the motors stay as they are."""
        s = self.settings
        if self.get_parameter("use_sim_time").value:
            return self.refuse(REPLAYED)
        leader = None
        try:
            config, leader = self._config(), leading.second_arm(s)
            driver = PiperDriver(s.can_interface, s.can_channel, s.gripper_effort)
            self._connect(driver)
            self._dh_is_offset = driver.dh_is_offset
            self.controller = ArmController(driver, config, leader)
            self.controller.set_source(SOURCES[s.command_source])
            self._black_box.watch(self.controller, s.can_channel)
            self.controller.start()
        except (PiperError, ValueError, OSError) as error:
            if leader:
                leader.close()
            return self.refuse(str(error))
        for line in (*self._site.in_words(), *self.controller.limits_in_words()):
            self.get_logger().info(line)
        self._site_publisher.publish(site_markers(self._site, self._dh_is_offset))
        return super().on_configure(state)

    def _config(self) -> ControllerConfig:
        s = self.settings
        mounts = load_extrinsics(s.cameras_file or resource("config", "cameras.yaml")).values()
        self._site = site = load_site(s.site_file, s.cameras_file)
        return ControllerConfig(
            speed_scale=s.speed_scale,
            dry_run=s.dry_run,
            link_timeout=s.link_timeout,
            chunks=ChunkLimits(max_age=s.max_age),
            home=site.home,
            guard=site.guard(mounts),
        )

    def _connect(self, driver: PiperDriver) -> None:
        """Wait for the arm: on a robot it may be switched on later, in simulation its bus may open a moment later."""
        deadline = time.monotonic() + self.settings.connect_timeout
        while True:
            try:
                return driver.connect(timeout=2.0)
            except PiperError as error:
                if time.monotonic() > deadline:
                    raise
                self.get_logger().info(f"waiting for the arm: {error}", throttle_duration_sec=2.0)
                if STOP.wait(0.5):
                    raise

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Accept action chunks, once an operator has enabled the motors."""
        self.active = True
        enable = self.resolve_service_name("arm/enable")
        self.get_logger().info(f"ready; motors stay as they are until {enable} is called")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Slow down along the path, hold, and accept no more chunks."""
        self.active = False
        if self.controller:
            self.controller.stop("the arm node was deactivated")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Disconnect; the arm keeps holding its last joint target."""
        self.close()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Slow down, hold and disconnect."""
        self.active = False
        self.close()
        return super().on_shutdown(state)

    def close(self) -> None:
        """Slow down, hold and disconnect; the motors stay on."""
        controller, self.controller = self.controller, None
        self._person.forget()
        if controller:
            controller.close()
        self._black_box.flush()

    def _on_chunk(self, message: ActionChunk) -> None:
        if not self.active or self.controller is None:
            return
        chunk = self._chunk(message, self._stamps(self.controller))
        self._newest_chunk = (chunk.stamp, message.header.stamp)
        objection = rivals(self, ACTIONS) or self._ros_clock.complaint(time.monotonic(), self.controller.clock.dilation)
        accepted, reason = self.controller.submit(chunk, objection)
        self._black_box.message("/tristage/action", message)
        self._black_box.answered("chunk", f"chunk {message.sequence}", accepted, reason)
        if not accepted:
            self.get_logger().warning(f"chunk {message.sequence} refused: {reason}", throttle_duration_sec=1.0)

    def _chunk(self, message: ActionChunk, stamps: Stamps) -> values.ActionChunk:
        most = slice(MAX_ACTIONS + 1)  # of what is too long anyway no more is looked at
        return values.ActionChunk(
            stamp=stamps.arm(seconds(message.header.stamp)),
            time_step=message.time_step,
            translation=np.array([(v.x, v.y, v.z) for v in message.translation[most]]).reshape(-1, 3),
            orientation=np.array([(q.x, q.y, q.z, q.w) for q in message.orientation[most]]).reshape(-1, 4),
            gripper=np.array(message.gripper[most], dtype=float),
            frame_id=message.header.frame_id,
        )

    def _on_heartbeat(self, message: Header) -> None:
        if self.controller:
            self.controller.policy_heard(self._stamps(self.controller).arm(seconds(message.stamp)))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        if not self.active or self.controller is None:
            return
        done, reason = False, rivals(self, TRAJECTORIES)
        if not reason:
            try:
                done, reason = self.controller.follow(joint_path(message, self._stamps(self.controller)))
            except ValueError as error:
                reason = str(error)
        self._black_box.message("/arm/joint_trajectory", message)
        self._black_box.answered("trajectory", "trajectory", done, reason)
        if done:
            self.get_logger().info(f"trajectory accepted: {reason}")
        else:
            self.get_logger().warning(f"trajectory refused: {reason}")

    def _on_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        wanted = {parameter.name: parameter.value for parameter in parameters}
        if wanted.get("use_sim_time"):
            return SetParametersResult(successful=False, reason=REPLAYED)
        source = wanted.get("command_source")
        if source is not None and source not in SOURCES:
            reason = f"command_source is {source!r}; choose one of {', '.join(SOURCES)}"
            return SetParametersResult(successful=False, reason=reason)
        if self.controller and source is not None:
            self.controller.set_source(SOURCES[source])
        if "speed_scale" in wanted:
            self.settings.speed_scale = min(wanted["speed_scale"], 1.0)  # rclpy lets a hair more than the range pass
            if self.controller:
                self.controller.set_speed_scale(self.settings.speed_scale)
        return SetParametersResult(successful=True)

    def _stamps(self, arm: ArmController) -> Stamps:
        """Return what tells ROS time from the arm's clock now."""
        return Stamps(self._ros_clock.offset(self.get_clock().now, time.monotonic), arm.clock)

    def _publish_joints(self) -> None:
        if self.controller is None:
            return
        state, stamps = self.controller.snapshot(), self._stamps(self.controller)
        tcp = self.controller.config.guard.body.tool.tcp
        if not math.isfinite(state.feedback_age) or state.feedback_age > 0.05:
            return  # an old position with a new stamp would be a lie
        self._joint_publisher.publish(messages.joint_state(state, stamps))
        self._pose_publisher.publish(messages.end_pose(state, stamps, self._dh_is_offset, tcp))
        self._lead.publish(state, stamps)

    def _publish_status(self) -> None:
        if self.controller is None:
            return
        state = self.controller.snapshot()
        monotonic, chunk_stamp = self._newest_chunk
        newest = chunk_stamp if state.chunk_stamp == monotonic else Time()
        status = messages.arm_status(state, self._stamps(self.controller), newest)
        self._tell_dilation(state.dilation)
        self._lead.look(state)
        self._black_box.look(state.mode, status)
        self._status_publisher.publish(status)

    def _tell_dilation(self, dilation: float) -> None:
        """Say by how much the arm's time is slower, to those who look and decide for it, where that changes."""
        if dilation == self._told_dilation:
            return
        if self._told_dilation or dilation > 1.0:
            self.get_logger().info(f"the emulated arm's time is {dilation:g} times slower from here on")
        self._told_dilation = dilation
        self._dilation_publisher.publish(Float64(data=dilation))

    def _part(self, part: Callable[[values.ArmState], Part]) -> Part:
        return part(self.controller.snapshot()) if self.controller else Part(WARN, "not connected")


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(
        ArmNode, threads=6
    )  # for what comes in, what a person calls, a stop, a goal and its successor; one to spare
