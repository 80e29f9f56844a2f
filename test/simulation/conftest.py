"""The real piper_sdk without its threads, and cells to talk to."""

import contextlib
import itertools
import subprocess
import sys
import time
from pathlib import Path

import can
import numpy as np
import pytest
from piper_sdk import C_PiperInterface_V2, LogLevel

from tristage_ros.simulation.cell import Cell, CellConfig
from tristage_ros.simulation.frames import Frame

CAMERAS = str(Path(__file__).resolve().parents[2] / "config" / "cameras.yaml")
PATIENCE = 10.0  # s, only ever used up by a failing test
_numbers = itertools.count()


class Sdk:
    """Drive piper_sdk from the test's own thread: `until` reads the bus, nothing else does."""

    def __init__(self, interface: str, channel: str) -> None:
        self.api = C_PiperInterface_V2(f"test {next(_numbers)}", False, False, logger_level=LogLevel.SILENT)
        self.api.CreateCanBus(channel, interface)
        self.bus = self.api.GetCanBus()
        self.bus.send_bus.shutdown()
        self.bus.send_bus = self.bus.recv_bus
        self.api.ConnectPort(can_init=False, piper_init=True, start_thread=False)

    def close(self) -> None:
        self.api.DisconnectPort()

    def until(self, condition, each_time=lambda: None) -> None:
        """Read the bus until the condition holds; repeat a command meanwhile."""
        end, again = time.monotonic() + PATIENCE, 0.0
        while not condition():
            now = time.monotonic()
            assert now < end, "the condition never held"
            if now > again:
                each_time()
                again = now + 0.02
            self.bus.ReadCanMessage()

    def read_for(self, ticks: int) -> None:
        """Read the feedback of that many ticks, 5 ms apart; the gripper's frame comes after the joints'."""
        for _ in range(ticks):
            stamp = self.api.GetArmGripperMsgs().time_stamp
            self.until(lambda stamp=stamp: self.api.GetArmGripperMsgs().time_stamp != stamp)

    def joints(self) -> np.ndarray:
        state = self.api.GetArmJointMsgs().joint_state
        return np.radians([getattr(state, f"joint_{k}") / 1000 for k in range(1, 7)])

    def status(self):
        return self.api.GetArmStatus().arm_status

    def enabled(self) -> list[bool]:
        return self.api.GetArmEnableStatus()

    def enable(self) -> None:
        self.until(lambda: all(self.enabled()), lambda: self.api.EnableArm(7))

    def command(self, joints) -> None:
        self.api.MotionCtrl_2(1, 1, 100, 0)
        self.api.JointCtrl(*(round(v) for v in np.degrees(joints) * 1000))

    def move(self, joints) -> None:
        self.until(lambda: np.abs(self.joints() - joints).max() < 5e-3, lambda: self.command(joints))


def _sent_by_sdk(call) -> list[Frame]:
    channel = f"vectors {next(_numbers)}"
    with can.Bus(interface="virtual", channel=channel) as peer:
        sdk = Sdk("virtual", channel)
        while peer.recv(0) is not None:
            pass
        call(sdk.api)
        frames = []
        while (message := peer.recv(0)) is not None:
            frames.append(Frame(message.arbitration_id, bytes(message.data)))
        sdk.close()
    return frames


def _read_by_sdk(frames):
    channel = f"vectors {next(_numbers)}"
    sdk = Sdk("virtual", channel)
    for can_id, data in frames:
        sdk.api.ParseCANFrame(can.Message(arbitration_id=can_id, data=data, is_extended_id=False, timestamp=1.0))
    sdk.close()
    return sdk.api


@pytest.fixture(scope="session")
def sent_by_sdk():
    """Return the frames that the SDK puts on the bus, by `sent_by_sdk(lambda arm: arm.EnableArm(7))`."""
    return _sent_by_sdk


@pytest.fixture(scope="session")
def read_by_sdk():
    """Return the SDK's interface after it has read frames, by `read_by_sdk(frames)`."""
    return _read_by_sdk


@pytest.fixture
def connect():
    """Connect the SDK to a bus, by `connect(interface, channel)`, and wait for feedback."""
    with contextlib.ExitStack() as connections:

        def connect(interface: str, channel: str) -> Sdk:
            sdk = Sdk(interface, channel)
            connections.callback(sdk.close)
            sdk.read_for(2)
            return sdk

        yield connect


@pytest.fixture(scope="session")
def cameras_file():
    return CAMERAS


@pytest.fixture
def cell():
    """Run a cell in this process, on a virtual bus."""
    cell = Cell(CellConfig(CAMERAS, can_interface="virtual", can_channel=f"cell {next(_numbers)}"))
    cell.start()
    yield cell
    cell.close()


@pytest.fixture
def sdk(cell, connect):
    return connect("virtual", cell.can_channel)


SERVE = """
import sys, threading
from tristage_ros.simulation.cell import Cell, CellConfig
cell = Cell(CellConfig(sys.argv[1], can_channel=f"127.0.0.1:{sys.argv[2]}"))
cell.start()
print(cell.can_channel, flush=True)
sys.stdin.readline()
cell.close()
cell.close()
print(threading.active_count(), flush=True)
"""


class CellProcess:
    """Run a cell in a process of its own; `leave` tells how many threads it had left after closing."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, "-c", SERVE, CAMERAS, str(port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.channel = self.process.stdout.readline().strip()

    def leave(self) -> int:
        out, _ = self.process.communicate("\n", timeout=PATIENCE)
        return int(out)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def cell_process():
    """Run a cell in another process, by `cell_process(port)`."""
    processes = []

    def start(port: int = 0) -> CellProcess:
        processes.append(CellProcess(port))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
