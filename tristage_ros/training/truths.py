"""The true numbers of every task as one vector to predict, NaN where a task does not have them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tristage_ros.training.frame import Frames
from tristage_ros.training.shard import ShardFacts

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
