"""Files of frames: safetensors, mapped rather than read, written whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tristage_ros.training.frame import Frames

FORMAT = "tristage-frames-1"


class ShardError(ValueError):
    """Say why a file holds no frames."""


@dataclass(frozen=True)
class ShardFacts:
    """Say what the frames of a file show."""

    task: str
    instruction: str
    truth_names: tuple[str, ...]  # what the columns of `truth` are
    episodes: int
    successes: int
    continuous: bool = False


def write_shard(path: Path, frames: Frames, facts: ShardFacts) -> None:
    """Write a file; what was there before an interruption stays complete."""
    from safetensors.torch import save_file

    partial = path.with_suffix(".partial")
    save_file({n: t.contiguous() for n, t in frames.tensors().items()}, partial, {FORMAT: json.dumps(vars(facts))})
    partial.replace(path)


def read_shard(path: Path) -> tuple[Frames, ShardFacts]:
    """Map a file. Raises ShardError for another kind of file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})[FORMAT])
            frames = Frames(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, OSError) as error:
        raise ShardError(f"{path} holds no frames ({error}): delete it, it will be collected again") from None
    return frames, ShardFacts(**facts | {"truth_names": tuple(facts["truth_names"])})
