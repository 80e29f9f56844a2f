"""What stands on the table: things to pick up, things to close, and clutter; each says where it may stand."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True)
class Piece:
    """Describe a body of the scene; one without a free joint keeps its place during an episode."""

    name: str  # of the body, and of its free joint
    xml: str  # the body as MJCF
    clearance: float  # m, radius around its origin that other pieces keep free
    height: float  # m, of its origin above the table
    x: Range  # m, base frame
    y: Range  # m, base frame
    yaw: Range = (-math.pi / 2, math.pi / 2)  # rad
    half_turn: bool = False  # yaw may be half a turn more
    mirrored: bool = False  # by chance it stands on the other side, its hinge changing sides, too
    hinge: str = ""  # its lid's or door's joint
    open_by: Range = (0.0, 0.0)  # rad, of that joint at first
    optional: bool = False  # left out where there is no room for it
    inside: str = ""  # name of an earlier piece at whose place it stands, whatever x and y say
    lift: Range | None = None  # m, by which it stands higher, and with it what is inside it


# What can be picked up and what it belongs on or in; cup and block only stand around.

_CUP = """
 <body name="cup"><freejoint name="cup"/>
  <geom class="object" type="cylinder" fromto="0 0 0 0 0 0.085" size="0.035" mass="0.15" rgba="0.75 0.16 0.14 1"/>
  <geom class="visual" type="cylinder" fromto="0 0 0.084 0 0 0.0855" size="0.031" rgba="0.25 0.05 0.05 1"/>
 </body>"""
_BLOCK = """
 <body name="block"><freejoint name="block"/>
  <geom class="object" type="box" size="0.024 0.024 0.0175" mass="0.05" rgba="0.22 0.55 0.28 1"/>
 </body>"""
_WORKSPACE = ((0.27, 0.42), (-0.18, 0.18))  # m, x and y where the gripper comes down easily


_BEND, _HALF_ANGLE = 0.075, 0.72  # m and rad: the banana is an arc of that radius and twice that angle
BANANA_MIDDLE = (0.0, _BEND * (np.cos(_HALF_ANGLE) - 1) / 2, 0.0)  # m, of its flesh, in its own frame


def _banana(segments: int = 6, curvature: float = _BEND, half_angle: float = _HALF_ANGLE) -> str:
    """Return capsules along an arc of radius `curvature` (m) and twice `half_angle` (rad), thinner to the ends."""
    angles = np.linspace(-half_angle, half_angle, segments + 1)
    x = curvature * np.sin(angles)
    y = curvature * (1 + np.cos(half_angle)) / 2 - curvature * np.cos(angles)
    middle = (segments - 1) / 2
    radius = 0.0175 - 0.0045 * ((np.arange(segments) - middle) / middle) ** 2
    parts = "".join(
        f'<geom class="object" type="capsule" fromto="{_segment(x, y, 0, k)}" size="{radius[k]:.4f}" mass="0.02"'
        ' rgba="0.95 0.82 0.16 1"/>'
        for k in range(segments)
    )
    stem = f"{x[-1]:.4f} {y[-1]:.4f} 0 {x[-1] + 0.014:.4f} {y[-1] + 0.014:.4f} 0"
    return f"""
 <body name="banana"><freejoint name="banana"/>{parts}
  <geom class="visual" type="capsule" fromto="{stem}" size="0.006" rgba="0.55 0.47 0.15 1"/>
  <geom class="visual" type="sphere" pos="{x[0] - 0.009:.4f} {y[0] + 0.006:.4f} 0" size="0.006" rgba="0.3 0.22 0.12 1"/>
 </body>"""


def _plate(radius: float = 0.085, segments: int = 18) -> str:
    """Return a flat disc of `radius` (m) with a rim of capsules."""
    angles = np.linspace(0, 2 * np.pi, segments + 1)
    x, y = radius * np.cos(angles), radius * np.sin(angles)
    rim = "".join(
        f'<geom class="fixed" type="capsule" fromto="{_segment(x, y, 0.011, k)}" size="0.005" rgba="0.1 0.26 0.78 1"/>'
        for k in range(segments)
    )
    disc = f'<geom class="fixed" type="cylinder" size="{radius} 0.004" pos="0 0 0.004" rgba="0.14 0.34 0.88 1"/>'
    return f'<body name="plate">{disc}{rim}</body>'


def _segment(x: np.ndarray, y: np.ndarray, z: float, k: int) -> str:
    return f"{x[k]:.4f} {y[k]:.4f} {z} {x[k + 1]:.4f} {y[k + 1]:.4f} {z}"


PLATE = Piece("plate", _plate(), 0.095, 0.0, *_WORKSPACE)
BANANA = Piece("banana", _banana(), 0.075, 0.018, *_WORKSPACE)
CUP = Piece("cup", _CUP, 0.050, 0.0, (0.10, 0.42), (0.24, 0.36), optional=True)
BLOCK = Piece("block", _BLOCK, 0.040, 0.0175, (0.10, 0.42), (-0.36, -0.26), optional=True)
CLUTTER = (CUP, BLOCK)  # stands aside

RIM = 0.070  # m, height of the umbrella stand
_STAND, _METAL = 'rgba="0.30 0.32 0.36 1"', 'rgba="0.15 0.15 0.16 1"'
_CLOTH, _WOOD = 'rgba="0.55 0.12 0.50 1"', 'rgba="0.45 0.27 0.12 1"'
_STAND_XML = f"""
 <body name="stand">
  <geom class="fixed" type="cylinder" fromto="0 0 0 0 0 0.006" size="0.050" {_STAND}/>
  <geom class="fixed" type="box" pos="-0.0275 0 0.035" size="0.0025 0.030 0.035" {_STAND}/>
  <geom class="fixed" type="box" pos="0.0275 0 0.035" size="0.0025 0.030 0.035" {_STAND}/>
  <geom class="fixed" type="box" pos="0 -0.0275 0.035" size="0.030 0.0025 0.035" {_STAND}/>
  <geom class="fixed" type="box" pos="0 0.0275 0.035" size="0.030 0.0025 0.035" {_STAND}/>
 </body>"""
_UMBRELLA_XML = f"""
 <body name="umbrella"><freejoint name="umbrella"/>
  <geom class="object" type="capsule" fromto="0 0 0.006 0 0 0.150" size="0.005" mass="0.02" {_METAL}/>
  <geom class="object" type="capsule" fromto="0 0 0.030 0 0 0.080" size="0.015" mass="0.02" {_CLOTH}/>
  <geom class="object" type="capsule" fromto="0 0 0.075 0 0 0.120" size="0.018" mass="0.02" {_CLOTH}/>
  <geom class="object" type="cylinder" fromto="0 0 0.145 0 0 0.195" size="0.009" mass="0.02" {_WOOD}/>
  <geom class="visual" type="sphere" pos="0 0 0.197" size="0.011" {_WOOD}/>
 </body>"""
STAND = Piece("stand", _STAND_XML, 0.085, 0.0, (0.27, 0.42), (-0.18, 0.18))
UMBRELLA = Piece("umbrella", _UMBRELLA_XML, 0.0, 0.008, (0.0, 0.0), (0.0, 0.0), inside="stand")
# Beside the banana it stands aside, on either hand: nothing is carried over it.
STAND_LEFT = replace(STAND, x=(0.26, 0.38), y=(0.21, 0.26))
STAND_RIGHT = replace(STAND, x=(0.26, 0.38), y=(-0.26, -0.21))
BANANA_AND_UMBRELLA = tuple((PLATE, BANANA, stand, UMBRELLA) for stand in (STAND_LEFT, STAND_RIGHT))


# What can be closed: cardboard box, laptop, small fridge. They stand fast; lids and door turn on hinges.

WIDEST = math.radians(115.0)  # of a lid; 0 is closed


@dataclass(frozen=True)
class Lid:
    """Describe a lid in the frame of its body, whose x axis points from the hinge to the opposite side."""

    hinge: float  # m, x of the hinge
    height: float  # m, z of the hinge
    length: float  # m, from the hinge to the lid's edge
    thickness: float  # m, of the lid


BOX_LID = Lid(hinge=-0.060, height=0.070, length=0.120, thickness=0.006)
LAPTOP_LID = Lid(hinge=-0.070, height=0.016, length=0.140, thickness=0.008)
FRIDGE_HINGE = np.array([-0.080, -0.070])  # m, in the fridge's frame, whose front is at -y

_WALL, _BOTTOM, _COVER = 'rgba="0.72 0.50 0.28 1"', 'rgba="0.50 0.33 0.18 1"', 'rgba="0.80 0.58 0.34 1"'
_BOX = f"""
 <body name="box">
  <geom class="fixed" type="box" pos="0 0 0.003" size="0.060 0.075 0.003" {_BOTTOM}/>
  <geom class="fixed" type="box" pos="-0.0575 0 0.035" size="0.0025 0.075 0.035" {_WALL}/>
  <geom class="fixed" type="box" pos="0.0575 0 0.035" size="0.0025 0.075 0.035" {_WALL}/>
  <geom class="fixed" type="box" pos="0 -0.0725 0.035" size="0.060 0.0025 0.035" {_WALL}/>
  <geom class="fixed" type="box" pos="0 0.0725 0.035" size="0.060 0.0025 0.035" {_WALL}/>
  <body name="box_lid" pos="{BOX_LID.hinge} 0 {BOX_LID.height}">
   <joint name="box_lid" class="hinge" axis="0 -1 0" range="0 {WIDEST}" damping="0.01" frictionloss="0.025"/>
   <geom class="fixed" type="box" pos="0.060 0 0.003" size="0.060 0.075 0.003" mass="0.06" {_COVER}/>
   <geom class="visual" type="box" pos="0.060 0 0.0063" size="0.050 0.010 0.0004" rgba="0.9 0.85 0.7 1"/>
  </body>
 </body>"""

_CASE, _KEYS, _GLASS = 'rgba="0.62 0.64 0.67 1"', 'rgba="0.12 0.12 0.14 1"', 'rgba="0.16 0.36 0.52 1"'
_LAPTOP = f"""
 <body name="laptop">
  <geom class="fixed" type="box" pos="0 0 0.006" size="0.072 0.100 0.006" {_CASE}/>
  <geom class="visual" type="box" pos="-0.014 0 0.0121" size="0.034 0.088 0.0005" {_KEYS}/>
  <geom class="visual" type="box" pos="0.046 0 0.0121" size="0.016 0.028 0.0005" rgba="0.5 0.52 0.55 1"/>
  <body name="laptop_lid" pos="{LAPTOP_LID.hinge} 0 {LAPTOP_LID.height}">
   <joint name="laptop_lid" class="hinge" axis="0 -1 0" range="0 {WIDEST}" damping="0.02" frictionloss="0.08"/>
   <geom class="fixed" type="box" pos="0.070 0 0.004" size="0.070 0.100 0.004" mass="0.12" {_CASE}/>
   <geom class="visual" type="box" pos="0.070 0 -0.0003" size="0.062 0.092 0.0005" {_GLASS}/>
  </body>
 </body>"""

_SHELL, _SHELF = 'rgba="0.88 0.90 0.92 1"', 'rgba="0.97 0.98 0.99 1"'
_FRIDGE = f"""
 <body name="fridge">
  <geom class="fixed" type="box" pos="0 0 0.005" size="0.080 0.070 0.005" {_SHELL}/>
  <geom class="fixed" type="box" pos="0 0 0.215" size="0.080 0.070 0.005" {_SHELL}/>
  <geom class="fixed" type="box" pos="0 0.065 0.110" size="0.080 0.005 0.110" {_SHELL}/>
  <geom class="fixed" type="box" pos="-0.075 0 0.110" size="0.005 0.070 0.110" {_SHELL}/>
  <geom class="fixed" type="box" pos="0.075 0 0.110" size="0.005 0.070 0.110" {_SHELL}/>
  <geom class="fixed" type="box" pos="0 0.005 0.110" size="0.070 0.055 0.003" {_SHELF}/>
  <geom class="visual" type="cylinder" fromto="-0.03 0 0.113 -0.03 0 0.163" size="0.016" rgba="0.85 0.2 0.2 1"/>
  <geom class="visual" type="box" pos="0.025 0.010 0.030" size="0.025 0.025 0.020" rgba="0.95 0.6 0.15 1"/>
  <body name="fridge_door" pos="0 {FRIDGE_HINGE[1]} 0.110">
   <joint name="fridge_door" class="hinge" pos="{FRIDGE_HINGE[0]} 0 0" axis="0 0 -1" range="0 1.75" damping="0.03"
    frictionloss="0.05"/>
   <geom class="fixed" type="box" pos="0 -0.006 0" size="0.080 0.006 0.110" mass="0.3" {_SHELL}/>
   <geom class="visual" type="box" pos="0 0.0003 0" size="0.070 0.0005 0.100" rgba="0.70 0.80 0.86 1"/>
   <geom class="visual" type="capsule" fromto="0.065 -0.018 -0.02 0.065 -0.018 0.06" size="0.005" rgba="0.3 0.3 0.3 1"/>
  </body>
 </body>"""

_QUARTER = math.pi / 2
BOX = Piece(
    "box", _BOX, 0.20, 0.0, (0.28, 0.40), (-0.09, 0.09), (_QUARTER - 0.6, _QUARTER + 0.6), half_turn=True,
    hinge="box_lid", open_by=(math.radians(95.0), math.radians(112.0)),
)  # fmt: skip
LAPTOP = Piece(
    "laptop", _LAPTOP, 0.20, 0.0, (0.37, 0.44), (-0.16, 0.16), (-0.5, 0.5),
    hinge="laptop_lid", open_by=(math.radians(85.0), math.radians(112.0)),
)  # fmt: skip
FRIDGE = Piece(
    "fridge", _FRIDGE, 0.23, 0.0, (0.34, 0.43), (0.20, 0.28), (-0.20, 0.40), mirrored=True,
    hinge="fridge_door", open_by=(math.radians(50.0), math.radians(90.0)),
)  # fmt: skip
# Beside each other they need less room than clutter has to leave them, because both leave the middle free;
# the box opens away from the fridge.
BOX_ASIDE = replace(
    BOX, clearance=0.14, y=(-0.22, -0.14), yaw=(_QUARTER - 0.4, _QUARTER + 0.4), half_turn=False
)  # opens away from the fridge
LAPTOP_ASIDE = replace(LAPTOP, clearance=0.14, y=(-0.22, -0.12), yaw=(-0.4, 0.4))
FRIDGE_ASIDE = replace(FRIDGE, x=(0.36, 0.43), y=(0.24, 0.28), yaw=(-0.15, 0.35), mirrored=False)
