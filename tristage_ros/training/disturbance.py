"""Noise on the moves of the expert, so that demonstrations show how mistakes are mended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tristage_ros.mla.values import Action, Observation
from tristage_ros.training.recipe import Demonstrations

YAW = 2  # among roll, pitch, yaw


class Disturbance:
    """Disturb some of the moves of some of the episodes."""

    def __init__(self, settings: Demonstrations, seed: int) -> None:
        """Decide about one episode by its seed."""
        self._settings, self._rng = settings, np.random.default_rng([seed, 1])
        self._noisy = self._rng.random() < settings.noisy

    def __call__(self, _: Observation, action: Action) -> Action:
        """Return the move that is made in place of the expert's `action`."""
        settings, rng = self._settings, self._rng
        if not self._noisy or rng.random() >= settings.disturbed:
            return action
        rotation, gripper = action.rotation.copy(), action.gripper
        rotation[:, YAW] += rng.normal(0, settings.yaw)
        if rng.random() < settings.flip:
            gripper = 1 - gripper
        return replace(
            action,
            translation=action.translation + rng.normal(0, settings.translation),
            rotation=rotation,
            gripper=gripper,
        )
