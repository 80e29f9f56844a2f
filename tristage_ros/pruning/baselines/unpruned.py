"""No pruning at all."""

from __future__ import annotations

from typing import ClassVar

from tristage_ros.pruning.baselines.base import Baseline


class Unpruned(Baseline):
    """Keep every token in every step; a `target_rate` has no effect."""

    needs_rate: ClassVar[bool] = False
