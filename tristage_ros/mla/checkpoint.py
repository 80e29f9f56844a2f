"""Checkpoints: one safetensors file with the model's sizes, statistics and facts in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tristage_ros.json_text import parse
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.downloads import complaint
from tristage_ros.mla.model import Mla
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.words import one_line

FORMAT = "tristage-mla-1"


class CheckpointError(ValueError):
    """Say why a file is no checkpoint of this model."""


def save_checkpoint(
    path: str | Path,
    model: Mla,
    statistics: DatasetStatistics,
    facts: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a checkpoint.

    Args:
        path: file to write, by custom `*.safetensors`.
        model: whose parameters, sizes and running statistics are saved.
        statistics: ranges that states and actions are normalised with.
        facts: what else is worth knowing (training data, seed, success rate), as JSON can hold it.
        dtype: of the weights in the file; as they are when None. Running statistics stay float32.
    """
    from safetensors.torch import save_file  # only where there is a checkpoint

    tensors = {name: cast(name, t, dtype or t.dtype, "cpu").contiguous() for name, t in model.state_dict().items()}
    parts = {"config": model.config.to_dict(), "statistics": statistics.to_dict(), "facts": dict(facts)}
    save_file(tensors, path, {"format": FORMAT} | {name: json.dumps(part) for name, part in parts.items()})


def load_checkpoint(
    path: str | Path, device: str = "cpu", dtype: torch.dtype | None = None
) -> tuple[Mla, DatasetStatistics, dict[str, Any]]:
    """Return the model, in eval mode, with its statistics and facts; its weights become `dtype` or stay as they are.

    On a CPU, where arithmetic in float16 is slow, weights stored so become float32. Raises CheckpointError where the
    file is missing, is something else, or lacks, exceeds or misshapes any tensor.
    """
    metadata, tensors = _read(Path(path), device)
    try:
        config = MlaConfig.from_dict(parse(metadata["config"]))
        statistics = DatasetStatistics.from_dict(parse(metadata["statistics"]))
        facts = parse(metadata["facts"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"the metadata of {path} cannot be read: {one_line(error)}") from None
    with torch.device("meta"):
        model = Mla(config)
    compare(path, _shapes(model.state_dict()), _shapes(tensors))
    state = {name: cast(name, t, dtype or _native(t.dtype, device), device) for name, t in tensors.items()}
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False), statistics, facts


def _read(path: Path, device: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}: give the path of a .safetensors file")
    if words := complaint(path):
        raise CheckpointError(words)
    try:
        with safe_open(path, "pt", device=device) as file:
            metadata: dict[str, str] = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(f"{path} is a safetensors file, but no checkpoint of this model ({FORMAT})")
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, TypeError) as error:  # of the header, and of tensors of odd types
        raise CheckpointError(f"{path} is no checkpoint: {one_line(error)}") from None


def _native(stored: torch.dtype, device: str) -> torch.dtype:
    return torch.float32 if stored == torch.float16 and torch.device(device).type == "cpu" else stored


def cast(name: str, tensor: Tensor, dtype: torch.dtype, device: str) -> Tensor:
    """Return a weight for a model of `dtype`: running statistics, which need their digits, become float32."""
    return tensor.to(device, torch.float32 if "running_" in name else dtype, copy=True)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def compare(path: str | Path, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    """Raise CheckpointError, naming weights of the file `path`, unless `found` has the names and shapes `expected`."""
    wrong = [f"missing {name}" for name in expected if name not in found]
    wrong += [f"unexpected {one_line(name)}" for name in found if name not in expected]
    wrong += [
        f"{name} is {list(found[name])}, not {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if wrong:
        raise CheckpointError(f"{path} does not fit the model: {'; '.join(wrong[:5])}; {len(wrong)} faults in all")
