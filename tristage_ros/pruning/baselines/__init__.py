"""Pruning methods to compare with, behind the interface of the tri-stage pruner."""

from __future__ import annotations

from inspect import signature
from typing import Any

from tristage_ros.pruning.baselines.base import Baseline
from tristage_ros.pruning.baselines.before_pass import NaiveRandom, SpVla, Unpruned
from tristage_ros.pruning.baselines.controls import AttentionTopK, FixedSplit, OneModality, Weighted
from tristage_ros.pruning.baselines.dart import Dart
from tristage_ros.pruning.baselines.in_pass import FastV, InPassBaseline, VlaPruner
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.pruner import TriStagePruner

METHODS: dict[str, type[TriStagePruner | Baseline]] = {
    "tristage": TriStagePruner,
    "none": Unpruned,
    "random": NaiveRandom,
    "fastv": FastV,
    "vla_pruner": VlaPruner,
    "dart": Dart,
    "sp_vla": SpVla,
    "attention": AttentionTopK,
    "split": FixedSplit,
    "weighted": Weighted,
    "one_modality": OneModality,
}
LABELS = {  # for print, in the order in which they are shown
    "none": "unpruned",
    "random": "naive",
    "fastv": "FastV",
    "vla_pruner": "VLA-Pruner",
    "dart": "DART",
    "sp_vla": "SP-VLA",
    "tristage": "tri-stage",
}
CONTROL_LABELS = {  # the same of those that are shown only where they are asked for
    "attention": "attention alone",
    "split": "tri-stage, fixed split",
    "weighted": "tri-stage, weighted",
    "one_modality": "one modality alone",
}

__all__ = [
    "CONTROL_LABELS",
    "LABELS",
    "METHODS",
    "AttentionTopK",
    "Baseline",
    "Dart",
    "FastV",
    "FixedSplit",
    "InPassBaseline",
    "NaiveRandom",
    "OneModality",
    "SpVla",
    "Unpruned",
    "VlaPruner",
    "Weighted",
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
