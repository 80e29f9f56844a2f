"""The Piper on its CAN bus, through piper_sdk (`sdk`), read by a thread of this module.

Whatever the SDK sends passes `can_bus.permits`.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import can
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tristage_ros.devices.arm import kinematics, listeners
from tristage_ros.devices.arm.black_box import BusRecord
from tristage_ros.devices.arm.can_bus import OF_A_MASTER, ChannelLock, ChannelTakenError, permits
from tristage_ros.devices.arm.clock import DILATION_FRAME, ArmClock, is_emulated, told_dilation
from tristage_ros.devices.arm.firmware import QUARTER_TORQUE
from tristage_ros.devices.arm.flash import Flash, MotorLimits
from tristage_ros.devices.arm.sdk import PiperError, close_bus, new_sdk, open_bus, require_up
from tristage_ros.devices.arm.traffic import GROUPS, JOINT_FRAMES, MAKE_FOLLOWER, Backlog, Traffic
from tristage_ros.devices.arm.values import ArmFeedback, MotorHealth

_STATUS, _GRIPPER, _FIRMWARE = 0x2A1, 0x2A8, 0x4AF
_ANGLE_LIMITS, _ACCELERATION_LIMIT = 0x473, 0x47C  # answers, of one motor each
_JOINTS = frozenset(JOINT_FRAMES)
_REPEATS = 2  # of 0x151 after a change, lest it was lost: more often it would take the arm out of a person's hands
_LONGEST_PERIOD = 0.5  # s between two frames of one kind; what is longer is a gap
_SMOOTHING = 0.1  # of a period, by each frame
_FRESH = 0.25  # s, at most, to wait for the next sample of the joints
_GRIPPER_SILENT = 0.5  # s without feedback, after which the gripper is not commanded
_SPEEDS, _MOTORS = frozenset(range(0x251, 0x257)), frozenset(range(0x261, 0x267))
_READ = _JOINTS | _SPEEDS | _MOTORS | {_STATUS, _GRIPPER, _FIRMWARE, _ANGLE_LIMITS, _ACCELERATION_LIMIT}
_ASK_AGAIN = 0.25  # s until what was not answered is asked for again
_REQUIRED = {
    "joint positions": _JOINTS,
    "motor states": _MOTORS,
    "efforts": _SPEEDS,
    "arm status": frozenset({_STATUS}),
}
__all__ = ["PiperDriver", "PiperError"]


class PiperDriver:
    """Send joint targets to one Piper and read its feedback; never moves, disables or resets it by itself.

    Safe to call from several threads.
    """

    def __init__(self, interface: str = "socketcan", channel: str = "can0", gripper_effort: float = 1.0) -> None:
        """Name the bus; nothing is opened yet.

        Args:
            interface: "socketcan" for the robot, else any interface of python-can ("virtual", "remote", ...).
            channel: "can0", an address, ... as the interface wants it.
            gripper_effort: gripping torque, N m, 0..5.

        Raises:
            ValueError: gripper_effort out of range.
        """
        if not 0.0 <= gripper_effort <= 5.0:
            raise ValueError(f"gripper_effort is 0 to 5 N m, not {gripper_effort}")
        self.interface, self.channel = interface, channel
        self.firmware = ""  # known once connected, as "S-V1.8-9"
        self.clock = ArmClock()
        self.frames = BusRecord()
        self._effort = round(gripper_effort * 1000)
        self._sdk = new_sdk(interface, channel)
        self._send_lock = threading.Lock()  # the SDK encodes every command in one shared message
        self._lock = ChannelLock(interface, channel)
        self._wanted_percent = 100
        self._percent = 0  # as last asked for in 0x151
        self._repeats = 0  # how often that is still to be said again
        self._stopping = threading.Event()
        self._reader: threading.Thread | None = None
        self._forget()

    def connect(self, timeout: float = 5.0) -> None:
        """Open the bus and wait for feedback and firmware version; the motors stay as they are.

        Raises:
            PiperError: the bus cannot be opened, or the arm says nothing within `timeout` s.
        """
        if self._reader is not None:
            raise PiperError(f"already connected to {self.channel}")
        require_up(self.interface, self.channel)
        if self.interface != "virtual":  # which ends with this process
            self._take_channel()
        try:
            self._open_bus()
        except PiperError:
            self._lock.release()
            raise
        self._forget()
        self._stopping.clear()
        self._reader = threading.Thread(target=self._receive, name="piper-reader", daemon=True)
        self._reader.start()
        try:
            self._await_feedback(self.clock.now() + timeout)
            self._ask_for_limits()  # whose answers come when they come
        except PiperError:
            self.close()
            raise

    def close(self) -> None:
        """Leave the bus; the motors stay as they are. Does nothing when not connected."""
        reader, self._reader = self._reader, None
        if reader is None:
            return
        self._stopping.set()
        reader.join()
        close_bus(self._sdk)
        self._lock.release()

    @property
    def dh_is_offset(self) -> bool:
        """Tell which zero J2 and J3 have, from the firmware version; see `kinematics.dh_is_offset`."""
        return kinematics.dh_is_offset(self.firmware)

    @property
    def bus_error(self) -> str:
        """Return the last error of reading the bus, "" while it works."""
        return self._bus_error

    def other_master(self, since: float) -> str:
        """Return what was heard since then (s of the arm's clock) of somebody else who commands it, "" if nothing."""
        when, identifier = self._foreign
        if when < since:
            return ""
        return (
            f"somebody else commands the arm on {self.channel} (frame 0x{identifier:03x}): another program, another "
            "computer, or an arm in the role of a leader"
        )

    def listeners(self) -> str:
        """Return who else has the channel open on this computer and what to do, "" if nobody, or nobody can tell.

        Such a program may command the arm without being heard; one that only listens does no harm.
        """
        if self.interface != "socketcan" or self._reader is None:
            return ""
        others = listeners.company(self.channel, ours=1)  # one bus for both directions
        return f"{others}; {listeners.WHO}" if others else ""

    @property
    def traffic(self) -> Traffic:
        """Return what was heard on the bus since connect(), also of one that failed."""
        return self._traffic

    @property
    def emulated(self) -> bool:
        """Tell whether the bus ends within this computer: only there an arm may let its time pass more slowly."""
        return is_emulated(self.interface, self.channel)

    def impostor(self) -> str:
        """Return that an emulated arm is heard on the bus of a real one, "" where it is not."""
        if self.emulated or DILATION_FRAME not in self._traffic.heard:
            return ""
        return f"an emulated arm is on {self.channel}, too (frame 0x{DILATION_FRAME:03x}): end that program"

    @property
    def limits(self) -> tuple[MotorLimits, ...]:
        """Return the limits in the arm's flash by motor, 6, as far as they were told."""
        return self._flash.limits

    def read_limits(self, timeout: float = 1.0) -> tuple[MotorLimits, ...]:
        """Ask for the limits in the arm's flash until all are told, for `timeout` s at most; return them.

        Raises:
            PiperError: not connected, or the bus did not take a frame.
        """
        deadline = self.clock.now() + timeout
        while self._flash.missing() and self.clock.now() < deadline:
            if self.clock.now() > self._asked_for_limits + _ASK_AGAIN:
                self._ask_for_limits()
            time.sleep(0.005)
        return self.limits

    def _ask_for_limits(self) -> None:
        """Ask each motor for what it has not told; a query changes nothing."""
        self._asked_for_limits = self.clock.now()
        for motor, content in self._flash.missing():
            with self._send_lock:
                self._connected_sdk().SearchMotorMaxAngleSpdAccLimit(motor, content)

    def read(self) -> ArmFeedback:
        """Return the newest feedback; its stamp tells how old it is.

        Raises:
            PiperError: there was none since connect().
        """
        if self._joints is None:
            raise PiperError(f"no joint feedback on {self.channel} yet")
        stamp, position = self._joints
        status = self._sdk.GetArmStatus().arm_status
        gripper, fast = self._sdk.GetArmGripperMsgs().gripper_state, self._each(self._sdk.GetArmHighSpdInfoMsgs())
        return ArmFeedback(
            stamp=stamp,
            position=position,
            velocity=np.array([motor.motor_speed for motor in fast]) * 1e-3,
            effort=np.array([motor.effort for motor in fast]) * 1e-3 * self._effort_scale,
            gripper=int(gripper.grippers_angle) * 1e-6,
            gripper_effort=int(gripper.grippers_effort) * 1e-3,
            gripper_bits=int(gripper.status_code),
            motors=self._motor_health(),
            control_mode=int(status.ctrl_mode),
            arm_status=int(status.arm_status),
            error_code=int(status.err_code),
            frames_per_second=self._traffic.frames_per_second,
            bus_load=self._traffic.load,
            groups={
                name: (
                    min(self._arrived[id] for id in ids),
                    max(self._periods[id] for id in ids),
                    self._samples - min(self._counted[id] for id in ids),
                )
                for name, ids in GROUPS.items()
            },
            steady_since=self._steady_since,
            move_mode=int(status.mode_feed),
        )

    def enable(self, timeout: float = 3.0) -> None:
        """Switch all motors on and wait until they report it. After a reset the arm needs more than one request.

        Every request follows a set-point at the measured position, within the limits, so that no older target is left
        to go to. An arm that somebody else takes meanwhile is asked for nothing more.

        Raises:
            PiperError: not connected, no feedback, the arm was taken or complains, a motor stayed off for `timeout` s.
        """
        began = self.clock.now()
        while self.clock.now() < began + timeout:
            measured = self._fresh()
            if taken := measured.complaint(motors_off=False) or self.other_master(began):
                raise PiperError(taken)
            self._percent = 0  # so that the mode is asked for
            self.send(np.clip(measured.position, *kinematics.JOINT_LIMITS.T), measured.gripper)
            asked = self.clock.now()
            with self._send_lock:
                self._connected_sdk().EnableArm(7)
            while self.clock.now() < asked + 0.1:  # motor states come at 40 Hz
                time.sleep(0.005)
                if min(self._arrived[id] for id in _MOTORS) > asked and all(self.read().motors_enabled):
                    return
        raise PiperError(
            f"the motors did not switch on within {timeout:g} s: {self.read().complaint() or 'no motor states'}; "
            "check the emergency stop and the power supply"
        )

    def _fresh(self) -> ArmFeedback:
        """Return feedback whose joints came after this was called: what is older may be where the arm was.

        Raises:
            PiperError: none came within a quarter of a second.
        """
        asked = self.clock.now()
        while (arm := self.read()).stamp <= asked:
            if self.clock.now() > asked + _FRESH:
                raise PiperError(f"no joint feedback on {self.channel} for {self.clock.now() - arm.stamp:.2f} s")
            time.sleep(0.002)
        return arm

    def set_speed(self, percent: int) -> None:
        """Choose how much of its speed the firmware may use, 1..100 %; it is told with the next set-point."""
        self._wanted_percent = min(100, max(1, percent))

    def send(self, position: ArrayLike, gripper: float) -> None:
        """Send one set-point: six joint targets and the gripper; before them MOVE J and its speed where they change.

        Args:
            position: [6] rad.
            gripper: total opening, m.

        Raises:
            ValueError: not six finite joints and a finite opening; nothing was sent.
            PiperError: not connected, or the bus did not take a frame.
        """
        joints = np.asarray(position, dtype=float)
        if joints.shape != (6,) or not np.isfinite(joints).all() or not math.isfinite(gripper):
            raise ValueError(f"set-point {joints.tolist()}, gripper {gripper} is not six finite joints and an opening")
        millidegrees = [int(value) for value in np.rint(np.degrees(joints) * 1000)]
        with self._send_lock:
            sdk = self._connected_sdk()
            if self._wanted_percent != self._percent or self._repeats:
                self._repeats = _REPEATS if self._wanted_percent != self._percent else self._repeats - 1
                self._percent = self._wanted_percent
                sdk.MotionCtrl_2(ctrl_mode=1, move_mode=1, move_spd_rate_ctrl=self._percent, is_mit_mode=0)
            sdk.JointCtrl(*millidegrees)
            if self.clock.now() - self._arrived[_GRIPPER] < _GRIPPER_SILENT:
                sdk.GripperCtrl(round(gripper * 1e6), self._effort, gripper_code=1, set_zero=0)

    def reset(self) -> None:
        """Cut the power of all motors at once and leave every error state: the arm FALLS unless it is held.

        Raises:
            PiperError: not connected, or the bus did not take the frame.
        """
        with self._for_operator() as sdk:
            sdk.MotionCtrl_1(2, 0, 0)

    def release_gripper(self) -> None:
        """Take the gripper's power away and clear its errors, so that it can be moved by hand."""
        with self._for_operator() as sdk:
            sdk.GripperCtrl(0, self._effort, gripper_code=2, set_zero=0)

    def set_gripper_zero(self) -> None:
        """Take the present opening of the gripper, which has no power, for 0."""
        with self._for_operator() as sdk:
            sdk.GripperCtrl(0, self._effort, gripper_code=0, set_zero=0xAE)

    def home_gripper(self) -> None:
        """Clear the gripper's errors and close it, as far as it goes."""
        with self._for_operator() as sdk:
            sdk.GripperCtrl(0, self._effort, gripper_code=3, set_zero=0)

    @contextmanager
    def _for_operator(self) -> Iterator[Any]:
        """Let the frames pass that only a person may ask for, from this thread."""
        with self._send_lock:
            self._for_person = True
            try:
                yield self._connected_sdk()
            finally:
                self._for_person = False

    def _connected_sdk(self) -> Any:
        if self._reader is None:
            raise PiperError(f"not connected to {self.channel}")
        return self._sdk

    def _take_channel(self) -> None:
        try:
            self._lock.take()
        except ChannelTakenError as error:
            raise PiperError(str(error)) from error

    def _open_bus(self) -> None:
        bus = open_bus(self._sdk, self.interface, self.channel)
        self._transmit = bus.SendCanMessage
        bus.SendCanMessage = self._send_permitted
        self._sdk.ConnectPort(can_init=False, piper_init=False, start_thread=False)

    def _send_permitted(self, arbitration_id: int, data: Any, dlc: int = 8, is_extended_id: bool = False) -> Any:
        """Stand between the SDK and the bus: refuse dangerous frames and turn the SDK's silent failures into errors."""
        if not permits(arbitration_id, bytes(data), self._for_person):
            raise PiperError(f"frame 0x{arbitration_id:03x} {bytes(data).hex()} is never sent by this driver")
        result = self._transmit(arbitration_id, data, dlc, is_extended_id)
        if result.name != "SEND_MESSAGE_SUCCESS":
            raise PiperError(f"{self.channel} did not take frame 0x{arbitration_id:03x}: {result.name}")
        self._traffic.sent()
        self.frames.sent(arbitration_id, bytes(data))
        return result

    def _forget(self) -> None:
        self._joints: tuple[float, NDArray[np.float64]] | None = None
        self._arrived = dict.fromkeys(_READ, -math.inf)  # s of the arm's clock, by frame
        self._samples = 0  # of the joints
        self._counted = dict.fromkeys(_READ, 0)  # how many of them had come with a frame
        self._periods = dict.fromkeys(_READ, 0.0)  # s between two frames, smoothed
        self._steady_since = -math.inf  # s of the arm's clock, since when the joints have come without a gap
        self._joint_frames = 0  # of the present sample that have come, in their order
        self._percent = 0
        self._repeats = 0
        self._traffic, self._flash = Traffic(time.monotonic()), Flash()
        self._asked_for_limits = -math.inf  # s of the arm's clock
        self._foreign = (-math.inf, 0)  # when a command of somebody else was heard, and which
        self._effort_scale = np.ones(6)
        self._for_person = False
        self._bus_error = ""
        self._version = ""
        self.firmware = ""
        self.clock.dilate(1.0)

    def _await_feedback(self, deadline: float) -> None:
        ask_at = -math.inf
        while missing := self._missing():
            now = self.clock.now()
            if now > deadline:
                where = f"{self.interface} {self.channel}"
                raise PiperError(f"no {', '.join(missing)} on {where}: {self._why()} {self._bus_error}".rstrip())
            if now > ask_at:
                with self._send_lock:
                    self._sdk.SearchPiperFirmwareVersion()
                ask_at = now + 0.25
            time.sleep(0.01)
            self._take_version(self._sdk.GetPiperFirmwareVersion())

    def _why(self) -> str:
        """Return what may keep an arm from being heard."""
        if role := self._traffic.role():
            return f"{role}; {MAKE_FOLLOWER}"
        return "is the arm powered and its CAN cable plugged in?"

    def _take_version(self, version: Any) -> None:
        """Take the firmware version once it is readable: without it nobody knows where J2 and J3 have their zero."""
        if not isinstance(version, str):  # the SDK has not seen one yet
            return
        self._version = version
        with contextlib.suppress(ValueError):
            if kinematics.firmware_number(version) <= QUARTER_TORQUE:
                self._effort_scale = np.array([4.0, 4.0, 4.0, 1.0, 1.0, 1.0])
            self.firmware = version

    def _missing(self) -> list[str]:
        missing = [name for name, ids in _REQUIRED.items() if any(self._arrived[id] < 0 for id in ids)]
        if self.firmware:
            return missing
        told = f" (it says {self._version!r}, which is not of the form 'S-V1.8-9')" if self._version else ""
        return [*missing, f"firmware version{told}"]

    def _receive(self) -> None:
        backlog = Backlog(self._sdk.GetCanBus().recv_bus, time.monotonic())
        while not self._stopping.is_set():
            try:
                old, new = backlog.receive(0.1)
                for message in (*old, *new):
                    self.frames.received(message)
                    if message.arbitration_id == DILATION_FRAME and self.emulated:
                        self.clock.dilate(told_dilation(bytes(message.data)) or self.clock.dilation)
                for message in new:
                    if message.arbitration_id in _READ and message.dlc == 8:
                        self._sdk.ParseCANFrame(message)
                    self._hear(message)
                self._bus_error = ""
            except Exception as error:
                # whatever a bus or the SDK's parser throws: feedback grows old, which is what the guard acts on
                self._bus_error = f"{type(error).__name__}: {error}"
                self._stopping.wait(0.05)
                continue
            if old:
                self._joint_frames = 0  # what has come of a sample is as old
            for message in old:
                self._hear(message, tells_of_now=False)
            self._traffic.note(None, time.monotonic())

    def _hear(self, message: can.Message, tells_of_now: bool = True) -> None:
        """Take note of a frame: of its content by the SDK before, if it tells of now."""
        now, identifier = self.clock.now(), message.arbitration_id
        if identifier in OF_A_MASTER:
            self._foreign = (now, identifier)
        if message.dlc == 8:
            if tells_of_now:
                self._note(identifier, now)
            self._traffic.note(identifier, time.monotonic())

    def _note(self, arbitration_id: int, now: float) -> None:
        """Stamp a frame; take the joint positions once their three frames have come in order.

        A sample with a frame lost or out of place is left out: it would mix two moments.
        """
        if arbitration_id not in _READ:
            return
        if arbitration_id == _ANGLE_LIMITS:  # the SDK keeps the last answer only
            self._flash.take_angles(self._sdk.GetCurrentMotorAngleLimitMaxVel().current_motor_angle_limit_max_vel)
        elif arbitration_id == _ACCELERATION_LIMIT:
            self._flash.take_acceleration(self._sdk.GetCurrentMotorMaxAccLimit().current_motor_max_acc_limit)
        interval = now - self._arrived[arbitration_id]
        if interval < _LONGEST_PERIOD:
            known = self._periods[arbitration_id]
            self._periods[arbitration_id] = known + _SMOOTHING * (interval - known) if known else interval
        self._arrived[arbitration_id] = now
        self._counted[arbitration_id] = self._samples
        if arbitration_id not in _JOINTS:
            return
        place = JOINT_FRAMES.index(arbitration_id)
        self._joint_frames = place + 1 if place in (0, self._joint_frames) else 0
        if self._joint_frames == len(JOINT_FRAMES):
            if self._joints is None or now - self._joints[0] > _FRESH:
                self._steady_since = now
            self._samples += 1
            state = self._sdk.GetArmJointMsgs().joint_state
            self._joints = now, np.radians([getattr(state, f"joint_{i}") * 1e-3 for i in range(1, 7)])

    def _motor_health(self) -> MotorHealth:
        motors = self._each(self._sdk.GetArmLowSpdInfoMsgs())
        return MotorHealth(
            voltage=np.array([motor.vol for motor in motors]) * 0.1,
            current=np.array([motor.bus_current for motor in motors]) * 1e-3,
            motor_temperature=np.array([float(motor.motor_temp) for motor in motors]),
            driver_temperature=np.array([float(motor.foc_temp) for motor in motors]),
            bits=tuple(int(motor.foc_status_code) for motor in motors),
        )

    @staticmethod
    def _each(message: Any) -> list[Any]:
        return [getattr(message, f"motor_{i}") for i in range(1, 7)]
