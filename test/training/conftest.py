"""Frames of a tiny model, without a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.values import Action, Observation
from tristage_ros.perception.camera import CameraModel
from tristage_ros.resources import resource
from tristage_ros.training.frames import FrameEncoder, Frames, ShardFacts, write_shard
from tristage_ros.training.recipe import Recipe

TASKS = {"banana": ("put the banana on the blue plate", ("x", "yaw")), "box": ("close the box", ("angle",))}
TINY = (
    "optimisation.batch=6", "optimisation.suffixes=3", "optimisation.steps=8", "optimisation.warm_up=2",
    "optimisation.compile=false", "optimisation.save_every=3", "dagger.at=[0.5]",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Keep threads of a small model from waiting for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def config() -> MlaConfig:
    return MlaConfig(
        width=32, layers=2, heads=2, ffn_width=48, vocabulary=512, image_size=24, patch_size=2, image_width=16,
        image_heads=2, points=64, groups=(16, 16), neighbours=8, point_base=6, point_width=20, image_squash=12,
        place_features=True, prediction="velocity",
    )  # fmt: skip


@pytest.fixture(scope="session")
def recipe() -> Callable[..., Recipe]:
    def read(*settings: str) -> Recipe:
        return Recipe.load(resource("config", "training.yaml"), (*TINY, *settings))

    return read


def _observation(rng: np.random.Generator) -> Observation:
    pose = np.array([[0, -1, 0, 0.3], [-1, 0, 0, 0.0], [0, 0, -1, 0.7], [0, 0, 0, 1]], float)
    pose[:3, 3] += rng.uniform(-0.15, 0.15, 3)  # every episode has a camera of its own
    state = rng.uniform((0.2, -0.2, 0.0, 3.0, -0.2, 2.0, 0.0), (0.4, 0.2, 0.3, 3.3, 0.2, 4.0, 1.0))
    return Observation(
        rng.integers(0, 256, (48, 64, 3), dtype=np.uint8),
        CameraModel(64, 48, 50.0, 50.0, 31.5, 23.5, pose),
        (rng.random((64, 3)) * (0.4, 0.5, 0.1) + (0.1, -0.25, 0.0)).astype(np.float32),
        state.astype(np.float32),
    )


@pytest.fixture(scope="session")
def observations() -> list[Observation]:
    rng = np.random.default_rng(0)
    return [_observation(rng) for _ in range(12)]


@pytest.fixture(scope="session")
def frames(observations: list[Observation], config: MlaConfig) -> Callable[[str], Frames]:
    """Frames of all observations for a task, whose actions are to be found in the state."""

    def encode(task: str) -> Frames:
        encoder = FrameEncoder(config)

        def one(index: int, seen: Observation) -> Frames:
            label = Action(seen.state[None, :3] - 0.1, seen.state[None, 3:6].astype(float), np.array([index % 2.0]))
            return encoder.encode(seen, label, np.arange(len(TASKS[task][1])) + index, index)

        return Frames.join([one(index, seen) for index, seen in enumerate(observations)])

    return encode


@pytest.fixture
def shards(tmp_path: Path, frames: Callable[[str], Frames]) -> list[Path]:
    """A file of frames for each of two tasks."""
    folder = tmp_path / "demonstrations"
    folder.mkdir()
    for task, (instruction, names) in TASKS.items():
        write_shard(folder / f"{task}.safetensors", frames(task), ShardFacts(task, instruction, names, 4, 3))
    return sorted(folder.iterdir())
