"""What a lens does: the models of sensor_msgs/CameraInfo, and the one that RealSense calls inverse Brown-Conrady.

A ray is told by x and y of its point at z = 1 in the optical frame. The lens moves that point: the image of it lies at
`focal length * distort(ray) + principal point`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tristage_ros.perception.lens_models import COUNTS, EQUIDISTANT, INVERSE
from tristage_ros.words import shown

Floats = NDArray[np.float64]

ROUNDS = 50  # of the search for a ray, at most; a lens of a depth camera takes five
CLOSE = 1e-9  # of the image of a ray: near enough
BLOCK = 16384  # rays at once: OpenCV makes derivatives as well, 240 bytes of them per ray
_ONE = np.eye(3)


@dataclass(frozen=True)
class Lens:
    """Bend rays; `Lens.of` makes one that is checked."""

    model: str  # a key of COUNTS
    coefficients: tuple[float, ...]  # k1, k2, p1, p2, k3, ... in the order of OpenCV; k1 to k4 of EQUIDISTANT

    @staticmethod
    def of(model: str, coefficients: Sequence[float]) -> Lens | None:
        """Return the lens of a distortion model, None for one that distorts nothing.

        Raises:
            ValueError: the model is not known, or the coefficients are not those of it.
        """
        numbers = tuple(float(value) for value in coefficients)
        if not any(numbers):  # NaN is not nothing
            return None
        if not np.isfinite(numbers).all():
            raise ValueError(f"the lens has the coefficients {shown(list(numbers))}: the camera is not calibrated")
        if model not in COUNTS:
            raise ValueError(f"there is no lens model {shown(model)}; known: {', '.join(COUNTS)}")
        most = max(COUNTS[model])
        kept = numbers if any(numbers[most:]) else numbers[:most]
        if len(kept) not in COUNTS[model]:
            counts = " or ".join(map(str, COUNTS[model]))
            raise ValueError(f"the lens is {model} with {len(numbers)} coefficients, which has {counts}")
        return Lens(model, kept)

    def distort(self, rays: Floats) -> Floats:
        """Return where rays [N, 2] go, [N, 2]; far outside the image they may come back into it."""
        if self.model == INVERSE:
            return self._forward(rays)
        bent: Floats
        if self.model == EQUIDISTANT:
            bent = cv2.fisheye.distortPoints(rays[:, None], _ONE, np.array(self.coefficients))
        else:
            ahead, nothing, bends = (
                np.column_stack([rays, np.ones(len(rays))]),
                np.zeros(3),
                np.array(self.coefficients),
            )
            parts = np.array_split(ahead, len(ahead) // BLOCK + 1)
            bent = np.concatenate([cv2.projectPoints(part, nothing, nothing, _ONE, bends)[0] for part in parts])
        return bent.reshape(-1, 2)

    def undistort(self, places: Floats) -> Floats:
        """Return the rays [N, 2] that go to `places` [N, 2]; what comes of a place without a ray is no ray to it."""
        if self.model == INVERSE:
            return self._backward(places)
        found: Floats
        if self.model == EQUIDISTANT:
            found = cv2.fisheye.undistortPoints(places[:, None], _ONE, np.array(self.coefficients))
        else:
            until = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, ROUNDS, CLOSE)
            found = cv2.undistortPointsIter(
                np.ascontiguousarray(places[:, None]), _ONE, np.array(self.coefficients), None, None, until
            )
        return found.reshape(-1, 2)

    # As librealsense has the inverse model since 2.43: its aligned depth lies where this says. Unlike plumb_bob, the
    # tangential part is taken of the point that the radial part has moved.

    def _forward(self, rays: Floats) -> Floats:
        k1, k2, p1, p2, k3 = (*self.coefficients, 0.0)[:5]
        square = (rays**2).sum(axis=1, keepdims=True)
        moved = rays * (1 + square * (k1 + square * (k2 + square * k3)))
        product = moved.prod(axis=1, keepdims=True)
        bent: Floats = moved + 2 * product * (p1, p2) + (square + 2 * moved**2) * (p2, p1)
        return bent

    def _backward(self, places: Floats) -> Floats:
        rays = places
        for _ in range(ROUNDS):
            missed = self._forward(rays) - places
            rays = rays - missed
            if not np.abs(missed).max(initial=0.0) > CLOSE:  # NaN: there is none
                break
        return rays
