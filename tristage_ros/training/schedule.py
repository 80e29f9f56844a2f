"""The learning rate over the steps."""

from __future__ import annotations

import math

from tristage_ros.training.recipe import Optimisation


def learning_rate(step: int, settings: Optimisation) -> float:
    """Return the rate of a step, from 0: a linear warm-up, then a cosine down to `final_rate` of the peak."""
    warm = min(1.0, (step + 1) / settings.warm_up)
    wave = 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps)))
    return settings.learning_rate * warm * (settings.final_rate + (1 - settings.final_rate) * wave)
