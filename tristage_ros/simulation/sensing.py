"""From the simulated cameras to what the policy sees, as the camera and point cloud nodes make it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import forward, robot_state
from tristage_ros.mla.values import Observation
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.cloud import RgbdFrame, Workspace, build_cloud
from tristage_ros.perception.extrinsics import CameraMount
from tristage_ros.resources import read_text, resource
from tristage_ros.simulation.disturbances import SensorNoise
from tristage_ros.simulation.renderer import Renderer
from tristage_ros.words import shown
from tristage_ros.yaml_text import parse

FRONT = "front"  # the camera whose image the policy sees


@dataclass(frozen=True)
class SensingConfig:
    """Hold the parameters of the camera and point cloud nodes."""

    width: int  # pixels
    height: int  # pixels
    cameras: tuple[str, ...]  # that the cloud is merged from
    points: int  # of the cloud
    stride: int  # pixels
    workspace: Workspace

    @classmethod
    def of_the_cell(cls) -> SensingConfig:
        """Return what config/piper_pick.yaml gives to those nodes."""
        nodes = parse(read_text(resource("config", "piper_pick.yaml")))
        images, cloud = (nodes[name]["ros__parameters"] for name in ("simulation", "point_cloud"))
        box = Workspace(tuple(cloud["workspace_min"]), tuple(cloud["workspace_max"]))
        return cls(images["width"], images["height"], tuple(cloud["cameras"]), cloud["points"], cloud["stride"], box)


def vertical_fov(path: str | Path, names: tuple[str, ...]) -> dict[str, float]:
    """Read the simulated cameras' vertical field of view, degrees, by camera name.

    Raises:
        ValueError: one is missing or out of range; the message names the file and the camera.
    """
    cameras = parse(read_text(path))["cameras"]
    fov = {}
    for name in names:
        simulation = cameras[name].get("simulation")
        value = simulation.get("vertical_fov") if isinstance(simulation, dict) else None
        if not isinstance(value, int | float) or not 1 <= value <= 170:
            raise ValueError(
                f"{path}: camera {name}: simulation.vertical_fov is {shown(value)}; it must be 1 to 170 degrees"
            )
        fov[name] = float(value)
    return fov


def pinhole(name: str, vertical_fov: float, width: int, height: int) -> CameraModel:
    """Return the intrinsics of a simulated camera with square pixels; `vertical_fov` in degrees."""
    focal = height / 2 / math.tan(math.radians(vertical_fov) / 2)
    centre = (width - 1) / 2, (height - 1) / 2
    return CameraModel(width, height, focal, focal, *centre, frame_id=f"{name}_color_optical_frame")


class Sensing:
    """Make observations of a scene; cameras are where their calibration says, wherever they really are."""

    def __init__(
        self,
        renderer: Renderer,
        mounts: dict[str, CameraMount],
        vertical_fov: dict[str, float],
        config: SensingConfig,
        noise: SensorNoise | None = None,
    ) -> None:
        """Look through `renderer`, which renders images of the configured size; `noise` spoils them."""
        self._renderer, self._mounts, self._config = renderer, mounts, config
        self._noise = noise
        self._models = {
            name: pinhole(name, vertical_fov[name], config.width, config.height) for name in {FRONT, *config.cameras}
        }

    def observe(self, data: mujoco.MjData, joints: NDArray[np.float64], opening: float, stamp: float) -> Observation:
        """Return what is seen of `data`, whose kinematics are up to date, with joints [6] rad and the opening, m."""
        frames = self.frames(data, joints, stamp)
        front = frames[FRONT]
        cloud = build_cloud(
            [frames[name] for name in self._config.cameras],
            self._config.workspace,
            count=self._config.points,
            stride=self._config.stride,
        )
        state = robot_state(np.array([*joints, opening]))
        return Observation(front.color, front.camera, cloud.points, state, front.depth, stamp)

    def frames(self, data: mujoco.MjData, joints: NDArray[np.float64], stamp: float) -> dict[str, RgbdFrame]:
        """Return what every camera measures of `data`, by name; one on the flange is placed by `joints`, [6] rad."""
        names = dict.fromkeys((FRONT, *self._config.cameras))
        return {name: self._frame(data, name, joints, stamp) for name in names}

    def _frame(self, data: mujoco.MjData, name: str, joints: NDArray[np.float64], stamp: float) -> RgbdFrame:
        color, millimetres = self._renderer.render(data, name)
        if self._noise is not None:
            color, millimetres = self._noise.color(color), self._noise.depth(millimetres)
        depth = millimetres * np.float32(1e-3)
        depth[millimetres == 0] = np.nan
        mount, model = self._mounts[name], self._models[name]
        pose = mount.pose if mount.parent == "base_link" else forward(joints) @ mount.pose
        return RgbdFrame(color, depth, model.at(pose), stamp)
