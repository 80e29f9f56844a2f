"""What can spoil the view of the scene: the noise of a real depth camera, and a person's hand over the table."""

from __future__ import annotations

import math

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

# What a depth camera of the PrimeSense class does to a perfect image.

# Measured on five frames of Open3D's Redwood living room (Choi et al. 2015), 640x480.
DISPARITY_STEP = 0.0035  # 1/m: the camera measures inverse depth in such steps, 3.5 mm at 1 m
DEPTH_NOISE = 0.0015  # 1/m: standard deviation over squared depth, beyond the steps
PATCH = 7  # pixels over which that noise is alike
HOLES = 0.13  # share of pixels without a depth
HOLE = 21  # pixels across a hole, about
COLOR_NOISE = 0.5  # standard deviation, of 255


class SensorNoise:
    """Spoil images; the same seed spoils the same sequence in the same way."""

    def __init__(self, seed: int) -> None:
        """Begin a sequence."""
        self._rng = np.random.default_rng((seed, 0x5E45))

    def color(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an image [H, W, 3] with noise on it."""
        noisy = image + self._rng.normal(0.0, COLOR_NOISE, image.shape)
        return noisy.round().clip(0, 255).astype(np.uint8)

    def depth(self, millimetres: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return a depth image [H, W] with noise, steps and holes (0) in it."""
        metres = millimetres * 1e-3
        metres = metres + DEPTH_NOISE * metres**2 * self._smooth(metres.shape, PATCH)
        with np.errstate(divide="ignore"):
            metres = 1.0 / ((1.0 / metres / DISPARITY_STEP).round() * DISPARITY_STEP)
        cloudy = self._smooth(metres.shape, HOLE)
        metres[(millimetres == 0) | (cloudy < np.quantile(cloudy, HOLES))] = 0.0
        depth: NDArray[np.uint16] = (metres * 1e3).round().astype(np.uint16)
        return depth

    def _smooth(self, shape: tuple[int, ...], size: int) -> NDArray[np.float64]:
        """Return normal noise that is alike over about `size` pixels, standard deviation 1."""
        noise = cv2.GaussianBlur(self._rng.normal(size=shape), (0, 0), size / 3)
        return np.asarray(noise / noise.std())


# A person's hand that comes in over the table while the arm is at work; nothing touches it.

_HAND = "hand"
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
HAND_XML = f"""
 <body name="{_HAND}" mocap="true" pos="{_AWAY[0]} {_AWAY[1]} {_AWAY[2]}">
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
        self._data, self._mocap = data, int(model.body(_HAND).mocapid[0])
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


def hand_geoms(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Tell which geoms, and in the last place nothing, are the hand."""
    mine = model.geom_bodyid == model.body(_HAND).id
    return np.append(mine, False)
