"""An arm under control with an emulated one behind it, in this process: what tests and measurements drive."""

from __future__ import annotations

import itertools
import math
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import can
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.controller import ArmController, ControllerConfig
from tristage_ros.devices.arm.kinematics import forward, matrix_to_quaternion, tool_pose
from tristage_ros.devices.arm.leader import PiperLeader
from tristage_ros.devices.arm.piper import PiperDriver
from tristage_ros.devices.arm.values import ActionChunk, ArmState, CommandSource, LeadState
from tristage_ros.resources import resource
from tristage_ros.simulation.cell import Cell, CellConfig
from tristage_ros.simulation.controller import SOFTWARE
from tristage_ros.simulation.leader import EmulatedLeader

Floats = NDArray[np.float64]

_channels = itertools.count()


class Tap(threading.Thread):
    """Note every command frame on a bus, with its time, and when feedback came.

    `look_for` a frame that shows something: it is not noted as a command of ours.
    """

    def __init__(self, channel: str, interface: str = "virtual") -> None:
        """Begin to listen."""
        super().__init__(name="tap", daemon=True)
        self.frames: list[tuple[float, int, bytes]] = []  # s (monotonic clock), id, data
        self.latest: dict[int, float] = {}  # s (monotonic clock), of the newest frame, by id
        self.shown = math.nan  # s (monotonic clock), of the first frame that shows what is looked for
        self._shows: Callable[[int, bytes], bool] = lambda identifier, data: False
        self._bus = can.Bus(interface=interface, channel=channel)
        self._offset = time.monotonic() - time.time() if interface == "virtual" else math.nan
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        """Listen until `close`."""
        while not self._ended.is_set():
            message = self._bus.recv(0.1)
            if message is None:
                continue
            identifier, data = message.arbitration_id, bytes(message.data)
            # A virtual bus stamps a frame when it is sent, however late this thread comes to hear it.
            stamp = time.monotonic() if math.isnan(self._offset) else message.timestamp + self._offset
            self.latest[identifier] = stamp
            if self._shows(identifier, data):
                self.shown = stamp if math.isnan(self.shown) else self.shown
            elif 0x150 <= identifier < 0x160 or identifier == 0x471:
                self.frames.append((stamp, identifier, data))

    def look_for(self, shows: Callable[[int, bytes], bool]) -> None:
        """Note in `shown` when the first frame comes of whose id and data `shows` is true."""
        self.shown, self._shows = math.nan, shows

    def close(self) -> None:
        """End listening."""
        self._ended.set()
        self.join()
        self._bus.shutdown()

    def setpoints(self) -> NDArray[np.float64]:
        """Return the joint targets that were sent: [n, 7] s (monotonic clock), rad."""
        rows, joints = [], {}
        for stamp, identifier, data in list(self.frames):
            if 0x155 <= identifier <= 0x157:
                joints[identifier] = np.radians(np.array(struct.unpack(">ii", data)) * 1e-3)
                if identifier == 0x157 and len(joints) == 3:
                    rows.append([stamp, *joints[0x155], *joints[0x156], *joints[0x157]])
        return np.array(rows).reshape(-1, 7)


def turned(joints: Floats, joint: int, angle: float, dh_is_offset: bool = True) -> tuple[Floats, Floats]:
    """Return the action that turns one joint of an arm at `joints` [6] rad, 0..5, by `angle` rad.

    Returns:
        The tool's translation [1, 3] m and its orientation there, [1, 4] quaternion x, y, z, w.
    """
    here = tool_pose(forward(joints, dh_is_offset))
    there = tool_pose(forward(joints + angle * np.eye(6)[joint], dh_is_offset))
    return (there[:3, 3] - here[:3, 3])[None], matrix_to_quaternion(there[:3, :3])[None]


class Rig:
    """Hold an emulated arm, the driver that talks to it and the controller that moves it."""

    def __init__(
        self,
        config: ControllerConfig | None = None,
        firmware: str = SOFTWARE,
        tapped: bool = True,
        led: bool = False,
        **scene: Any,
    ) -> None:
        """Switch the arm on and connect to it; nothing is enabled.

        `led`: a hand has a second arm, where the first is, which may lead it. `scene`: task, seed and variation, of
        `CellConfig`.

        Raises:
            PiperError: the arm does not answer as it should.
        """
        self.config = config or ControllerConfig()
        channel = f"rig-{next(_channels)}"
        cameras = str(resource("config", "cameras.yaml"))
        bus = {"can_interface": "virtual", "can_channel": channel}
        self.cell = Cell(CellConfig(cameras, firmware=firmware, **bus, **scene))
        self.cell.start()
        self.arm = self.cell.firmware
        self.tap = Tap(channel) if tapped else None
        self.channel = channel
        self.leader: EmulatedLeader | None = None
        if led:
            self.leader = EmulatedLeader("virtual", f"{channel}-leader", self.cell.plant.position)
            self.leader.start()
        try:
            self.controller = self.connect()
        except Exception:
            self._switch_off()
            raise

    @property
    def plant(self) -> Any:
        """Return the mechanics, whose surroundings may be changed."""
        return self.cell.plant

    def connect(self) -> ArmController:
        """Start a driver and a controller, as the arm node does."""
        driver = PiperDriver("virtual", self.channel)
        driver.connect()
        listener = PiperLeader("virtual", self.leader.channel) if self.leader else None
        if listener:
            listener.start()
        controller = ArmController(driver, self.config, listener)
        controller.start()
        return controller

    def enable(self) -> None:
        """Enable the arm.

        Raises:
            RuntimeError: it refuses; the message says why.
        """
        done, reason = self.controller.enable()
        if not done:
            raise RuntimeError(reason)

    def lead(self) -> None:
        """Enable the arm, and engage its leader.

        Raises:
            RuntimeError: one of them refuses; the message says why.
            TimeoutError: the leader is not heard.
        """
        self.controller.set_source(CommandSource.LEADER)
        self.enable()
        self.until(lambda state: state.lead.state is LeadState.READY)
        done, reason = self.controller.engage_leader()
        if not done:
            raise RuntimeError(reason)

    def state(self) -> ArmState:
        """Return what the arm is doing."""
        return self.controller.snapshot()

    def until(self, condition: Callable[[ArmState], bool], timeout: float = 20.0) -> float:
        """Wait for a state of the arm; return how long it took, s.

        Raises:
            TimeoutError: it did not come; the message holds the last state.
        """
        began = time.monotonic()
        while not condition(state := self.state()):
            if time.monotonic() > began + timeout:
                raise TimeoutError(f"not within {timeout} s: {state.mode.name} {state.reason}; {state.chunk_reason}")
            time.sleep(0.002)
        return time.monotonic() - began

    def chunk(self, *translations: tuple[float, float, float], **changes: Any) -> ActionChunk:
        """Return a chunk of open-gripper actions that keeps the tool's orientation, observed just now."""
        state = self.state()
        offset = self.controller.dh_is_offset
        rotation = tool_pose(forward(state.position, offset))[:3, :3]
        given = {
            "stamp": state.feedback.stamp,
            "time_step": 0.0,
            "translation": np.array(translations, dtype=float),
            "orientation": np.tile(matrix_to_quaternion(rotation), (len(translations), 1)),
            "gripper": np.ones(len(translations)),
        }
        return ActionChunk(**{**given, **changes})

    def submit(self, *translations: tuple[float, float, float], **changes: Any) -> tuple[bool, str]:
        """Give the arm a chunk; return whether it was accepted, and why not."""
        return self.controller.submit(self.chunk(*translations, **changes))

    def close(self) -> None:
        """Disconnect and switch the arm off."""
        self.controller.close()
        self._switch_off()

    def _switch_off(self) -> None:
        if self.tap:
            self.tap.close()
        if self.leader:
            self.leader.close()
        self.cell.close()

    def __enter__(self) -> Rig:
        """Return the rig."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close."""
        self.close()
