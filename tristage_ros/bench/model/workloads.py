"""What is measured: a model and what it is shown.

Weights are random by custom. What is shown is a table from above, on which something moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tristage_ros.mla.checkpoint import load_checkpoint
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.inference import settle
from tristage_ros.mla.inputs import SequenceLayout
from tristage_ros.mla.model import Mla, random_model
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.passes import SEQUENTIAL, Denoising
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Observation
from tristage_ros.perception.camera import CameraModel
from tristage_ros.resources import MINI, resource

WIDTH, HEIGHT = 640, 480  # pixels of the camera
ABOVE = np.array([[0, -1, 0, 0.3], [-1, 0, 0, 0.0], [0, 0, -1, 0.7], [0, 0, 0, 1]], float)  # the camera's pose
IMAGE_GAIN = 20.0  # of 2D over 3D embeddings; 2D then holds about 90 % of the salience of stage 1
FRAMES = 8  # different observations, shown in turn


def _tiny() -> MlaConfig:
    return MlaConfig(
        width=32, layers=4, heads=2, ffn_width=48, vocabulary=64, image_size=96, patch_size=2, image_width=16,
        image_heads=2, points=512, groups=(256, 256), neighbours=8, point_base=6, point_width=20,
    )  # fmt: skip


CONFIGS = {"tiny": _tiny, "mini": MlaConfig.mini, "7b": MlaConfig.mla_7b}


class FixedPrompt:
    """Stand in for a tokenizer: every instruction has as many tokens as a typical one of MLA's."""

    vocabulary = 64
    lone_space = 2

    def encode(self, instruction: str) -> list[int]:
        """Return the ids of 19 tokens, BOS first."""
        return list(range(1, 20))


@dataclass(frozen=True)
class Workload:
    """Hold a model and what it is shown."""

    size: str
    model: Mla
    observations: tuple[Observation, ...]
    statistics: DatasetStatistics = field(default_factory=DatasetStatistics.tabletop)
    trained: bool = False  # whether the weights are

    @classmethod
    def build(cls, size: str, device: str = "cpu", dtype: str = "float32") -> Workload:
        """Return the workload of a size (tiny, mini or 7b) with seeded random weights."""
        model = random_model(CONFIGS[size](), 0, device, getattr(torch, dtype))
        _favour_images(model)
        return cls(size, settle(model), _shown(model))

    @classmethod
    def shipped(cls, device: str = "cpu", dtype: str = "float32") -> Workload:
        """Return the workload of the mini that ships, with its trained weights. Needs safetensors."""
        model, statistics, _ = load_checkpoint(resource(*MINI), device, getattr(torch, dtype))
        return cls("mini", settle(model), _shown(model), statistics, trained=True)

    @property
    def tokens_besides(self) -> int:
        """Return the tokens of a pass that are neither 2D nor 3D: text, state, diffusion step, noisy actions."""
        config = self.model.config
        layout = SequenceLayout(len(FixedPrompt().encode("")), config)
        return layout.length - 1 - config.image_tokens - config.point_tokens

    @property
    def device(self) -> torch.device:
        """Return where the model is."""
        return self.model.device

    def policy(self, pruner: Any, engine: Any, denoising: Denoising = SEQUENTIAL) -> MlaPolicy:
        """Return a policy of this model, ready for its first step."""
        prompt: Any = FixedPrompt()
        policy = MlaPolicy(self.model, prompt, self.statistics, pruner, engine=engine, denoising=denoising)
        policy.reset("pick up the box")
        return policy

    def observation(self, index: int) -> Observation:
        """Return what is shown in round `index`."""
        return self.observations[index % len(self.observations)]


def _favour_images(model: Mla) -> None:
    """Make the decoder's features of 2D tokens outweigh those of 3D tokens, as they do in the trained model (Table 1).

    Random weights make both alike, stage 1 would keep 3D tokens alone, and what is kept decides what tokenizers cost.
    """
    last = model.projector_2d.mlp[2].weight
    with torch.no_grad():
        last.mul_(IMAGE_GAIN)  # type: ignore[operator]


def _shown(model: Mla) -> tuple[Observation, ...]:
    return tuple(observe(frame, model.config.points) for frame in range(FRAMES))


def observe(frame: int, points: int) -> Observation:
    """Return frame `frame` of an object that slides over a table: image, depth and `points` points that agree."""
    across = 0.08 * np.sin(2 * np.pi * frame / FRAMES)  # m
    rng = np.random.default_rng(frame)
    camera = CameraModel(WIDTH, HEIGHT, 600.0, 600.0, WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5, ABOVE)
    cloud = _cloud(rng, points, across)
    image, depth = _picture(rng, across)
    state = np.array([0.3, across, 0.2, 3.1, 0.5, -3.1, 1.0], np.float32)
    return Observation(image=image, camera=camera, points=cloud, state=state, depth=depth)


def _cloud(rng: np.random.Generator, points: int, across: float) -> NDArray[np.float32]:
    table = rng.uniform((0.12, -0.30, 0.0), (0.48, 0.30, 0.002), (points - points // 4, 3))
    box = rng.uniform((0.27, across - 0.03, 0.0), (0.33, across + 0.03, 0.06), (points // 4, 3))
    return np.concatenate([table, box]).astype(np.float32)


def _picture(rng: np.random.Generator, across: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    texture = np.stack([90 + rows // 8, 80 + columns // 10, 120 - rows // 10], -1) + rng.integers(0, 12, (HEIGHT, 1, 1))
    depth = np.full((HEIGHT, WIDTH), 0.7, np.float32)
    centre = WIDTH / 2 - across * 600 / 0.64  # the camera looks down, with y to the left
    box = (abs(rows - HEIGHT / 2) < 28) & (abs(columns - centre) < 28)
    texture[box], depth[box] = (220, 60, 40), 0.64
    return texture.astype(np.uint8), depth
