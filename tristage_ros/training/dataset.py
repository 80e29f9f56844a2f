"""The frames of a run, normalised, each with its prompt, and the batches that the model takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.inputs import stretch
from tristage_ros.mla.normalisation import DIMENSIONS, DatasetStatistics
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.mla.visual_tokens import ImageTokenizer, Neighbourhoods
from tristage_ros.training.frames import Frames, ShardError, read_shard
from tristage_ros.training.plan import Truths

FAR = 0.1  # m
CLOSE = 0.01  # m, least depth: what is beside or behind a camera is far outside its image, and not in it again
ON_TABLE = 0.02  # m, height of what the tool goes to, wherever above it the tool stays, unless the task says `z`


@dataclass(frozen=True)
class Sample:
    """Hold a frame as it enters a batch."""

    frame: Frames  # one
    prompt: Tensor  # long [P] ids behind BOS
    state: Tensor  # float32 [7] normalised
    action: Tensor  # float32 [7] normalised
    truth: Tensor  # float32 [T] normalised
    goal: Tensor  # float32 [4] x, y (m), column and row among the image tokens


class Dataset:
    """Hold the frames of some files."""

    def __init__(
        self,
        paths: list[Path],
        statistics: DatasetStatistics,
        truths: Truths,
        config: MlaConfig,
        emphasis: float = 0.0,
        temperature: float = 1.0,
    ) -> None:
        """Map the files, and normalise what is small.

        Frames whose key frame is `FAR` away or more are drawn 1 + `emphasis` times as often as those where the tool
        stays: near its goal, the state alone tells a good deal of what comes next. A task with n such draws gets a
        share of batches that goes with n to the power 1 / `temperature`: tasks with few demonstrations do not drown.
        """
        words = PromptTokenizer.mini()
        self._frames, prompts, states, actions, places = list[Frames](), list[Tensor](), [], [], []
        goals = [torch.zeros(0, 4)]
        weights = list[tuple[str, Tensor]]()
        for path in paths:
            frames, facts = read_shard(path)
            distance = frames.action[:, :3].norm(dim=1)
            weights.append((facts.task, 1 + emphasis * (distance / FAR).clamp_max(1)))
            self._frames.append(frames)
            prompts.append(torch.tensor(words.encode(facts.instruction)[1:]))
            states += [statistics.normalise_state(s, config.zero_constant_state)[0] for s in frames.state.numpy()]
            actions.append(torch.from_numpy(statistics.normalise_actions(frames.action.numpy())))
            places.append(truths(frames, facts))
            if int(frames.patches.max()) >= config.image_tokens or int(frames.patches.min()) < -1:
                raise ShardError(f"{path} is of another model: it has patches beyond {config.image_tokens - 1}")
            height = frames.truth[:, facts.truth_names.index("z")] if "z" in facts.truth_names else None
            goals.append(_goals(frames, height, config.grid))
        self._prompts, self._weights = prompts, _tempered(weights, temperature)
        self._state = torch.from_numpy(np.stack(states)) if states else torch.zeros(0, DIMENSIONS)
        self._action, self._truth = (torch.cat(parts) if parts else torch.zeros(0) for parts in (actions, places))
        self._goal = torch.cat(goals)
        self._ends = np.cumsum([len(frames) for frames in self._frames])

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._state)

    def __getitem__(self, index: int) -> Sample:
        """Return a frame by its number."""
        shard = int(np.searchsorted(self._ends, index, side="right"))
        frames = self._frames[shard]
        row = index - int(self._ends[shard]) + len(frames)
        bare = replace(frames, truth=frames.truth[:, :0])  # tasks differ in how many numbers they have
        frame = Frames(**{name: tensor[row : row + 1] for name, tensor in bare.tensors().items()})
        numbers = (values[index] for values in (self._state, self._action, self._truth, self._goal))
        return Sample(frame, self._prompts[shard], *numbers)

    def draw(self, count: int, generator: torch.Generator) -> list[Sample]:
        """Return `count` frames, drawn with replacement."""
        drawn = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        return [self[index] for index in drawn.tolist()]


def _tempered(weights: list[tuple[str, Tensor]], temperature: float) -> Tensor:
    """Join the weights of files of the named tasks; each task's sum becomes its power 1 / `temperature`."""
    sums = dict.fromkeys((task for task, _ in weights), 0.0)
    for task, part in weights:
        sums[task] += float(part.sum())
    return torch.cat([torch.zeros(0), *(part * sums[task] ** (1 / temperature - 1) for task, part in weights)])


def _goals(frames: Frames, height: Tensor | None, grid: int) -> Tensor:
    """Return where the expert's key frames are, float32 [F, 4]: x, y (m), and where the frame's own camera sees it.

    `height`, [F] m, is that of what the tool goes to; None: it stands on the table.
    """
    tool = frames.state[:, :3] + frames.action[:, :3]
    z = torch.full((len(tool),), ON_TABLE) if height is None else height
    goal = torch.stack([tool[:, 0], tool[:, 1], z, torch.ones_like(z)], 1)
    seen = (frames.projection @ goal[..., None])[..., 0]  # places times depth, and the depth
    return torch.cat([tool[:, :2], grid * seen[:, :2] / seen[:, 2:].clamp_min(CLOSE)], 1)


class Collator:
    """Turn samples into batches whose prompts all have the same room, so that shapes never change."""

    def __init__(self, config: MlaConfig, prompt: int) -> None:
        """Leave room for prompts of up to `prompt` ids behind BOS."""
        self._size, self._prompt = config.image_size, prompt
        with torch.device("meta"):
            self._tokenizer = ImageTokenizer(config)

    def __call__(self, samples: list[Sample]) -> Batch:
        """Return a batch of the samples, on the CPU."""
        frames = Frames.join([sample.frame for sample in samples])
        prompts = torch.zeros(len(samples), self._prompt, dtype=torch.long)
        for line, sample in zip(prompts, samples, strict=True):
            line[: len(sample.prompt)] = sample.prompt
        return Batch(
            windows_of(frames, self._tokenizer, self._size),
            neighbourhoods_of(frames),
            frames.patches.long(),
            prompts,
            torch.tensor([len(sample.prompt) for sample in samples]),
            *(torch.stack([getattr(s, name) for s in samples]) for name in ("state", "action", "truth", "goal")),
        )


# A batch as the model takes it, and what it is made of.


@dataclass(frozen=True)
class Batch:
    """Hold B observations and their labels on the model's device."""

    windows: Tensor  # uint8 [B * n2, patches in a window, channels] pixels of the image tokens
    groups: Neighbourhoods  # of all clouds in a row
    patches: Tensor  # long [B, n] image token that every point token lies in, -1 outside the image
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
