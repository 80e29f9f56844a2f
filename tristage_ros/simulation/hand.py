"""A person's hand that comes in over the table while the arm is at work; nothing touches it."""

from __future__ import annotations

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

NAME = "hand"
ENTERS, MOVING_IN = 1.5, 0.8  # s, simulated: when it comes, and how long it takes
SWAY, PERIOD = 0.03, 5.0  # m and s: it is never quite still
CLEAR = 0.15  # m between its palm and whatever the task is about
HEIGHT = 0.07  # m
_OUTSIDE = 0.55  # m beside the middle of the table
_AWAY = (0.0, 0.0, -1.5)  # m, where no camera sees it
_SKIN = 'rgba="0.85 0.62 0.50 1"'
_FINGERS = "".join(
    f'<geom class="visual" type="capsule" fromto="{x} -0.03 0 {1.3 * x} -0.11 -0.015" size="0.009" {_SKIN}/>'
    for x in (-0.033, -0.011, 0.011, 0.033)
)
XML = f"""
 <body name="{NAME}" mocap="true" pos="{_AWAY[0]} {_AWAY[1]} {_AWAY[2]}">
  <geom class="visual" type="ellipsoid" size="0.045 0.055 0.02" {_SKIN}/>{_FINGERS}
  <geom class="visual" type="capsule" fromto="-0.04 0 0 -0.075 -0.05 -0.01" size="0.011" {_SKIN}/>
  <geom class="visual" type="capsule" fromto="0 0.06 0.005 0 0.36 0.05" size="0.034" rgba="0.25 0.33 0.48 1"/>
 </body>"""


class Hand:
    """Move the hand of a scene with the simulated time."""

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, seed: int, keep_off: list[NDArray[np.float64]]
    ) -> None:
        """Choose a spot clear of the places `keep_off` ([3] m each)."""
        self._data, self._mocap = data, int(model.body(NAME).mocapid[0])
        rng = np.random.default_rng((seed, 0x4A4D))
        spots = np.column_stack([rng.uniform(0.20, 0.50, 200), rng.uniform(0.14, 0.34, 200) * rng.choice((-1, 1), 200)])
        distance = np.min([np.linalg.norm(spots - place[:2], axis=1) for place in keep_off], axis=0)
        self._spot = spots[np.argmax(distance > CLEAR) if (distance > CLEAR).any() else np.argmax(distance)]
        self._side = math.copysign(1.0, self._spot[1])
        half = 0.0 if self._side > 0 else math.pi / 2
        data.mocap_quat[self._mocap] = [math.cos(half), 0.0, 0.0, math.sin(half)]

    def move(self, time: float) -> None:
        """Put it where it is at `time`, s."""
        if time < ENTERS:
            self._data.mocap_pos[self._mocap] = _AWAY
            return
        share = min(1.0, (time - ENTERS) / MOVING_IN + 0.3)
        sway = SWAY * math.sin(2 * math.pi * (time - ENTERS) / PERIOD)
        y = self._side * _OUTSIDE * (1 - share) + share * self._spot[1]
        self._data.mocap_pos[self._mocap] = [self._spot[0] + sway, y, HEIGHT]


def geoms(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Tell which geoms, and in the last place nothing, are the hand."""
    mine = model.geom_bodyid == model.body(NAME).id
    return np.append(mine, False)
