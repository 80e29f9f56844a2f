"""The Piper on its CAN bus, through piper_sdk: the only module that imports it.

The SDK encodes and decodes frames. Reading is done by a thread of this module, because the SDK's own threads cannot be
stopped and stamp feedback with the bus's clock. Whatever the SDK sends passes one gate, `_PERMITTED`: frames that could
drop the arm (0x150 emergency stop and reset, 0x471 disable) or move a zero (0x159 with 0xAE, 0x475) cannot leave.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import can
import numpy as np
from numpy.typing import ArrayLike, NDArray
from piper_sdk import C_PiperInterface_V2, LogLevel

from tristage_ros.devices import kinematics
from tristage_ros.devices.feedback import ArmFeedback

BITRATE = 1_000_000

_PERMITTED: dict[int, Callable[[bytes], bool]] = {
    0x151: lambda data: data[0] == 1 and data[1] == 1 and data[3] == 0,  # CAN control, MOVE J, not MIT
    0x155: lambda data: True,  # targets of J1, J2
    0x156: lambda data: True,  # J3, J4
    0x157: lambda data: True,  # J5, J6
    0x159: lambda data: data[6] == 1 and data[7] == 0,  # gripper enabled, zero untouched
    0x471: lambda data: data[1] == 2,  # enable motors
    0x4AF: lambda data: True,  # ask for the firmware version
}

_FEEDBACK = range(0x251, 0x2B0)
_STATUS, _GRIPPER, _FIRMWARE = 0x2A1, 0x2A8, 0x4AF
_JOINTS, _LAST_JOINT = frozenset({0x2A5, 0x2A6, 0x2A7}), 0x2A7
_SPEEDS, _MOTORS = frozenset(range(0x251, 0x257)), frozenset(range(0x261, 0x267))
_READ = _JOINTS | _SPEEDS | _MOTORS | {_STATUS, _GRIPPER, _FIRMWARE}
_REQUIRED = {"joint positions": _JOINTS, "motor states": _MOTORS, "arm status": frozenset({_STATUS})}
_driver_numbers = itertools.count()


class PiperError(RuntimeError):
    """Say what is wrong between this computer and the arm, and what to do about it."""


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
        self.firmware = ""  # known once connected
        self._effort = round(gripper_effort * 1000)
        name = f"{interface}:{channel}#{next(_driver_numbers)}"  # the SDK keeps one instance per name
        self._sdk = C_PiperInterface_V2(name, judge_flag=False, can_auto_init=False, logger_level=LogLevel.SILENT)
        self._send_lock = threading.Lock()  # the SDK encodes every command in one shared message
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
        if self.interface == "socketcan":
            _check_socketcan(self.channel)
        self._open_bus()
        self._forget()
        self._stopping.clear()
        self._reader = threading.Thread(target=self._receive, name="piper-reader", daemon=True)
        self._reader.start()
        try:
            self._await_feedback(time.monotonic() + timeout)
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
        bus = self._sdk.GetCanBus().recv_bus
        self._sdk.DisconnectPort()
        if bus is not None:
            can.BusABC.shutdown(bus)  # where the peer has gone first, the bus' own shutdown breaks off half-way

    @property
    def dh_is_offset(self) -> bool:
        """Tell which zero J2 and J3 have, from the firmware version; see `kinematics.dh_is_offset`."""
        return kinematics.dh_is_offset(self.firmware)

    @property
    def bus_error(self) -> str:
        """Return the last error of reading the bus, "" while it works."""
        return self._bus_error

    def read(self) -> ArmFeedback:
        """Return the newest feedback; its stamp tells how old it is.

        Raises:
            PiperError: there was none since connect().
        """
        if self._joints is None:
            raise PiperError(f"no joint feedback on {self.channel} yet")
        stamp, position = self._joints
        status = self._sdk.GetArmStatus().arm_status
        return ArmFeedback(
            stamp=stamp,
            position=position,
            velocity=np.array([motor.motor_speed for motor in self._each(self._sdk.GetArmHighSpdInfoMsgs())]) * 1e-3,
            gripper=int(self._sdk.GetArmGripperMsgs().gripper_state.grippers_angle) * 1e-6,
            motors_enabled=self._motors_enabled(),
            control_mode=int(status.ctrl_mode),
            arm_status=int(status.arm_status),
            error_code=int(status.err_code),
            frames_per_second=self._frames_per_second,
        )

    def enable(self, timeout: float = 3.0) -> None:
        """Switch all motors on and wait until they report it. After a reset the arm needs more than one request.

        Every request follows a set-point at the measured position, so that no older target is left to go to.

        Raises:
            PiperError: not connected, no feedback, or a motor stayed off for `timeout` s.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            measured = self.read()
            self.send(measured.position, measured.gripper)
            asked = time.monotonic()
            with self._send_lock:
                self._connected_sdk().EnableArm(7)
            while time.monotonic() < asked + 0.1:  # motor states come at 40 Hz
                time.sleep(0.005)
                if min(self._arrived[id] for id in _MOTORS) > asked and all(self._motors_enabled()):
                    return
        raise PiperError(
            f"the motors did not switch on within {timeout:g} s: {self.read().complaint() or 'no motor states'}; "
            "check the emergency stop and the power supply"
        )

    def send(self, position: ArrayLike, gripper: float) -> None:
        """Send one set-point: MOVE J at full speed (the caller limits it), six joint targets and the gripper.

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
            sdk.MotionCtrl_2(ctrl_mode=1, move_mode=1, move_spd_rate_ctrl=100, is_mit_mode=0)
            sdk.JointCtrl(*millidegrees)
            sdk.GripperCtrl(round(gripper * 1e6), self._effort, gripper_code=1, set_zero=0)

    def _connected_sdk(self) -> Any:
        if self._reader is None:
            raise PiperError(f"not connected to {self.channel}")
        return self._sdk

    def _open_bus(self) -> None:
        try:
            with _quiet_bus_creation(self.interface):
                self._sdk.CreateCanBus(self.channel, self.interface, BITRATE, judge_flag=False)
        except ConnectionError as error:
            raise PiperError(f"cannot open {self.interface} bus {self.channel}: {error.__context__}") from error
        bus = self._sdk.GetCanBus()
        if bus.recv_bus is None:
            raise PiperError(f"cannot open {self.interface} bus {self.channel}")
        # one bus for both directions: nobody would ever empty the receive queue of a second one
        bus.send_bus.shutdown()
        bus.send_bus = bus.recv_bus
        self._transmit = bus.SendCanMessage
        bus.SendCanMessage = self._send_permitted
        self._sdk.ConnectPort(can_init=False, piper_init=False, start_thread=False)

    def _send_permitted(self, arbitration_id: int, data: Any, dlc: int = 8, is_extended_id: bool = False) -> Any:
        """Stand between the SDK and the bus: refuse dangerous frames and turn the SDK's silent failures into errors."""
        permitted = _PERMITTED.get(arbitration_id)
        if permitted is None or not permitted(bytes(data)):
            raise PiperError(f"frame 0x{arbitration_id:03x} {bytes(data).hex()} is never sent by this driver")
        result = self._transmit(arbitration_id, data, dlc, is_extended_id)
        if result.name != "SEND_MESSAGE_SUCCESS":
            raise PiperError(f"{self.channel} did not take frame 0x{arbitration_id:03x}: {result.name}")
        return result

    def _forget(self) -> None:
        self._joints: tuple[float, NDArray[np.float64]] | None = None
        self._arrived = dict.fromkeys(_READ, -math.inf)  # s, monotonic clock, by frame
        self._frames_per_second = 0.0
        self._bus_error = ""
        self.firmware = ""

    def _await_feedback(self, deadline: float) -> None:
        ask_at = -math.inf
        while missing := self._missing():
            now = time.monotonic()
            if now > deadline:
                raise PiperError(
                    f"no {', '.join(missing)} on {self.interface} {self.channel}: is the arm powered and its CAN cable "
                    f"plugged in? {self._bus_error}".rstrip()
                )
            if now > ask_at:
                with self._send_lock:
                    self._sdk.SearchPiperFirmwareVersion()
                ask_at = now + 0.25
            time.sleep(0.01)
            version = self._sdk.GetPiperFirmwareVersion()
            if isinstance(version, str) and re.fullmatch(r"S-V\d+\.\d+-\d+", version):
                self.firmware = version

    def _missing(self) -> list[str]:
        missing = [name for name, ids in _REQUIRED.items() if any(self._arrived[id] < 0 for id in ids)]
        return missing if self.firmware else [*missing, "firmware version"]

    def _receive(self) -> None:
        bus = self._sdk.GetCanBus().recv_bus
        frames, since = 0, time.monotonic()
        while not self._stopping.is_set():
            try:
                message = bus.recv(0.1)
                if message is not None and message.arbitration_id in _READ and message.dlc == 8:
                    self._sdk.ParseCANFrame(message)
                self._bus_error = ""
            except Exception as error:
                # whatever a bus or the SDK's parser throws: feedback grows old, which is what the guard acts on
                self._bus_error = f"{type(error).__name__}: {error}"
                self._stopping.wait(0.05)
                continue
            now = time.monotonic()
            if message is not None and message.dlc == 8:
                frames += message.arbitration_id in _FEEDBACK
                self._note(message.arbitration_id, now)
            if now - since >= 0.5:
                self._frames_per_second, frames, since = frames / (now - since), 0, now

    def _note(self, arbitration_id: int, now: float) -> None:
        """Stamp a frame, and take the joint positions once all three of their frames are new."""
        if arbitration_id not in _READ:
            return
        self._arrived[arbitration_id] = now
        previous = self._joints[0] if self._joints else -math.inf
        if arbitration_id == _LAST_JOINT and all(self._arrived[id] > previous for id in _JOINTS):
            state = self._sdk.GetArmJointMsgs().joint_state
            self._joints = now, np.radians([getattr(state, f"joint_{i}") * 1e-3 for i in range(1, 7)])

    def _motors_enabled(self) -> tuple[bool, ...]:
        motors = self._each(self._sdk.GetArmLowSpdInfoMsgs())
        return tuple(bool(motor.foc_status.driver_enable_status) for motor in motors)

    @staticmethod
    def _each(message: Any) -> list[Any]:
        return [getattr(message, f"motor_{i}") for i in range(1, 7)]


def _check_socketcan(channel: str) -> None:
    state = Path("/sys/class/net") / channel / "operstate"
    remedy = f"bring it up with: sudo ip link set {channel} up type can bitrate {BITRATE}"
    if not state.exists():
        raise PiperError(f"there is no CAN interface {channel}; plug in the adapter, then {remedy}")
    if state.read_text().strip() != "up":
        raise PiperError(f"CAN interface {channel} is {state.read_text().strip()}; {remedy}")


@contextmanager
def _quiet_bus_creation(interface: str) -> Iterator[None]:
    """Hide the SDK's use of a deprecated argument, and keep multicast frames on this computer."""
    local = interface == "udp_multicast" and "CAN_CONFIG" not in os.environ
    if local:
        os.environ["CAN_CONFIG"] = '{"hop_limit": 0}'  # the SDK passes no bus options of its own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        if local:
            del os.environ["CAN_CONFIG"]
