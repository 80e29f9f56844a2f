"""Noise on the moves of the expert, so that demonstrations show how mistakes are mended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tristage_ros.mla.values import Action
from tristage_ros.training.attempt import See
from tristage_ros.training.recipe import Demonstrations

YAW = 2  # among roll, pitch, yaw


class Disturbance:
    """Disturb some of the moves of some of the episodes."""

    def __init__(self, settings: Demonstrations, seed: int, lasting: int = 1) -> None:
        """Decide about one episode by its seed; a disturbance lasts for up to `lasting` control steps."""
        self._settings, self._rng = settings, np.random.default_rng([seed, 1])
        self._noisy = self._rng.random() < settings.noisy
        self._lasting, self._left = lasting, 0
        self._translation, self._yaw, self._flip, self._active = np.zeros(3), 0.0, False, False

    def __call__(self, _: See, action: Action) -> Action:
        """Return the move that is made in place of the expert's `action`."""
        if self._left == 0:
            self._draw()
        self._left -= 1
        if not self._active:
            return action
        rotation = action.rotation.copy()
        rotation[:, YAW] += self._yaw
        gripper = 1 - action.gripper if self._flip else action.gripper
        return replace(action, translation=action.translation + self._translation, rotation=rotation, gripper=gripper)

    def _draw(self) -> None:
        settings, rng = self._settings, self._rng
        self._left = int(rng.integers(1, self._lasting, endpoint=True)) if self._lasting > 1 else 1
        self._active = self._noisy and rng.random() < settings.disturbed
        if self._active:
            self._yaw = rng.normal(0, settings.yaw)
            self._flip = rng.random() < settings.flip
            self._translation = rng.normal(0, settings.translation)
