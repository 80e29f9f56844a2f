"""The scene as a MuJoCo model: a Piper on a table, the pieces on it, and its cameras."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.extrinsics import CameraMount
from tristage_ros.simulation.arm import FINGER_STROKE, TIME_STEP, actuators_xml, arm_xml, frame_attributes
from tristage_ros.simulation.objects import BANANA, CLUTTER, PLATE, Piece

HOME = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])  # rad: raised, the gripper over the table and pointing down
SETTLING = 0.4  # s, in which the objects come to rest

PIECES = (PLATE, BANANA, *CLUTTER)  # of the first task
OBJECTS = tuple(piece.name for piece in PIECES)
_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # optical frame (y down, z forward) <-> MuJoCo camera (y up, z backward)
MEMORY = 9  # numbers that a task may keep in the state: `MjData.userdata`, zero at first
_CELLAR = -2.0  # m, height of what carries the pieces that are put away, below the floor
_TRIES = 200  # places for one piece before all are placed anew

_HEADER = f"""
 <compiler angle="radian" autolimits="true"/>
 <size nuserdata="{MEMORY}"/>
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
  <default class="hinge"><joint type="hinge" solimpfriction="0.99 0.999 0.001"/></default>
  <default class="finger">
   <joint type="slide" damping="12" armature="0.02" solreflimit="0.005 1" solimplimit="0.99 0.999 0.0005"/>
  </default>
 </default>
 <asset>
  <texture name="wood" type="2d" builtin="flat" rgb1="0.66 0.54 0.41" width="256" height="256"
   mark="random" markrgb="0.58 0.46 0.34" random="0.06"/>
  <material name="wood" texture="wood" texrepeat="2 2" specular="0.1"/>
  <texture name="stripes" type="2d" builtin="checker" rgb1="1 1 1" rgb2="0.86 0.86 0.86" width="64" height="64"/>
  <material name="stripes" texture="stripes" texrepeat="1 12" specular="0.1"/>
  <texture name="speckles" type="2d" builtin="flat" rgb1="0.9 0.9 0.9" width="128" height="128"
   mark="random" markrgb="0.6 0.6 0.6" random="0.15"/>
  <material name="speckles" texture="speckles" texrepeat="6 6" specular="0.1"/>
  <material name="plain" specular="0.2"/>
  <material name="shell" rgba="0.86 0.87 0.89 1" specular="0.4" shininess="0.6"/>
  <material name="joint" rgba="0.13 0.13 0.15 1" specular="0.3"/>
  <material name="accent" rgba="0.10 0.42 0.80 1"/>
 </asset>"""

_ROOM = """
 <light pos="0.6 -0.6 1.6" dir="-0.2 0.35 -1" diffuse="0.55 0.55 0.52" specular="0.2 0.2 0.2" castshadow="false"/>
 <geom name="floor" class="visual" type="plane" size="3 3 0.1" pos="0 0 -0.72" rgba="0.42 0.43 0.45 1"/>
 <geom name="wall" class="visual" type="box" size="0.05 3 1.5" pos="-1.3 0 0.78" rgba="0.72 0.74 0.74 1"/>"""


def build_model(
    mounts: Iterable[CameraMount],
    vertical_fov: Mapping[str, float],
    pieces: Sequence[Piece] = PIECES,
    more: str = "",
    table: float = 0.0,
) -> mujoco.MjModel:
    """Compile the scene with the given cameras and pieces, and `more` bodies as MJCF.

    `vertical_fov` is in degrees, by camera name; `table` is the height of the table's top in the base frame, m.
    """
    base = {"base_link": "", "flange": ""}
    for mount in mounts:
        base[mount.parent] += _camera_xml(mount, vertical_fov[mount.name])
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco model="piper_cell">{_HEADER}
        <worldbody>{_ROOM}{_standing(table)}{"".join(piece.xml for piece in pieces)}{more}
         <body name="base_link">{base["base_link"]}{arm_xml(base["flange"])}</body>
        </worldbody>
        <equality><joint joint1="finger_left" joint2="finger_right" polycoef="0 1 0 0 0" solref="0.004 1"/></equality>
        <actuator>{actuators_xml()}</actuator>
        </mujoco>"""
    )


def _standing(table: float) -> str:
    """Return the table, its top at that height, m, and what carries the pieces that are put away."""
    return f"""
     <geom name="table" class="fixed" type="box" size="0.45 0.55 0.02" pos="0.28 0 {table - 0.02}" material="wood"/>
     <geom name="cellar" class="fixed" type="box" size="2 2 0.02" pos="0 0 {_CELLAR - 0.02}"/>"""


def table_height(model: mujoco.MjModel) -> float:
    """Return the height of the table's top in the base frame, m."""
    table = model.geom("table")
    return float(table.pos[2] + table.size[2])


def start_state(model: mujoco.MjModel, seed: int) -> mujoco.MjData:
    """Return the arm at HOME, the gripper open, and the objects at rest at random poses, the same for the same seed."""
    data = mujoco.MjData(model)
    place(model, data, PIECES, np.random.default_rng(seed))
    stand(model, data, HOME)
    settle(model, data)
    return data


def place(model: mujoco.MjModel, data: mujoco.MjData, pieces: Sequence[Piece], rng: np.random.Generator) -> None:
    """Put every piece at a random place of its own, clear of the others; optional ones only where there is room."""
    while not _placed(model, data, pieces, rng):
        pass


def put_away(model: mujoco.MjModel, data: mujoco.MjData, pieces: Sequence[Piece]) -> None:
    """Put pieces where no camera sees them and nothing can touch them."""
    for piece in pieces:
        spot = (0.4 * (model.body(piece.name).id % 9) - 1.6, 0.0)  # each its own
        _put(model, data, piece.name, np.array([*spot, _CELLAR + piece.height]), 0.0)


def stand(model: mujoco.MjModel, data: mujoco.MjData, joints: NDArray[np.float64]) -> None:
    """Put the arm at joint positions [6] rad, its gripper open."""
    for joint, position in zip(range(6), joints, strict=True):
        data.joint(f"joint{joint + 1}").qpos = position
    data.joint("finger_left").qpos = data.joint("finger_right").qpos = FINGER_STROKE
    data.ctrl = [*joints, FINGER_STROKE]


def settle(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Let the objects come to rest while the arm stands still; time begins anew."""
    arm = [model.joint(f"joint{joint + 1}").qposadr[0] for joint in range(6)]
    held = data.qpos[arm].copy()
    for _ in range(round(SETTLING / TIME_STEP)):
        mujoco.mj_step(model, data)
        data.qpos[arm] = held
    data.qvel[:] = 0.0
    data.time = 0.0
    mujoco.mj_forward(model, data)


def object_poses(data: mujoco.MjData, names: Iterable[str] = OBJECTS) -> dict[str, NDArray[np.float64]]:
    """Return the pose [4, 4] of every named body in the base frame, m; z points up, the banana lies along its x."""
    return {name: body_pose(data, name) for name in names}


def camera_pose(data: mujoco.MjData, name: str) -> NDArray[np.float64]:
    """Return the pose [4, 4] of a camera's optical frame in the base frame, m."""
    camera = data.camera(name)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = camera.xmat.reshape(3, 3), camera.xpos
    return pose @ _FLIP


def body_pose(data: mujoco.MjData, name: str) -> NDArray[np.float64]:
    """Return the pose [4, 4] of a body in the base frame, m."""
    body = data.body(name)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = body.xmat.reshape(3, 3), body.xpos
    return pose


def _placed(model: mujoco.MjModel, data: mujoco.MjData, pieces: Sequence[Piece], rng: np.random.Generator) -> bool:
    taken: dict[str, tuple[NDArray[np.float64], float]] = {}
    lifts = {"": 0.0}  # m, by which a piece, and what is inside it, stands above the table
    for piece in pieces:
        spot = taken[piece.inside][0] if piece.inside else _free_spot(piece, taken.values(), rng)
        if spot is None and piece.optional:
            put_away(model, data, (piece,))
            continue
        if spot is None:
            return False
        yaw = rng.uniform(*piece.yaw) + (np.pi * rng.integers(2) if piece.half_turn else 0.0)
        mirrored = piece.mirrored and bool(rng.integers(2))
        if piece.hinge:
            _mirror(model, piece, mirrored)
        if mirrored:
            spot, yaw = spot * (1.0, -1.0), np.pi - yaw
        taken[piece.name] = spot, piece.clearance
        lifts[piece.name] = lifts[piece.inside] + (rng.uniform(*piece.lift) if piece.lift else 0.0)
        height = table_height(model) + lifts[piece.name] + piece.height
        _put(model, data, piece.name, np.array([*spot, height]), yaw)
        if piece.hinge:
            data.joint(piece.hinge).qpos = rng.uniform(*piece.open_by)
    return True


def _mirror(model: mujoco.MjModel, piece: Piece, mirrored: bool) -> None:
    """Make a piece the mirror image, along x, of how it is modelled, or leave it as it is modelled.

    As modelled its hinge turns about -z. What can be touched is symmetric, so that only hinge and trimmings change
    sides.
    """
    joint = model.joint(piece.hinge)
    if (joint.axis[2] > 0.0) != mirrored:
        joint.axis[:] *= -1.0
        joint.pos[0] *= -1.0
        model.geom_pos[model.geom_bodyid == joint.bodyid[0], 0] *= -1.0


def _free_spot(
    piece: Piece, taken: Iterable[tuple[NDArray[np.float64], float]], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    for _ in range(_TRIES):
        spot = np.array([rng.uniform(*piece.x), rng.uniform(*piece.y)])
        if all(np.linalg.norm(spot - other) > piece.clearance + radius for other, radius in taken):
            return spot
    return None


def _put(model: mujoco.MjModel, data: mujoco.MjData, name: str, position: NDArray[np.float64], yaw: float) -> None:
    quaternion = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    if model.body(name).jntnum[0]:
        data.joint(name).qpos = [*position, *quaternion]
    else:
        model.body(name).pos, model.body(name).quat = position, quaternion


def aim(model: mujoco.MjModel, mount: CameraMount) -> None:
    """Put a camera of the base, and its housing, where the mount says."""
    camera, housing = model.camera(mount.name), model.geom(f"{mount.name}_housing")
    for part, pose in ((camera, mount.pose @ _FLIP), (housing, _housing(mount))):
        part.pos[:] = pose[:3, 3]
        mujoco.mju_mat2Quat(part.quat, pose[:3, :3].flatten())


def _housing(mount: CameraMount) -> NDArray[np.float64]:
    """Return the pose [4, 4] of a housing in the mount's parent: behind the lens, so that no camera sees its own."""
    pose: NDArray[np.float64] = mount.pose.copy()
    pose[:3, 3] -= 0.014 * mount.pose[:3, 2]
    return pose


def _camera_xml(mount: CameraMount, vertical_fov: float) -> str:
    housing = _housing(mount)
    x, y, z = housing[:3, 3]
    bracket = f'<geom class="visual" type="capsule" fromto="0 0 0 {x} {y} {z}" size="0.006" material="joint"/>'
    return (
        f"{bracket if mount.parent == 'flange' else ''}"
        f'<camera name="{mount.name}" {frame_attributes(mount.pose @ _FLIP)} fovy="{vertical_fov}"/>'
        f'<geom name="{mount.name}_housing" class="visual" type="box" {frame_attributes(housing)} '
        'size="0.042 0.012 0.012" material="joint"/>'
    )
