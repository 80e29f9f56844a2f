"""Observations with their labels, and the files they are kept in: what depends on no weight is worked out once."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tristage_ros.json_text import parse
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.inputs import sample_cloud, stretch
from tristage_ros.mla.values import Action, Observation
from tristage_ros.mla.visual_tokens import PointTokenizer
from tristage_ros.perception.camera import patch_of_points, projection_matrix
from tristage_ros.words import one_line, shown

ACTION = 7  # x, y, z, roll, pitch, yaw, gripper


@dataclass(frozen=True)
class Frames:
    """Hold F observations; the image and the cloud are those that `preprocess` makes of them."""

    image: Tensor  # uint8 [F, squash, squash, 3] RGB
    points: Tensor  # float32 [F, points, 3] m, base frame
    centres: Tensor  # int16 [F, n1], and the next three: see Neighbourhoods, of all tokens
    nearest: Tensor  # int16 [F, n1, K]
    own: Tensor  # int16 [F, n]
    members: Tensor  # int16 [F, n, K]
    patches: Tensor  # int16 [F, n] image token that every point token lies in, -1 outside the image
    projection: Tensor  # float32 [F, 3, 4] of the front camera, see `projection_matrix`
    state: Tensor  # float32 [F, 7] as measured
    action: Tensor  # float32 [F, 7] of the expert
    truth: Tensor  # float32 [F, T] true numbers of the task, see `plan.Truths`
    episode: Tensor  # int64 [F] seed of the episode

    def __len__(self) -> int:
        """Return F."""
        return len(self.episode)

    def tensors(self) -> dict[str, Tensor]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def check(self, truths: int) -> None:
        """Refuse tensors that do not belong together, and indices that lead nowhere; `truths` is T.

        Raises:
            ValueError: the message names the first.
        """
        count, points, tokens, members = (
            len(self.image),
            self.points.shape[1:2],
            self.own.shape[1:2],
            self.members.shape,
        )
        shapes: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
            "image": (torch.uint8, (count, *self.image.shape[1:2] * 2, 3)),
            "points": (torch.float32, (count, *points, 3)),
            "centres": (torch.int16, (count, *self.centres.shape[1:2])),
            "nearest": (torch.int16, (count, *self.centres.shape[1:2], *members[2:3])),
            "own": (torch.int16, (count, *tokens)),
            "members": (torch.int16, (count, *tokens, *members[2:3])),
            "patches": (torch.int16, (count, *tokens)),
            "projection": (torch.float32, (count, 3, 4)),
            "state": (torch.float32, (count, ACTION)),
            "action": (torch.float32, (count, ACTION)),
            "truth": (torch.float32, (count, truths)),
            "episode": (torch.int64, (count,)),
        }
        for name, (dtype, shape) in shapes.items():
            tensor = getattr(self, name)
            if tensor.dtype != dtype or tensor.shape != shape or not tensor.numel():
                raise ValueError(f"{name} is {tensor.dtype} {list(tensor.shape)}")
        centres = self.centres.shape[1]
        for name, end in (("centres", *points), ("nearest", *points), ("own", centres), ("members", centres)):
            indices = getattr(self, name)
            if int(indices.min()) < 0 or int(indices.max()) >= end:
                raise ValueError(f"{name} has indices beyond 0 to {end - 1}")

    @classmethod
    def join(cls, parts: list[Frames]) -> Frames:
        """Return all frames of `parts`, in their order."""
        return cls(**{field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)})


class FrameEncoder:
    """Turn observations into frames."""

    def __init__(self, config: MlaConfig) -> None:
        """Encode for models of `config`, which must squash images and start farthest-point sampling at a fixed point.

        Raises ValueError for another config: its inputs could not be worked out ahead.
        """
        if config.image_squash is None or config.fps_start != "first" or config.groups[0] != config.groups[1]:
            raise ValueError(
                "training stores what the model sees: image_squash must be set, fps_start be 'first', and both groups "
                f"be equal, got {config.image_squash}, {config.fps_start!r} and {config.groups}"
            )
        self._squash, self._points, self._grid = config.image_squash, config.points, config.grid
        with torch.device("meta"):
            self._tokenizer = PointTokenizer(config)

    def encode(self, observation: Observation, action: Action, truth: np.ndarray, episode: int) -> Frames:
        """Return a single frame with the expert's first action."""
        points, _ = sample_cloud(observation.points, self._points)
        centres, camera = self._tokenizer.centres(points), observation.camera
        groups = self._tokenizer.neighbourhoods(points, centres)
        patches = patch_of_points(centres.xyz.numpy(), camera, self._grid)
        label = np.concatenate([action.translation[0], action.rotation[0], action.gripper[:1]])
        parts = {
            "image": stretch(observation.image, self._squash),
            "points": points,
            **{name: getattr(groups, name).to(torch.int16) for name in ("centres", "nearest", "own", "members")},
            "patches": torch.from_numpy(patches.astype(np.int16)),
            "projection": torch.from_numpy(projection_matrix(camera).astype(np.float32)),
            "state": torch.from_numpy(observation.state.astype(np.float32)),
            "action": torch.from_numpy(label.astype(np.float32)),
            "truth": torch.from_numpy(truth.astype(np.float32)),
            "episode": torch.tensor(episode),
        }
        return Frames(**{name: value[None] for name, value in parts.items()})


# Files of frames: safetensors, mapped rather than read, written whole or not at all.

FORMAT = "tristage-frames-2"
OLDER = "tristage-frames-1"  # without the camera and what it sees of the point tokens


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

    @classmethod
    def of(cls, data: dict[str, Any]) -> ShardFacts:
        """Read what JSON has of it; raise ValueError or TypeError where that is something else."""
        facts = cls(**data)
        names = facts.truth_names
        texts = [facts.task, facts.instruction, *(names if isinstance(names, list) else [None])]
        if not all(isinstance(text, str) for text in texts) or type(facts.continuous) is not bool:
            raise ValueError(f"its facts are {shown(data)}")
        return replace(facts, truth_names=tuple(names))


def write_shard(path: Path, frames: Frames, facts: ShardFacts) -> None:
    """Write a file; what was there before an interruption stays complete."""
    from safetensors.torch import save_file

    partial = path.with_suffix(".partial")
    save_file({n: t.contiguous() for n, t in frames.tensors().items()}, partial, {FORMAT: json.dumps(vars(facts))})
    partial.replace(path)


def read_shard(path: Path) -> tuple[Frames, ShardFacts]:
    """Map a file. Raises ShardError for another kind of file, and for one of an older version."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if OLDER in metadata:
                again = "choose another --out, or delete demonstrations/ and rollouts/ there: they are made again"
                raise ShardError(f"{path} is of an older version, which did not store the camera: {again}")
            facts = ShardFacts.of(parse(metadata[FORMAT]))
            frames = Frames(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            frames.check(len(facts.truth_names))
    except ShardError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        what = one_line(error)
        raise ShardError(f"{path} holds no frames ({what}): delete it, it will be collected again") from None
    return frames, facts
