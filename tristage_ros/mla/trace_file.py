"""Salience of a whole run in one small file."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tristage_ros.pruning import Salience, TokenGeometry, TokenMasks
from tristage_ros.pruning.calibration import TraceStep
from tristage_ros.pruning.checks import check_geometry, checked_magnitudes
from tristage_ros.pruning.config import FEATURES, Feature
from tristage_ros.words import one_line, shown

FORMAT = "tristage salience trace 1"
NAMES = tuple(field.name for field in fields(Salience))


class TraceError(ValueError):
    """Say why a file is no salience trace."""


def save_trace(path: str | Path, trace: list[TraceStep], feature: Feature) -> None:
    """Write a trace and the name of the feature that it was recorded with (`s1_feature`)."""
    tensors = {}
    for number, step in enumerate(trace):
        tensors[f"{number}/patch_of_point"] = step.geometry.patch_of_point.contiguous()
        tensors |= {f"{number}/{name}": getattr(step.salience, name).contiguous() for name in NAMES}
    begins = " ".join(str(number) for number, step in enumerate(trace) if step.begins)
    save_file(tensors, path, {"format": FORMAT, "steps": str(len(trace)), "feature": feature, "begins": begins})


def load_trace(path: str | Path) -> tuple[list[TraceStep], Feature]:
    """Return what `save_trace` wrote: the trace and its feature. Raises TraceError for any other file."""
    try:
        with safe_open(str(path), "pt") as file:
            facts = file.metadata() or {}
            if facts.get("format") != FORMAT:
                raise TraceError(f"{path} is no salience trace: its format is {shown(facts.get('format'))}")
            begins = {int(number) for number in facts.get("begins", "").split()}
            steps = [_step(file, number) for number in range(int(facts["steps"]))]
            feature = next((feature for feature in FEATURES if feature == facts["feature"]), None)
            if feature is None:
                raise ValueError(f"its feature is {shown(facts['feature'])}")
            return [replace(step, begins=n in begins) for n, step in enumerate(steps)], feature
    except TraceError:
        raise
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise TraceError(f"{path} is no salience trace: {one_line(error)}") from None


def _step(file: Any, number: int) -> TraceStep:
    salience = Salience(**{name: file.get_tensor(f"{number}/{name}") for name in NAMES})
    index: torch.Tensor = file.get_tensor(f"{number}/patch_of_point")
    geometry = TokenGeometry(index, len(salience.feature_2d))
    check_geometry(geometry)
    checked_magnitudes(TokenMasks.all_kept(geometry), salience)
    return TraceStep(geometry, salience)
