from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tristage_ros.mla.checkpoint import save_checkpoint
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.model import random_model
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.studies.attempt import Attempts


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a checkpoint of random weights that is quick to run; it has the mini's tokenizer."""
    config = MlaConfig(
        width=32, layers=4, heads=2, ffn_width=48, vocabulary=MlaConfig.mini().vocabulary, image_size=96, patch_size=2,
        image_width=16, image_heads=2, points=256, groups=(128, 64), neighbours=8, point_base=6, point_width=20,
        denoising_steps=4,
    )  # fmt: skip
    path: Path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(path, random_model(config, seed=1), DatasetStatistics.tabletop(), {})
    return str(path)


@pytest.fixture(scope="module")
def attempts(tiny_checkpoint: str) -> Iterator[Attempts]:
    """Return what runs episodes with it."""
    made = Attempts(tiny_checkpoint)
    yield made
    made.close()
