"""What the training room reads from disk: files of frames, and the plan of a run."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tristage_ros.bench.fuzz.judge import Kind
from tristage_ros.bench.fuzz.models import safetensors
from tristage_ros.bench.fuzz.mutations import spoiled_json, written_to
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.training.frames import Frames, ShardError, ShardFacts, read_shard, write_shard
from tristage_ros.training.plan import Plan, Truths

FACTS = ShardFacts("banana", "put the banana on the plate", ("x", "yaw"), 2, 1)


def kinds(folder: Path) -> dict[str, Kind]:
    """Return the kinds by name; their files are in `folder`."""
    shard, plan = folder / "input.safetensors", folder / "plan.json"
    write_shard(shard, _frames(), FACTS)
    Plan(DatasetStatistics.tabletop(), Truths({"banana": [[0.0], [1.0]]}), 9).save(plan)
    tree = json.loads(plan.read_text(encoding="utf-8"))
    return {
        "frames": Kind(safetensors(shard.read_bytes()), written_to(shard, lambda: read_shard(shard)), (ShardError,)),
        "plan": Kind(spoiled_json(tree), written_to(plan, lambda: Plan.load(plan)), (ValueError,)),
    }


def _frames() -> Frames:
    index, members = torch.zeros(2, 3, dtype=torch.int16), torch.zeros(2, 3, 2, dtype=torch.int16)
    return Frames(
        torch.zeros(2, 4, 4, 3, dtype=torch.uint8), torch.zeros(2, 8, 3), index, members, index.clone(),
        members.clone(), index.clone(), torch.zeros(2, 3, 4), torch.zeros(2, 7), torch.zeros(2, 7), torch.zeros(2, 2),
        torch.arange(2),
    )  # fmt: skip
