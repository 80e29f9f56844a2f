"""A batch as the model takes it: frames, normalised, each with its prompt."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tristage_ros.mla.inputs import stretch
from tristage_ros.mla.visual_tokens import ImageTokenizer, Neighbourhoods
from tristage_ros.training.frame import Frames


@dataclass(frozen=True)
class Batch:
    """Hold B observations and their labels on the model's device."""

    windows: Tensor  # uint8 [B * n2, patches in a window, channels] pixels of the image tokens
    groups: Neighbourhoods  # of all clouds in a row
    prompt: Tensor  # long [B, P] ids behind BOS, filled up with any id
    lengths: Tensor  # long [B] how many of them count
    state: Tensor  # float32 [B, 7] normalised
    action: Tensor  # float32 [B, 7] normalised
    truth: Tensor  # float32 [B, T] normalised, NaN where a task has fewer numbers
    goal: Tensor  # float32 [B, 4] where the tool is to go: x, y (m), column and row among the image tokens

    def __len__(self) -> int:
        """Return B."""
        return len(self.state)


def neighbourhoods_of(frames: Frames) -> Neighbourhoods:
    """Return the groups of several clouds as those of one that holds all their points."""
    count, points, centres = len(frames), frames.points.shape[1], frames.centres.shape[1]

    def behind(indices: Tensor, step: int) -> Tensor:
        offsets = torch.arange(count).mul(step).view(-1, *[1] * (indices.dim() - 1))
        return (indices.long() + offsets).flatten(0, 1)

    return Neighbourhoods(
        frames.points.flatten(0, 1),
        behind(frames.centres, points),
        behind(frames.nearest, points),
        behind(frames.own, centres),
        behind(frames.members, centres),
    )


def windows_of(frames: Frames, tokenizer: ImageTokenizer, size: int) -> Tensor:
    """Return the pixels of all image tokens, image by image."""
    return torch.cat([tokenizer.windows(stretch(image.numpy(), size)) for image in frames.image])


def move(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on another device."""
    if device.type == "cpu":
        return batch
    groups = Neighbourhoods(**{name: value.to(device, non_blocking=True) for name, value in vars(batch.groups).items()})
    rest = {n: v.to(device, non_blocking=True) for n, v in vars(batch).items() if isinstance(v, Tensor)}
    return Batch(groups=groups, **rest)
