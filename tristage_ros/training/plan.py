"""What a run fixes when it starts: how numbers are normalised, and the room for prompts and places."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.training.recipe import Recipe
from tristage_ros.training.shard import read_shard
from tristage_ros.training.statistics import dataset_statistics
from tristage_ros.training.truths import Truths


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
        """Read what `save` wrote."""
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        statistics = DatasetStatistics.from_dict(data["statistics"])
        return cls(statistics, Truths(data["truths"]), data["prompt"])

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        data = {"statistics": self.statistics.to_dict(), "truths": self.truths.scales, "prompt": self.prompt}
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")
