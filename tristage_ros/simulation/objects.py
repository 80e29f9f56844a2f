"""The objects on the table as MJCF: a banana, a blue plate, a red cup and a green block."""

from __future__ import annotations

import numpy as np

_CLUTTER = """
 <body name="cup"><freejoint name="cup"/>
  <geom class="object" type="cylinder" fromto="0 0 0 0 0 0.085" size="0.035" mass="0.15" rgba="0.75 0.16 0.14 1"/>
  <geom class="visual" type="cylinder" fromto="0 0 0.084 0 0 0.0855" size="0.031" rgba="0.25 0.05 0.05 1"/>
 </body>
 <body name="block"><freejoint name="block"/>
  <geom class="object" type="box" size="0.024 0.024 0.0175" mass="0.05" rgba="0.22 0.55 0.28 1"/>
 </body>"""


def objects_xml() -> str:
    """Return one body per object; all but the plate are free to move."""
    return _banana() + _plate() + _CLUTTER


def _banana(segments: int = 6, curvature: float = 0.075, half_angle: float = 0.72) -> str:
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
