"""What can be picked up, and what it belongs on or in; a red cup and a green block that only stand around."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tristage_ros.simulation.piece import Piece

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
