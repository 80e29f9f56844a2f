"""The scene as a MuJoCo model: a Piper on a table with a banana, a blue plate, some clutter and its cameras."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.extrinsics import CameraMount
from tristage_ros.simulation.arm_model import FINGER_STROKE, actuators_xml, arm_xml, frame_attributes
from tristage_ros.simulation.objects import objects_xml

HOME = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])  # rad: raised, the gripper over the table and pointing down
TIME_STEP = 0.0025  # s, of the physics
SETTLING = 0.4  # s, in which the objects come to rest

# Body -> (radius kept free, height of its origin on the table, x range, y range), m. Clutter stays aside.
_WORKSPACE = ((0.27, 0.42), (-0.18, 0.18))
_PLACES = {
    "plate": (0.095, 0.0, *_WORKSPACE),
    "banana": (0.075, 0.018, *_WORKSPACE),
    "cup": (0.050, 0.0, (0.10, 0.42), (0.24, 0.36)),
    "block": (0.040, 0.0175, (0.10, 0.42), (-0.36, -0.26)),
}
OBJECTS = tuple(_PLACES)
_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # optical frame (y down, z forward) <-> MuJoCo camera (y up, z backward)

_HEADER = f"""
 <compiler angle="radian" autolimits="true"/>
 <option timestep="{TIME_STEP}" integrator="implicitfast" cone="elliptic" impratio="5"/>
 <statistic extent="1" center="0.3 0 0.2"/>
 <visual>
  <headlight ambient="0.38 0.38 0.38" diffuse="0.35 0.35 0.35" specular="0.1 0.1 0.1"/>
  <quality shadowsize="0" offsamples="0" numslices="12" numstacks="6" numquads="1"/>
  <map znear="0.02" zfar="8"/>
 </visual>
 <default>
  <default class="visual"><geom contype="0" conaffinity="0" mass="0"/></default>
  <default class="fixed"><geom contype="1" conaffinity="2" friction="0.9 0.01 0.001"/></default>
  <default class="object">
   <geom contype="3" conaffinity="3" condim="4" friction="1.2 0.02 0.001" solref="0.005 1"/>
  </default>
  <default class="arm"><geom contype="2" conaffinity="1" friction="0.8 0.01 0.001"/></default>
  <default class="pad">
   <geom contype="2" conaffinity="1" condim="4" friction="1.5 0.02 0.001" solref="0.005 1" solimp="0.95 0.99 0.001"/>
  </default>
  <default class="shoulder"><joint damping="6" armature="0.3" frictionloss="0.2"/></default>
  <default class="wrist"><joint damping="2" armature="0.1" frictionloss="0.1"/></default>
  <default class="finger"><joint type="slide" damping="12" armature="0.02"/></default>
 </default>
 <asset>
  <texture name="wood" type="2d" builtin="flat" rgb1="0.66 0.54 0.41" width="256" height="256"
   mark="random" markrgb="0.58 0.46 0.34" random="0.06"/>
  <material name="wood" texture="wood" texrepeat="2 2" specular="0.1"/>
  <material name="shell" rgba="0.86 0.87 0.89 1" specular="0.4" shininess="0.6"/>
  <material name="joint" rgba="0.13 0.13 0.15 1" specular="0.3"/>
  <material name="accent" rgba="0.10 0.42 0.80 1"/>
 </asset>"""

_ROOM = """
 <light pos="0.6 -0.6 1.6" dir="-0.2 0.35 -1" diffuse="0.55 0.55 0.52" specular="0.2 0.2 0.2" castshadow="false"/>
 <geom name="floor" class="visual" type="plane" size="3 3 0.1" pos="0 0 -0.72" rgba="0.42 0.43 0.45 1"/>
 <geom name="wall" class="visual" type="box" size="0.05 3 1.5" pos="-1.3 0 0.78" rgba="0.72 0.74 0.74 1"/>
 <geom name="table" class="fixed" type="box" size="0.45 0.55 0.02" pos="0.28 0 -0.02" material="wood"/>"""


def build_model(mounts: Iterable[CameraMount], vertical_fov: Mapping[str, float]) -> mujoco.MjModel:
    """Compile the scene with the given cameras; `vertical_fov` is in degrees, by camera name."""
    base = {"base_link": "", "flange": ""}
    for mount in mounts:
        base[mount.parent] += _camera_xml(mount, vertical_fov[mount.name])
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco model="piper_cell">{_HEADER}
        <worldbody>{_ROOM}{objects_xml()}
         <body name="base_link">{base["base_link"]}{arm_xml(base["flange"])}</body>
        </worldbody>
        <equality><joint joint1="finger_left" joint2="finger_right" polycoef="0 1 0 0 0" solref="0.004 1"/></equality>
        <actuator>{actuators_xml()}</actuator>
        </mujoco>"""
    )


def start_state(model: mujoco.MjModel, seed: int) -> mujoco.MjData:
    """Return the arm at HOME, the gripper open, and the objects at rest at random poses, the same for the same seed."""
    rng, data = np.random.default_rng(seed), mujoco.MjData(model)
    taken: list[tuple[NDArray[np.float64], float]] = []
    for name, (clearance, height, x_range, y_range) in _PLACES.items():
        place = _free_place(rng, clearance, x_range, y_range, taken)
        taken.append((place, clearance))
        _put(model, data, name, np.array([*place, height]), rng.uniform(-np.pi / 2, np.pi / 2))
    for joint, position in zip(range(6), HOME, strict=True):
        data.joint(f"joint{joint + 1}").qpos = position
    data.joint("finger_left").qpos = data.joint("finger_right").qpos = FINGER_STROKE
    data.ctrl = [*HOME, FINGER_STROKE]
    _settle(model, data)
    return data


def object_poses(data: mujoco.MjData) -> dict[str, NDArray[np.float64]]:
    """Return the pose [4, 4] of every object in the base frame, m; z points up, the banana lies along its x axis."""
    return {name: _body_pose(data, name) for name in OBJECTS}


def camera_pose(data: mujoco.MjData, name: str) -> NDArray[np.float64]:
    """Return the pose [4, 4] of a camera's optical frame in the base frame, m."""
    camera = data.camera(name)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = camera.xmat.reshape(3, 3), camera.xpos
    return pose @ _FLIP


def _body_pose(data: mujoco.MjData, name: str) -> NDArray[np.float64]:
    body = data.body(name)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = body.xmat.reshape(3, 3), body.xpos
    return pose


def _free_place(
    rng: np.random.Generator,
    clearance: float,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    taken: list[tuple[NDArray[np.float64], float]],
) -> NDArray[np.float64]:
    while True:
        place = np.array([rng.uniform(*x_range), rng.uniform(*y_range)])
        if all(np.linalg.norm(place - other) > clearance + radius for other, radius in taken):
            return place


def _put(model: mujoco.MjModel, data: mujoco.MjData, name: str, position: NDArray[np.float64], yaw: float) -> None:
    quaternion = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    if model.body(name).jntnum[0]:
        data.joint(name).qpos = [*position, *quaternion]
    else:
        model.body(name).pos, model.body(name).quat = position, quaternion


def _settle(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    arm = [model.joint(f"joint{joint + 1}").qposadr[0] for joint in range(6)]
    held = data.qpos[arm].copy()
    for _ in range(round(SETTLING / TIME_STEP)):
        mujoco.mj_step(model, data)
        data.qpos[arm] = held
    data.qvel[:] = 0.0
    data.time = 0.0
    mujoco.mj_forward(model, data)


def _camera_xml(mount: CameraMount, vertical_fov: float) -> str:
    housing = mount.pose.copy()
    housing[:3, 3] -= 0.014 * mount.pose[:3, 2]  # behind the lens, so that no camera sees its own housing
    x, y, z = housing[:3, 3]
    bracket = f'<geom class="visual" type="capsule" fromto="0 0 0 {x} {y} {z}" size="0.006" material="joint"/>'
    return (
        f"{bracket if mount.parent == 'flange' else ''}"
        f'<camera name="{mount.name}" {frame_attributes(mount.pose @ _FLIP)} fovy="{vertical_fov}"/>'
        f'<geom class="visual" type="box" {frame_attributes(housing)} size="0.042 0.012 0.012" material="joint"/>'
    )
