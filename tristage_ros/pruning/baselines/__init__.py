"""Pruning methods to compare with, behind the interface of the tri-stage pruner."""

from __future__ import annotations

from inspect import signature
from typing import Any

from tristage_ros.pruning.baselines.base import Baseline
from tristage_ros.pruning.baselines.before_pass import NaiveRandom, SpVla, Unpruned
from tristage_ros.pruning.baselines.in_pass import FastV, InPassBaseline, VlaPruner
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.pruner import TriStagePruner

METHODS: dict[str, type[TriStagePruner | Baseline]] = {
    "tristage": TriStagePruner,
    "none": Unpruned,
    "random": NaiveRandom,
    "fastv": FastV,
    "vla_pruner": VlaPruner,
    "sp_vla": SpVla,
}
LABELS = {  # for print, in the order in which they are shown
    "none": "unpruned",
    "random": "naive",
    "fastv": "FastV",
    "vla_pruner": "VLA-Pruner",
    "sp_vla": "SP-VLA",
    "tristage": "tri-stage",
}

__all__ = [
    "LABELS",
    "METHODS",
    "Baseline",
    "FastV",
    "InPassBaseline",
    "NaiveRandom",
    "SpVla",
    "Unpruned",
    "VlaPruner",
    "make_pruner",
]


def make_pruner(method: str, config: PruningConfig | None = None, **options: Any) -> TriStagePruner | Baseline:
    """Return the pruner called `method` with its own `options`, the keyword arguments of its class.

    Raises ValueError for an unknown method or option, and for a bad value.
    """
    if method not in METHODS:
        raise ValueError(f"method = {method!r} must be one of {', '.join(METHODS)}")
    known = [name for name in signature(METHODS[method]).parameters if name != "config"]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ValueError(f"{method} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    return METHODS[method](config, **options)
