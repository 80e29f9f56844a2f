"""The arm as a node: action chunks in, guarded joint targets out, joint states back."""

from __future__ import annotations

import math
import sys
import time

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from tristage_msgs.msg import ActionChunk, ArmStatus

from tristage_ros.devices import values
from tristage_ros.devices.chunks import ChunkLimits
from tristage_ros.devices.controller import ArmController, ControllerConfig
from tristage_ros.devices.kinematics import forward, matrix_to_quaternion, tool_pose
from tristage_ros.devices.piper import PiperDriver, PiperError
from tristage_ros.nodes.convert import header, seconds
from tristage_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Part
from tristage_ros.nodes.joint_history import ARM_JOINTS, GRIPPER_JOINT
from tristage_ros.nodes.lifecycle import AUTOSTART, ManagedNode
from tristage_ros.nodes.parameters import Parameter, declare
from tristage_ros.nodes.runner import STOP, run

PARAMETERS = (
    AUTOSTART,
    Parameter("can_interface", "socketcan", "python-can interface of the bus"),
    Parameter("can_channel", "can0", "channel of the bus"),
    Parameter("state_rate", 100.0, "joint states per second", "Hz", 10.0, 200.0),
    Parameter("speed_scale", 0.5, "share of the velocity limits that may be used", "", 0.01, 1.0, read_only=False),
    Parameter("max_age", 0.5, "chunks of observations older than this are refused", "s", 0.05, 10.0),
    Parameter("connect_timeout", 10.0, "how long to wait for the first feedback", "s", 0.5, 120.0),
)


class ArmNode(ManagedNode):
    """Own the arm: connect in configure, move only while active and enabled by an operator."""

    def __init__(self) -> None:
        """Declare parameters and services; nothing is connected yet."""
        super().__init__("arm")
        self.settings = declare(self, PARAMETERS)
        self.controller: ArmController | None = None
        self.active = False
        self._dh_is_offset = True
        self._newest_chunk = (math.nan, Time())  # its stamp on the monotonic and on the ROS clock
        self._joint_publisher = self.create_publisher(JointState, "/joint_states", 10)
        self._pose_publisher = self.create_publisher(PoseStamped, "/arm/end_pose", 10)
        self._status_publisher = self.create_publisher(ArmStatus, "/arm/status", 10)
        self.create_subscription(ActionChunk, "/tristage/action", self._on_chunk, 1)
        services = MutuallyExclusiveCallbackGroup()  # enabling may take a second; joint states must go on
        for name, answer in (("enable", self._enable), ("stop", self._stop), ("clear_fault", self._clear_fault)):
            self.create_service(Trigger, f"/arm/{name}", answer, callback_group=services)
        self.create_timer(1.0 / self.settings.state_rate, self._publish_joints)
        self.create_timer(0.05, self._publish_status)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics = Diagnostics(self, f"piper on {self.settings.can_channel}")
        self._diagnostics.add("arm", self._arm_part)
        self._diagnostics.add("guard", self._guard_part)
        if self.settings.autostart:
            self.bring_up()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Connect to the arm and start monitoring it; the motors stay as they are."""
        s = self.settings
        try:
            driver = PiperDriver(s.can_interface, s.can_channel)
            self._connect(driver)
            self._dh_is_offset = driver.dh_is_offset
            self.controller = ArmController(
                driver, ControllerConfig(speed_scale=s.speed_scale, chunks=ChunkLimits(max_age=s.max_age))
            )
            self.controller.start()
        except (PiperError, ValueError) as error:
            return self.refuse(str(error))
        for line in self.controller.limits_in_words():
            self.get_logger().info(line)
        return super().on_configure(state)

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
        self.get_logger().info("ready; motors stay as they are until /arm/enable is called")
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
        if controller:
            controller.close()

    def _on_chunk(self, message: ActionChunk) -> None:
        if not self.active or self.controller is None:
            return
        chunk = self._chunk(message)
        self._newest_chunk = (chunk.stamp, message.header.stamp)
        accepted, reason = self.controller.submit(chunk)
        if not accepted:
            self.get_logger().warning(f"chunk {message.sequence} refused: {reason}", throttle_duration_sec=1.0)

    def _chunk(self, message: ActionChunk) -> values.ActionChunk:
        return values.ActionChunk(
            stamp=seconds(message.header.stamp) - self._clock_offset(),
            time_step=message.time_step,
            translation=np.array([(v.x, v.y, v.z) for v in message.translation]).reshape(-1, 3),
            orientation=np.array([(q.x, q.y, q.z, q.w) for q in message.orientation]).reshape(-1, 4),
            gripper=np.array(message.gripper, dtype=float),
            frame_id=message.header.frame_id,
        )

    def _on_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == "speed_scale":
                self.settings.speed_scale = parameter.value
                if self.controller:
                    self.controller.set_speed_scale(parameter.value)
        return SetParametersResult(successful=True)

    def _clock_offset(self) -> float:
        """Return ROS time minus monotonic time, s."""
        return self.get_clock().now().nanoseconds * 1e-9 - time.monotonic()

    def _enable(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.controller is None or not self.active:
            response.success, response.message = False, "the arm node is not active"
        else:
            response.success, response.message = self.controller.enable()
        self.get_logger().info(f"enable: {response.message}")
        return response

    def _stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.controller is None:
            response.success, response.message = False, "the arm is not connected"
        else:
            self.controller.stop("stopped by an operator")
            enabled = self.controller.snapshot().mode != values.ArmMode.DISABLED
            response.success = True
            response.message = "slowing down; the arm holds until /arm/enable" if enabled else "the motors are off"
        self.get_logger().warning(f"stop: {response.message}")
        return response

    def _clear_fault(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.controller is None:
            response.success, response.message = False, "the arm is not connected"
        else:
            response.success, response.message = self.controller.clear_fault()
        return response

    def _publish_joints(self) -> None:
        if self.controller is None:
            return
        state, offset = self.controller.snapshot(), self._clock_offset()
        if not math.isfinite(state.feedback_age) or state.feedback_age > 0.05:
            return  # an old position with a new stamp would be a lie
        message = JointState(header=header(state.stamp - state.feedback_age + offset, values.BASE_FRAME))
        message.name = [*ARM_JOINTS, GRIPPER_JOINT]
        message.position = [*state.position.tolist(), state.gripper]
        message.velocity = [*state.velocity.tolist(), 0.0]
        self._joint_publisher.publish(message)
        pose = PoseStamped(header=message.header)
        tool = tool_pose(forward(state.position, self._dh_is_offset))
        pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = tool[:3, 3].tolist()
        o = pose.pose.orientation
        o.x, o.y, o.z, o.w = matrix_to_quaternion(tool[:3, :3]).tolist()
        self._pose_publisher.publish(pose)

    def _publish_status(self) -> None:
        if self.controller is None:
            return
        state, offset = self.controller.snapshot(), self._clock_offset()
        monotonic, chunk_stamp = self._newest_chunk
        self._status_publisher.publish(
            ArmStatus(
                header=header(state.stamp + offset, values.BASE_FRAME),
                mode=int(state.mode),
                reason=state.reason,
                chunk_stamp=chunk_stamp if state.chunk_stamp == monotonic else Time(),
                chunk_state=int(state.chunk_state),
                chunk_reason=state.chunk_reason,
                joint_position=state.position,
                joint_target=state.target,
                tracking_error=float(np.abs(state.position - state.target).max()),
                gripper_opening=state.gripper,
                gripper_target=state.gripper_target,
                speed_scale=state.speed_scale,
                feedback_age_ms=min(state.feedback_age, 1e6) * 1e3,
                bus_rate=state.bus_frames_per_second,
                firmware=state.firmware,
                setpoints_sent=state.setpoints_sent,
                setpoints_limited=state.setpoints_limited,
                chunks_accepted=state.chunks_accepted,
                chunks_refused=state.chunks_refused,
            )
        )

    def _arm_part(self) -> Part:
        if self.controller is None:
            return Part(WARN, "not connected")
        state = self.controller.snapshot()
        level = {values.ArmMode.DISCONNECTED: ERROR, values.ArmMode.FAULT: ERROR, values.ArmMode.DISABLED: WARN}.get(
            state.mode, OK
        )
        return Part(
            level,
            f"{state.mode.name.lower()}: {state.reason}",
            {
                "firmware": state.firmware,
                "CAN frames per second": state.bus_frames_per_second,
                "feedback age [ms]": state.feedback_age * 1e3,
                "speed scale": state.speed_scale,
            },
        )

    def _guard_part(self) -> Part:
        if self.controller is None:
            return Part(WARN, "not connected")
        state = self.controller.snapshot()
        level, text = OK, "no fault"
        if state.mode == values.ArmMode.FAULT:
            level, text = ERROR, state.reason
        elif state.chunk_state == values.ChunkState.REFUSED:
            level, text = WARN, f"the newest chunk was refused: {state.chunk_reason}"
        return Part(
            level,
            text,
            {
                "chunks accepted": state.chunks_accepted,
                "chunks refused": state.chunks_refused,
                "set-points sent": state.setpoints_sent,
                "set-points limited": state.setpoints_limited,
                "newest chunk": f"{state.chunk_state.name.lower()} {state.chunk_reason}".strip(),
            },
        )


def main() -> None:
    """Run the node until a signal ends it."""
    sys.exit(run(ArmNode, threads=2))


if __name__ == "__main__":
    main()
