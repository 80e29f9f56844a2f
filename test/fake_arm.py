"""An arm at the other end of a CAN bus, that does what a test tells it to."""

from __future__ import annotations

import itertools
import struct
import threading
import time

import can
import numpy as np

LIMITS = [(-1500, 1500), (0, 1800), (-1700, 0), (-1000, 1000), (-700, 700), (-1200, 1200)]  # 0.1 deg
HOME = np.array([0.0, 1.2, -1.0, 0.0, 0.6, 0.0])
_channels = itertools.count()


class FakeArm(threading.Thread):
    """Speak the Piper's frames on a virtual bus; its joints follow targets at 3 rad/s without inertia."""

    def __init__(self, rate: float = 200.0) -> None:
        super().__init__(daemon=True)
        self.channel = f"fake-arm-{next(_channels)}"
        self.bus = can.Bus(interface="virtual", channel=self.channel)
        self.rate = rate
        self.position, self.target = HOME.copy(), HOME.copy()
        self.gripper = self.gripper_target = 0.05
        self.smallest_opening = 0.0  # m, of what is between the fingers
        self.motors = [False] * 6
        self.enables_needed = 1
        self.silent = self.blocked = self.dead = False
        self.status = self.error_code = 0
        self.frames: list[tuple[float, int, bytes]] = []
        self.firmware = b"S-V1.8-9"
        self.mode = 1
        self.shift = 0  # of 0x2A1 to 0x2A8
        self.leads = False
        self.omitted: set[int] = set()
        self.beside: tuple[tuple[int, bytes], ...] = ()  # what somebody else sends meanwhile
        self.tells_limits = True
        self.limits = [(*angles, 3000, 500) for angles in LIMITS]  # 0.1 deg, 0.001 rad/s, 0.01 rad/s^2
        self._latch = np.zeros(6)
        self._ended = threading.Event()

    def run(self) -> None:
        for tick in itertools.count():
            if self._ended.wait(1.0 / self.rate):
                return
            while (message := self.bus.recv(0)) is not None:
                self._obey(message.arbitration_id, bytes(message.data))
            if not self.blocked and all(self.motors):
                step = 3.0 / self.rate
                self.position = self.position + np.clip(self.target - self.position, -step, step)
            opening = max(self.gripper_target, self.smallest_opening)
            self.gripper += float(np.clip(opening - self.gripper, -0.2 / self.rate, 0.2 / self.rate))
            if not self.silent:
                self._report(with_motors=tick % 5 == 0)

    def close(self) -> None:
        self._ended.set()
        self.join()
        self.bus.shutdown()

    def setpoints(self) -> np.ndarray:
        """Return what the driver sent: [n, 7] time, s, and joint targets, rad."""
        rows, joints = [], {}
        for stamp, identifier, data in list(self.frames):
            if 0x155 <= identifier <= 0x157:
                joints[identifier] = np.radians(np.array(struct.unpack(">ii", data)) * 1e-3)
                if identifier == 0x157:
                    rows.append([stamp, *joints[0x155], *joints[0x156], *joints[0x157]])
        return np.array(rows).reshape(-1, 7)

    def sent_ids(self) -> set[int]:
        return {identifier for _, identifier, _ in list(self.frames)}

    def _obey(self, identifier: int, data: bytes) -> None:
        self.frames.append((time.monotonic(), identifier, data))
        if identifier == 0x471:
            self.enables_needed -= 1
            if self.enables_needed <= 0 and not self.dead:
                self.motors = [True] * 6
        elif 0x155 <= identifier <= 0x157:
            first = 2 * (identifier - 0x155)
            self._latch[first : first + 2] = np.radians(np.array(struct.unpack(">ii", data)) * 1e-3)
            if identifier == 0x157:
                self.target = self._latch.copy()
        elif identifier == 0x159:
            self.gripper_target = struct.unpack(">i", data[:4])[0] * 1e-6
        elif identifier == 0x472 and not self.silent and self.tells_limits:
            lower, upper, speed, acceleration = self.limits[data[0] - 1]
            if data[1] == 1:
                self._send(0x473, struct.pack(">BhhHx", data[0], upper, lower, speed))
            else:
                self._send(0x47C, struct.pack(">BH5x", data[0], acceleration))
        elif identifier == 0x4AF and not self.silent:
            for part in (b"H-V1.2-1", self.firmware):
                self._send(0x4AF, part)

    def _report(self, with_motors: bool) -> None:
        for identifier, data in self.beside:
            self._send(identifier, data)
        if self.leads:
            for identifier in (0x151, 0x155, 0x156, 0x157, 0x159):
                self._send(identifier, bytes(8))
            return
        self._send(0x2A1, bytes([self.mode, self.status, 1, 0, 0, 0]) + struct.pack(">H", self.error_code))
        joints = np.rint(np.degrees(self.position) * 1000).astype(int)
        for i in range(3):
            self._send(0x2A5 + i, struct.pack(">ii", *joints[2 * i : 2 * i + 2]))
        self._send(0x2A8, struct.pack(">ihBB", round(self.gripper * 1e6), 0, 0x40, 0))
        for i in range(6):
            self._send(0x251 + i, struct.pack(">hhi", 10 * i, 0, 0))
            if with_motors:
                self._send(0x261 + i, struct.pack(">HhbBH", 240, 30, 30, 0x40 * self.motors[i], 0))

    def _send(self, identifier: int, data: bytes) -> None:
        if identifier in self.omitted:
            return
        identifier += self.shift if 0x2A1 <= identifier <= 0x2A8 else 0
        self.bus.send(can.Message(arbitration_id=identifier, data=data, is_extended_id=False))
