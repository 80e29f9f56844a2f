"""The scale of a model, by which thresholds of stage 1 are carried over: measured once, kept beside its weights.

The weights themselves stay as they are. The file knows which ones it is of, so that a model that was trained anew under
the same name is not pruned by the scale of another.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from tristage_ros.mla.checkpoint import CheckpointError
from tristage_ros.mla.official import run_directory, weights_file
from tristage_ros.pruning.config import FEATURES, Feature
from tristage_ros.pruning.scale import Magnitudes
from tristage_ros.resources import read_text
from tristage_ros.words import one_line
from tristage_ros.yaml_text import parse

logger = logging.getLogger(__name__)

SUFFIX = ".scales.yaml"
ENDS = 1 << 20  # bytes at either end of a file that tell its weights from others
MOST = 20.0  # of a mean logit, either way


def scales_file(checkpoint: str | Path) -> Path:
    """Return the file beside a checkpoint's weights that holds its scales; raise CheckpointError for no weights."""
    return _weights(checkpoint).with_suffix(SUFFIX)


def load_scales(checkpoint: str | Path | None) -> dict[str, float]:
    """Return the scales that are kept of a model, by `s1_feature`; none of random weights."""
    return {feature: found.scale for feature, found in load_magnitudes(checkpoint).items()}


def load_magnitudes(checkpoint: str | Path | None) -> dict[Feature, Magnitudes]:
    """Return what is kept of how a model's magnitudes compare, by `s1_feature`.

    Nothing, with a warning, where the weights are others by now. Raises CheckpointError for a file that is damaged.
    """
    if checkpoint is None or not (path := scales_file(checkpoint)).is_file():
        return {}
    kept = _read(path)
    if kept["weights"] != _digest(_weights(checkpoint)):
        logger.warning("%s is of other weights: tristage calibrate --checkpoint %s measures anew", path, checkpoint)
        return {}
    return {feature: _magnitudes(path, feature, kept[feature]) for feature in FEATURES if feature in kept}


def save_magnitudes(checkpoint: str | Path, found: Mapping[str, Magnitudes], measured: str) -> Path:
    """Keep what was found of a model by `s1_feature` beside its weights, and return the file; `measured` says on what.

    Other features that are kept of the same weights stay. Raises OSError where the file cannot be written.
    """
    path = scales_file(checkpoint)
    digest = _digest(_weights(checkpoint))
    kept = _read(path) if path.is_file() else {}
    if kept.get("weights") != digest:
        kept = {"weights": digest}
    for feature, magnitudes in found.items():
        kept[feature] = asdict(magnitudes) | {"measured": measured}
    head = "# How 3D features of this model compare with 2D ones, written by tristage calibrate\n"
    path.write_text(head + yaml.safe_dump(kept, sort_keys=False, width=1000), encoding="utf-8")
    return path


def _weights(checkpoint: str | Path) -> Path:
    return Path(checkpoint) if run_directory(checkpoint) is None else weights_file(Path(checkpoint))


def _digest(weights: Path) -> str:
    """Return what tells weights apart by the ends of their file: a large one takes its time to read whole."""
    size = weights.stat().st_size
    with weights.open("rb") as file:
        ends = file.read(ENDS)
        file.seek(max(size - ENDS, 0))
        ends += file.read()
    return hashlib.sha256(size.to_bytes(8, "big") + ends).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = parse(read_text(path))
        if not isinstance(kept, dict) or not isinstance(kept.get("weights"), str):
            raise ValueError("it does not say which weights it is of")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {one_line(error)}; remove it, or measure anew: tristage calibrate") from None
    return kept


def _magnitudes(path: Path, feature: str, kept: Any) -> Magnitudes:
    try:
        found = Magnitudes(float(kept["mean_logit"]), float(kept["bearing"]), int(kept["patches"]))
        if not (isfinite(found.mean_logit) and abs(found.mean_logit) < MOST and 0 < found.bearing <= 1):
            raise ValueError("out of range")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: {feature} is no scale ({one_line(error)}): measure anew: tristage calibrate"
        ) from None
    return found
