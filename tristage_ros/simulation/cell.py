"""The whole cell behind one facade: physics, firmware on a CAN bus, cameras."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import can
import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.clock import is_emulated
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.simulation.arm import Plant
from tristage_ros.simulation.controller import SOFTWARE, Controller
from tristage_ros.simulation.firmware import Firmware
from tristage_ros.simulation.renderer import Renderer
from tristage_ros.simulation.scene import build_model, camera_pose, object_poses
from tristage_ros.simulation.sensing import pinhole, vertical_fov
from tristage_ros.simulation.served_bus import ServedBus
from tristage_ros.simulation.setting import PLAIN, Setting, Variation, pieces_for
from tristage_ros.simulation.tasks import task_called
from tristage_ros.simulation.tasks.task import World

Answer = TypeVar("Answer")
SERVED = "remote"  # the interface whose bus the cell serves itself


@dataclass(frozen=True)
class CellConfig:
    """Choose the scene, the cameras and the CAN bus of a cell."""

    cameras_file: str  # extrinsics, and the vertical field of view in degrees under `simulation: {vertical_fov}`
    seed: int = 0  # of the object poses
    width: int = 640  # pixels
    height: int = 480  # pixels
    can_interface: str = SERVED  # "remote": serve the bus to other processes; else any interface of python-can
    can_channel: str = "127.0.0.1:54701"  # of "remote": the address to serve on, port 0 for a free one
    firmware: str = SOFTWARE  # version that the arm tells and behaves like; "": it tells none
    task: str = "banana"  # whose things stand on the table
    variation: Variation = PLAIN  # what else the seed decides
    table: float = 0.0  # m, height of the table in the base frame

    def __post_init__(self) -> None:
        """Check the numbers."""
        task_called(self.task)
        for name in ("width", "height"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must not be negative")


@dataclass(frozen=True)
class Capture:
    """Hold what one camera saw."""

    color: NDArray[np.uint8]  # [H, W, 3] RGB
    depth: NDArray[np.uint16]  # [H, W] mm along the optical axis, aligned with `color`; 0: not measured
    camera: CameraModel  # intrinsics, and the true pose at `stamp`
    stamp: float  # s, Unix time


class Cell:
    """Simulate a Piper cell in real time, with its firmware on a CAN bus.

    `firmware` and its `wire` offer fault injection.
    """

    def __init__(self, config: CellConfig, bus: can.BusABC | None = None) -> None:
        """Build the scene and open the bus, or take one that is open; nothing moves before start().

        Raises:
            FileNotFoundError, ValueError: the cameras file is missing or wrong, or a setting is.
            OSError: the port of the CAN bus is taken.
        """
        self.config = config
        mounts = load_extrinsics(config.cameras_file)
        self._fov = vertical_fov(config.cameras_file, tuple(mounts))
        self.task = task_called(config.task)
        self._pieces = pieces_for(self.task)
        model = build_model(mounts.values(), self._fov, self._pieces, table=config.table)
        data = Setting(model, self._pieces).start(self.task, config.seed, config.variation)
        self._plant = Plant(model, data)
        self._plant.react = partial(self.task.react, model, data)
        self._view = mujoco.MjData(model)  # the rendered copy of the physics' state
        self._renderer: Renderer | None = None
        self._rendering = threading.Lock()
        self._closed = False
        bus = bus or open_bus(config.can_interface, config.can_channel)
        self.can_description = f"CAN bus {config.can_interface} {bus.channel_info}"
        self.can_channel = bus.channel_info if config.can_interface == SERVED else config.can_channel
        self.firmware = Firmware(Controller(self._plant, config.firmware), bus)

    @property
    def plant(self) -> Plant:
        """Return the mechanics, whose payload and obstacles a test may change."""
        return self._plant

    @property
    def cameras(self) -> tuple[str, ...]:
        """Return the names of the cameras."""
        return tuple(self._fov)

    def start(self) -> None:
        """Let time run: physics and firmware in a thread of their own."""
        self.firmware.start()

    def dilate(self, dilation: float) -> None:
        """Let the cell's time pass so many times more slowly than the clock's from now on; who drives the arm hears it.

        Raises:
            ValueError: the bus leaves this computer, or it is no such number.
        """
        if not is_emulated(self.config.can_interface, self.can_channel):
            raise ValueError(f"on {self.can_description} time cannot be slowed down: a real arm may be there")
        self.firmware.dilate(dilation)

    def capture(self) -> dict[str, Capture]:
        """Render every camera at the present state, by camera name.

        The first call opens the rendering context. Physics goes on meanwhile.

        Raises:
            RenderingError: this machine cannot render; the message names the packages to install.
            RuntimeError: the cell is closed.
        """
        with self._rendering:
            if self._closed:
                raise RuntimeError("the cell is closed")
            if self._renderer is None:
                self._renderer = Renderer(self._plant.model, self.config.width, self.config.height)
            stamp = self._look()
            return {name: self._capture(self._renderer, name, stamp) for name in self.cameras}

    def truth(self) -> dict[str, NDArray[np.float64]]:
        """Return the true pose [4, 4] of every object in the base frame, m; what is not on the table lies below it."""
        with self.firmware.lock:
            return object_poses(self._plant.data, [piece.name for piece in self._pieces])

    def success(self) -> bool:
        """Tell whether the task is done, by the true state."""
        return self.ask(self.task.success)

    def ask(self, question: Callable[[World], Answer]) -> Answer:
        """Return the answer to a question about the true state, while time stands still."""
        with self.firmware.lock:
            return question(World(self._plant.model, self._plant.data))

    def close(self) -> None:
        """End physics, firmware, bus and rendering; a second call does nothing."""
        self.firmware.close()
        with self._rendering:
            self._closed = True
            if self._renderer is not None:
                self._renderer.close()
                self._renderer = None

    def _look(self) -> float:
        """Copy the physics' state for rendering and return its time."""
        view, data = self._view, self._plant.data
        with self.firmware.lock:
            view.qpos[:] = data.qpos
            stamp = self.firmware.stamp
        mujoco.mj_kinematics(self._plant.model, view)
        mujoco.mj_camlight(self._plant.model, view)
        return stamp

    def _capture(self, renderer: Renderer, name: str, stamp: float) -> Capture:
        color, depth = renderer.render(self._view, name)
        return Capture(color, depth, self._camera(name), stamp)

    def _camera(self, name: str) -> CameraModel:
        model = pinhole(name, self._fov[name], self.config.width, self.config.height)
        return model.at(camera_pose(self._view, name))


def open_bus(interface: str, channel: str) -> can.BusABC:
    """Open a CAN bus, or serve the one that is called remote.

    Raises:
        ValueError, OSError: the channel is none, or is taken.
    """
    return ServedBus(channel) if interface == SERVED else can.Bus(interface=interface, channel=channel)
