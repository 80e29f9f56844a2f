"""What can be closed: a cardboard box, a laptop and a small fridge. They stand fast; lids and door turn on hinges."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tristage_ros.simulation.piece import Piece

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
