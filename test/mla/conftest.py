"""A model small enough for plain-loop references, and observations for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.model import Mla, random_model
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.mla.values import Observation
from tristage_ros.perception.camera import CameraModel
from tristage_ros.pruning import FrameContext, PruningConfig, PruningReport, Salience, TokenGeometry, TokenMasks

STATISTICS = DatasetStatistics.tabletop()
INSTRUCTION = "put the banana on the blue plate"
DOWN = np.array([[0, -1, 0, 0.3], [-1, 0, 0, 0.0], [0, 0, -1, 0.7], [0, 0, 0, 1]], float)  # a camera over the table


def _tiny_config(**changes) -> MlaConfig:
    sizes = {
        "width": 32, "layers": 2, "heads": 2, "ffn_width": 48, "vocabulary": 512, "image_size": 24, "patch_size": 2,
        "image_width": 16, "image_heads": 2, "points": 64, "groups": (32, 16), "neighbours": 8, "point_base": 6,
        "point_width": 20, "image_squash": None,
    }  # fmt: skip
    return MlaConfig(**(sizes | changes))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Keep threads of a small model from waiting for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> Mla:
    return random_model(_tiny_config(), seed=3)


@dataclass
class _FixedPruner:
    """Prune to given masks, and remember what was observed."""

    masks: TokenMasks | None = None
    config: PruningConfig = field(default_factory=PruningConfig)
    observed: list[Salience | None] = field(default_factory=list)
    wants_salience: bool = True
    _seen: bool = False

    def begin_step(self) -> None:
        self._seen = False

    def plan(self, geometry: TokenGeometry, frame: FrameContext | None = None) -> TokenMasks:
        waits = 3 not in self.config.stages and not self._seen
        return TokenMasks.all_kept(geometry) if waits or self.masks is None else self.masks

    def observe(self, geometry, masks, salience=None, frame=None) -> None:
        self._seen = True
        self.observed.append(salience)

    def reset(self) -> None:
        self.observed.clear()

    def report_later(self) -> type[PruningReport]:
        return PruningReport


def _random_masks(seed: int, patches: int = 16, points: int = 16) -> TokenMasks:
    generator = torch.Generator().manual_seed(seed)
    keep_2d, keep_3d = (torch.rand(n, generator=generator) < 0.4 for n in (patches, points))
    keep_2d[0] = True
    return TokenMasks(keep_2d, keep_3d)


def _observation(seed: int = 0, **changes) -> Observation:
    rng = np.random.default_rng(seed)
    parts = {
        "image": rng.integers(0, 256, (48, 64, 3), dtype=np.uint8),
        "camera": CameraModel(64, 48, 50.0, 50.0, 31.5, 23.5, DOWN),
        "points": (rng.random((64, 3)) * (0.4, 0.5, 0.1) + (0.1, -0.25, 0.0)).astype(np.float32),
        "state": np.array([0.3, 0.0, 0.2, 3.1, 0.3, -3.1, 0.5], np.float32),
        "depth": rng.random((48, 64)).astype(np.float32) + 0.3,
    }
    return Observation(**(parts | changes))


@pytest.fixture
def make_policy(tiny: Mla) -> Callable[..., MlaPolicy]:
    def make(pruner=None, model: Mla = tiny, statistics=STATISTICS, **options) -> MlaPolicy:
        policy = MlaPolicy(model, PromptTokenizer.mini(), statistics, pruner or _FixedPruner(), **options)
        policy.reset(INSTRUCTION)
        return policy

    return make


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., MlaConfig]:
    return _tiny_config


@pytest.fixture(scope="session")
def observation() -> Callable[..., Observation]:
    return _observation


@pytest.fixture(scope="session")
def random_masks() -> Callable[..., TokenMasks]:
    return _random_masks


@pytest.fixture(scope="session")
def fixed_pruner() -> type[_FixedPruner]:
    return _FixedPruner


@pytest.fixture(scope="session")
def instruction() -> str:
    return INSTRUCTION
