"""A second Piper that leads ours: read on its own CAN bus through piper_sdk, and never sent a frame.

A leader sends what a master sends: joint targets (0x155 to 0x157), the gripper's (0x159) and a mode (0x151). One that
is held still may fall silent, by its firmware; what is wrong with it is told in words, what it last said is kept.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import can
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm import traffic
from tristage_ros.devices.arm.can_bus import ChannelLock, ChannelTakenError
from tristage_ros.devices.arm.sdk import PiperError, close_bus, new_sdk, open_bus, require_up
from tristage_ros.devices.arm.traffic import Backlog, Traffic
from tristage_ros.devices.arm.values import LEADING, Led

Floats = NDArray[np.float64]

_JOINTS = (0x155, 0x156, 0x157)  # one sample, in this order
_STATUS, _GRIPPER = 0x2A1, 0x159
_READ = frozenset({*_JOINTS, _GRIPPER, _STATUS})
_AGAIN = 1.0  # s until an adapter that is not there is looked for again
_TWO = 300.0  # Hz of joint targets: one leader sends 200
_SWAPS, _APART, _ALIKE = 3, 0.1, 0.02  # times that the joints go to and fro, by how much, and how near they come, rad

MAKE_LEADER = (
    "nothing here sends that frame (0x470). With the arm held, and nothing else on its bus, a person does: "
    "C_PiperInterface_V2.MasterSlaveConfig(0xFA, 0, 0, 0) of piper_sdk; then switch the arm off and on"
)


class PiperLeader:
    """Listen to one leader, from a thread of its own; an adapter that is not there, or goes, is looked for again."""

    def __init__(self, interface: str = "socketcan", channel: str = "can1") -> None:
        """Name its bus, as `PiperDriver` does; nothing is opened yet."""
        self.interface, self.channel = interface, channel
        self._led: Led | None = None
        self._lock = ChannelLock(interface, channel)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leader", daemon=True)
        self._forget()

    def _forget(self) -> None:
        self.traffic = Traffic(time.monotonic())
        self._trouble = ""  # with the adapter
        self._role = -1  # the control mode that it says it is in; -1: it does not say
        self._place = 0  # joint frames of the present sample that have come, in their order
        self._past: list[Floats] = []  # the last three samples
        self._swaps = 0
        self._grip: float | None = None  # m, the last that was said

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Leave the bus."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def newest(self) -> Led | None:
        """Return what it said last, None before the first."""
        return self._led

    def complaint(self) -> str:
        """Return why what is heard may lead nothing, "" where it may, or where nothing is heard."""
        rates = self.traffic.rates
        if self._trouble:
            return f"the leader's adapter: {self._trouble}"
        targets = min(rates.get(identifier, 0.0) for identifier in _JOINTS)
        feedback = rates.get(traffic.JOINT_FRAMES[0], 0.0)
        if feedback and not targets:
            return f"the arm on {self.channel} is a follower: it sends feedback and no commands; {MAKE_LEADER}"
        if self._swaps >= _SWAPS or targets > _TWO:
            return f"two leaders are on {self.channel} ({targets:.0f} joint targets/s): leave one"
        if targets and rates.get(_STATUS) and self._role != LEADING:
            return f"on {self.channel} somebody commands an arm that is no leader: that is not followed"
        return ""

    # The thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (PiperError, ChannelTakenError) as error:
                self._trouble = str(error)
            except Exception as error:
                # whatever a bus or the SDK's parser throws: what it said grows old, and the words say why
                self._trouble = f"{self.channel}: {error or type(error).__name__}; plug it in"
            self._stopping.wait(_AGAIN)

    def _listen(self) -> None:
        """Open the bus and listen until `close`, or until it fails."""
        require_up(self.interface, self.channel)
        if self.interface != "virtual":  # which ends with this process
            self._lock.take()
        sdk = new_sdk(self.interface, self.channel)
        try:
            bus = open_bus(sdk, self.interface, self.channel)
            bus.SendCanMessage = _refuse
            sdk.ConnectPort(can_init=False, piper_init=False, start_thread=False)
            self._forget()
            backlog = Backlog(bus.recv_bus, time.monotonic())
            while not self._stopping.is_set():
                old, new = backlog.receive(0.1)
                self._place = 0 if old else self._place
                for message in new:
                    self.traffic.note(message.arbitration_id, time.monotonic())
                    if message.arbitration_id in _READ and message.dlc == 8:
                        sdk.ParseCANFrame(message)
                        self._hear(sdk, message)
                self.traffic.note(None, time.monotonic())
        finally:
            close_bus(sdk)
            self._lock.release()

    def _hear(self, sdk: Any, message: can.Message) -> None:
        """Take a frame; joints once their three frames have come in order: others would mix two moments."""
        identifier = message.arbitration_id
        if identifier == _STATUS:
            self._role = int(sdk.GetArmStatus().arm_status.ctrl_mode)
        elif identifier == _GRIPPER:
            self._grip = int(sdk.GetArmGripperCtrl().gripper_ctrl.grippers_angle) * 1e-6
        if identifier not in _JOINTS:
            return
        place = _JOINTS.index(identifier)
        self._place = place + 1 if place in (0, self._place) else 0
        if self._place == len(_JOINTS):
            said = sdk.GetArmJointCtrl().joint_ctrl
            position = np.radians([getattr(said, f"joint_{k}") * 1e-3 for k in range(1, 7)])
            self._look_for_two(position)
            self._led = Led(time.monotonic(), position=position, gripper=self._grip)

    def _look_for_two(self, position: Floats) -> None:
        """Count how often the joints were elsewhere and came back: that is what two leaders look like."""
        self._past = [*self._past[-2:], position]
        if len(self._past) == 3:
            before, between, now = self._past
            back = np.abs(now - before).max() < _ALIKE and np.abs(between - now).max() > _APART
            self._swaps = min(_SWAPS + 10, self._swaps + 1) if back else max(0, self._swaps - 1)


def _refuse(arbitration_id: int, data: Any, dlc: int = 8, is_extended_id: bool = False) -> Any:
    """Stand between the SDK and a leader's bus: nothing is ever sent."""
    raise PiperError(f"frame 0x{arbitration_id:03x} was to be sent to a leader, to which nothing is sent")
