"""What a depth camera of the PrimeSense class does to a perfect image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

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
