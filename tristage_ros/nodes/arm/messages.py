"""What the arm is and does, as messages and diagnostics."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from tristage_msgs.msg import ArmStatus

from tristage_ros.devices.arm.kinematics import forward, matrix_to_quaternion, tool_pose
from tristage_ros.devices.arm.values import BASE_FRAME, ArmMode, ArmState, ChunkState, MotorBits, MotorHealth
from tristage_ros.nodes.arm.authority import Stamps
from tristage_ros.ros.convert import header
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Part
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT

_HOT = 70.0  # deg C, of a motor or its driver


def joint_state(state: ArmState, stamps: Stamps) -> JointState:
    """Return the measured joints, stamped when they arrived."""
    feedback = state.feedback
    message = JointState(header=header(stamps.ros(feedback.stamp), BASE_FRAME))
    message.name = [*ARM_JOINTS, GRIPPER_JOINT]
    message.position = [*state.position.tolist(), state.gripper]
    message.velocity = [*state.velocity.tolist(), 0.0]
    message.effort = [*feedback.effort.tolist(), feedback.gripper_effort]
    return message


def end_pose(state: ArmState, stamps: Stamps, dh_is_offset: bool, tcp: float) -> PoseStamped:
    """Return the measured pose of the grasp centre, `tcp` m from the flange, from the joints."""
    pose = PoseStamped(header=header(stamps.ros(state.feedback.stamp), BASE_FRAME))
    tool = tool_pose(forward(state.position, dh_is_offset), tcp)
    pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = tool[:3, 3].tolist()
    o = pose.pose.orientation
    o.x, o.y, o.z, o.w = matrix_to_quaternion(tool[:3, :3]).tolist()
    return pose


def arm_status(state: ArmState, stamps: Stamps, chunk_stamp: Time) -> ArmStatus:
    """Return all that is known about the arm; `chunk_stamp`: of the newest chunk, on the ROS clock.

    How targets and joints moved is NaN where it is not known: before the first, and 5 s after the last of them.
    """
    feedback, motors = state.feedback, state.feedback.motors
    return ArmStatus(
        header=header(stamps.ros(state.stamp), BASE_FRAME),
        mode=int(state.mode),
        reason=state.reason,
        dry_run=state.dry_run,
        command_source=int(state.source),
        chunk_stamp=chunk_stamp,
        chunk_state=int(state.chunk_state),
        chunk_reason=state.chunk_reason,
        joint_position=state.position,
        joint_target=state.target,
        tracking_error=float(np.abs(state.position - state.target).max()),
        gripper_opening=state.gripper,
        gripper_target=state.gripper_target,
        speed_scale=state.speed_scale,
        feedback_age_ms=min(state.feedback_age, 1e6) * 1e3,
        bus_rate=feedback.frames_per_second,
        bus_load=feedback.bus_load,
        firmware=state.firmware,
        target_reversals=state.target_smoothness.reversals,
        target_variation=state.target_smoothness.variation,
        target_jerk=state.target_smoothness.jerk,
        measured_reversals=state.measured_smoothness.reversals,
        measured_variation=state.measured_smoothness.variation,
        measured_jerk=state.measured_smoothness.jerk,
        setpoints_sent=state.setpoints_sent,
        setpoints_limited=state.setpoints_limited,
        chunks_accepted=state.chunks_accepted,
        chunks_refused=state.chunks_refused,
        arm_status=feedback.arm_status,
        error_code=feedback.error_code,
        collision=motors.collision,
        motor_status=list(motors.bits),
        motor_voltage=motors.voltage.astype(np.float32),
        motor_current=motors.current.astype(np.float32),
        motor_temperature=motors.motor_temperature.astype(np.float32),
        driver_temperature=motors.driver_temperature.astype(np.float32),
        gripper_status=feedback.gripper_bits,
        leading=int(state.lead.state),
        leading_reason=state.lead.words,
        leading_missing=state.lead.missing,
        leading_age_ms=min(state.lead.age, 1e6) * 1e3,
    )


def arm_part(state: ArmState) -> Part:
    """Return what the diagnostics say about the arm."""
    level = {ArmMode.DISCONNECTED: ERROR, ArmMode.FAULT: ERROR, ArmMode.DISABLED: WARN}.get(state.mode, OK)
    values = {
        "firmware": state.firmware,
        "dry run": state.dry_run,
        "command source": state.source.name.lower(),
        "CAN frames per second": state.feedback.frames_per_second,
        "bus load [%]": state.feedback.bus_load * 1e2,
        "feedback age [ms]": state.feedback_age * 1e3,
        "speed scale": state.speed_scale,
        "time dilation": state.dilation,
        "error code": f"0x{state.feedback.error_code:04x} {state.feedback.errors()}".rstrip(),
    }
    return Part(level, f"{state.mode.name.lower()}: {state.reason}", values)


def motors_part(state: ArmState) -> Part:
    """Return what the diagnostics say about the motors and the gripper."""
    motors = state.feedback.motors
    hottest = float(max(motors.motor_temperature.max(), motors.driver_temperature.max()))
    values = {f"motor {k + 1}": _motor(motors, k) for k in range(6)}
    values["gripper"] = f"{'homed' if state.feedback.gripper_bits & 0x80 else 'not homed: call /arm/gripper_home'}"
    if trouble := motors.trouble():
        return Part(ERROR, trouble, values)
    if hottest > _HOT:
        return Part(WARN, f"the hottest part has {hottest:.0f} deg C, more than {_HOT:.0f}", values)
    return Part(OK, f"no warnings, at most {hottest:.0f} deg C", values)


def _motor(motors: MotorHealth, k: int) -> str:
    state = "on" if motors.bits[k] & MotorBits.ENABLED else "off"
    temperatures = f"{motors.motor_temperature[k]:.0f} deg C, driver {motors.driver_temperature[k]:.0f} deg C"
    return f"{state}, {motors.voltage[k]:.1f} V, {motors.current[k]:.2f} A, {temperatures}"


def guard_part(state: ArmState) -> Part:
    """Return what the diagnostics say about the guard."""
    level, text = OK, "no fault"
    if state.mode == ArmMode.FAULT:
        level, text = ERROR, state.reason
    elif state.chunk_state == ChunkState.REFUSED:
        level, text = WARN, f"the newest chunk was refused: {state.chunk_reason}"
    values = {
        "chunks accepted": state.chunks_accepted,
        "chunks refused": state.chunks_refused,
        "set-points sent": state.setpoints_sent,
        "set-points limited": state.setpoints_limited,
        "newest chunk": f"{state.chunk_state.name.lower()} {state.chunk_reason}".strip(),
    }
    return Part(level, text, values)


PARTS = {"arm": arm_part, "motors": motors_part, "guard": guard_part}  # of the diagnostics
