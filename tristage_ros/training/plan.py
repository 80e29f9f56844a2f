"""What a run fixes when it starts: how states, actions and true numbers are normalised, and the room for prompts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tristage_ros.json_text import parse
from tristage_ros.mla.normalisation import ANGLES, DIMENSIONS, DatasetStatistics, Quantiles
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.training.frames import Frames, ShardFacts, read_shard
from tristage_ros.training.recipe import Recipe
from tristage_ros.words import shown


@dataclass(frozen=True)
class Plan:
    """Hold what must stay the same over all steps of a run, whatever data is added."""

    statistics: DatasetStatistics
    truths: Truths
    prompt: int  # ids behind BOS of the longest prompt

    @classmethod
    def of(cls, paths: list[Path], recipe: Recipe) -> Plan:
        """Measure the demonstrations. Raises ValueError where there are none."""
        if not paths:
            raise ValueError("there are no demonstrations yet: run the command without --only, or --only collect first")
        shards = [read_shard(path) for path in paths]
        settings, words = recipe.optimisation, PromptTokenizer.mini()
        statistics = dataset_statistics([frames for frames, _ in shards], settings.quantiles, settings.margin)
        prompt = max(len(words.encode(facts.instruction)) - 1 for _, facts in shards)
        return cls(statistics, Truths.measured(shards), prompt)

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read what `save` wrote. Raises ValueError for anything else."""
        try:
            data = parse(path.read_bytes())
            if not {"statistics", "truths", "prompt"} <= data.keys() or type(data["prompt"]) is not int:
                raise ValueError(f"it is to have statistics, truths and prompt, and has {shown(data)}")
            return cls(DatasetStatistics.from_dict(data["statistics"]), Truths.of(data["truths"]), data["prompt"])
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}): remove it, or choose another --out") from None

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        data = {"statistics": self.statistics.to_dict(), "truths": self.truths.scales, "prompt": self.prompt}
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")


# States and actions: the ranges that they are normalised with.

GRIPPER = DIMENSIONS - 1
_MASK = tuple(index != GRIPPER for index in range(DIMENSIONS))
_AROUND = np.array([math.pi, 0.0, math.pi])  # rad, roll, pitch and yaw of a tool that points down


def dataset_statistics(frames: list[Frames], quantiles: tuple[float, float], margin: float) -> DatasetStatistics:
    """Return the range between two quantiles of every dimension, widened by a share `margin` of it at both ends."""
    action, state = (np.concatenate([getattr(f, name).numpy() for f in frames]) for name in ("action", "state"))
    around = state[:, ANGLES] - _AROUND
    state[:, ANGLES] = _AROUND + np.remainder(around + math.pi, 2 * math.pi) - math.pi
    return DatasetStatistics(_range(action, quantiles, margin), _range(state, quantiles, margin))


def _range(values: NDArray[np.float32], quantiles: tuple[float, float], margin: float) -> Quantiles:
    low, high = np.quantile(values.astype(np.float64), quantiles, axis=0)
    wider = margin * (high - low)
    low, high = low - wider, high + wider
    low[GRIPPER], high[GRIPPER] = 0.0, 1.0
    return Quantiles(tuple(low.tolist()), tuple(high.tolist()), _MASK, tuple((np.ptp(values, axis=0) == 0).tolist()))


# True numbers: those of every task in one vector to predict, NaN where a task does not have them.

YAW = "yaw"  # of something that may look the same from both ends: told as cosine and sine of its double
LEAST_DEVIATION = 1e-3


class Truths:
    """Normalise the truths of several tasks by the mean and deviation of every number."""

    def __init__(self, scales: Mapping[str, list[list[float]]]) -> None:
        """Take the means and the deviations, two lists per task."""
        self.scales = dict(scales)
        self._starts, self.width = dict[str, int](), 0
        for task, (means, _) in sorted(self.scales.items()):
            self._starts[task] = self.width
            self.width += len(means)

    @classmethod
    def of(cls, data: Any) -> Truths:
        """Read what JSON has of `scales`; raise ValueError where that is something else."""

        def right(scale: Any) -> bool:
            two = isinstance(scale, list) and len(scale) == 2 and all(isinstance(part, list) for part in scale)
            numbers = [number for part in scale for number in part] if two else []
            return two and len(scale[0]) == len(scale[1]) and all(type(n) is float for n in numbers)

        if not isinstance(data, dict) or not all(map(right, data.values())):
            raise ValueError(f"truths are {shown(data)}, not means and deviations by task")
        return cls(data)

    @classmethod
    def measured(cls, shards: list[tuple[Frames, ShardFacts]]) -> Truths:
        """Take them from data."""
        columns: dict[str, list[Tensor]] = {}
        for frames, facts in shards:
            columns.setdefault(facts.task, []).append(_columns(frames.truth, facts.truth_names))
        values = {task: torch.cat(parts) for task, parts in columns.items()}
        return cls({task: [v.mean(0).tolist(), v.std(0).tolist()] for task, v in values.items()})

    def __call__(self, frames: Frames, facts: ShardFacts) -> Tensor:
        """Return float32 [F, width]."""
        mean, deviation = map(torch.tensor, self.scales[facts.task])
        values = (_columns(frames.truth, facts.truth_names) - mean) / deviation.clamp_min(LEAST_DEVIATION)
        full = values.new_full((len(frames), self.width), torch.nan)
        start = self._starts[facts.task]
        full[:, start : start + values.shape[1]] = values
        return full


def _columns(truth: Tensor, names: tuple[str, ...]) -> Tensor:
    columns = []
    for values, name in zip(truth.T, names, strict=True):
        columns += [(2 * values).cos(), (2 * values).sin()] if name == YAW else [values]
    return torch.stack(columns, 1)
