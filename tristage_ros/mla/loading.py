"""A model with its statistics and its tokenizer, or a policy of them, from whatever a checkpoint's path leads to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tristage_ros.mla.checkpoint import CheckpointError, load_checkpoint
from tristage_ros.mla.config import MlaConfig, StateSource
from tristage_ros.mla.engines import EngineName
from tristage_ros.mla.inference import settle
from tristage_ros.mla.memory import loaded_as, quantise, require_memory
from tristage_ros.mla.model import Mla, random_model
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.official import load_official, run_directory
from tristage_ros.mla.passes import SEQUENTIAL, Denoising
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.mla.scales import load_scales
from tristage_ros.mla.values import Observation
from tristage_ros.perception.camera import CameraModel
from tristage_ros.pruning import PruningConfig, TriStagePruner, make_pruner
from tristage_ros.pruning.baselines import METHODS, Baseline

logger = logging.getLogger(__name__)

WARMING = "put the banana on the blue plate"  # an instruction for steps on nothing


def load_model(
    checkpoint: str | None, dataset: str | None, dtype: torch.dtype | None, device: str, seed: int
) -> tuple[Mla, DatasetStatistics]:
    """Return a model and its statistics; see `build_policy` for the arguments and the errors."""
    if checkpoint is None:
        dtype = dtype or torch.float32
        require_memory(MlaConfig.mini(), dtype, device)
        return settle(random_model(MlaConfig.mini(), seed, device, dtype)), DatasetStatistics.tabletop()
    if run_directory(checkpoint) is None:
        model, statistics, _ = load_checkpoint(checkpoint, device, dtype)
        return settle(model), statistics
    model, statistics, found = load_official(checkpoint, dataset, dtype=dtype or torch.bfloat16, device=device)
    about = (found.file, found.vintage, model.config.state_source, len(found.dropped))
    logger.info("%s: %s, the state is the %s one, %d weights not needed", *about)
    for warning in found.warnings:
        logger.warning("%s: %s", found.file, warning)
    return settle(model), statistics


def load_tokenizer(config: MlaConfig, path: str | None, checkpoint: str | None) -> PromptTokenizer:
    """Return the tokenizer that a model needs; see `build_policy` for the arguments and the errors."""
    if checkpoint is not None and config.vocabulary == MlaConfig.mla_7b().vocabulary:
        return PromptTokenizer.llama_2(path, run_directory(checkpoint) or Path(checkpoint))
    if path is not None:
        return PromptTokenizer.from_file(path)
    if config.vocabulary != MlaConfig.mini().vocabulary:
        raise CheckpointError(
            f"{checkpoint} has a vocabulary of {config.vocabulary}: give the tokenizer.json it goes with"
        )
    return PromptTokenizer.mini()


def build_policy(
    checkpoint: str | None,
    pruning: PruningConfig,
    *,
    method: str = "tristage",
    method_options: Mapping[str, Any] | None = None,
    engine: EngineName | Literal["auto"] = "cached",
    denoising: Denoising = SEQUENTIAL,
    state_source: StateSource | None = None,
    table_height: float = 0.0,
    seed: int = 0,
    tokenizer: str | None = None,
    dataset: str | None = None,
    precision: str = "stored",
    device: str = "cpu",
) -> MlaPolicy:
    """Return a policy with tri-stage pruning, or with another method to compare it with.

    Args:
        checkpoint: `.safetensors` file, or run directory of a released model, or one of the `.pt` files in it; None
            makes a mini model with random weights.
        pruning: settings of the pruner; a scale that they leave to the model is the one kept beside its weights.
        method: name of the pruning method, one of `tristage_ros.pruning.baselines.METHODS`.
        method_options: what that method alone can be told.
        engine: see `MlaPolicy`.
        denoising: see `MlaPolicy`.
        state_source: see `MlaPolicy`.
        table_height: see `MlaPolicy`.
        seed: of the noise, and of random weights.
        tokenizer: tokenizer file of a model that does not use the mini's own; see `PromptTokenizer.llama_2`.
        dataset: which statistics of a run directory to use; may be left out where there is only one data set.
        precision: of the weights, one of `tristage_ros.mla.memory.PRECISIONS`; `stored` is as in a file, bfloat16
            for a run directory, float32 for random ones. The 8-bit ones need torchao.
        device: where the model runs; pruning runs on the CPU.

    Raises CheckpointError, MemoryShortageError, FileNotFoundError or ValueError where something does not fit.
    """
    dtype, quantised = loaded_as(precision)
    model, statistics = load_model(checkpoint, dataset, dtype, device, seed)
    if quantised is not None:
        quantise(model, quantised)
    own = {"scales": load_scales(checkpoint)} if issubclass(METHODS.get(method, Baseline), TriStagePruner) else {}
    return MlaPolicy(
        model,
        load_tokenizer(model.config, tokenizer, checkpoint),
        statistics,
        make_pruner(method, pruning, **own | dict(method_options or {})),
        engine=engine,
        denoising=denoising,
        state_source=state_source,
        table_height=table_height,
        seed=seed,
        random_weights=checkpoint is None,
    )


def warm_up(policy: MlaPolicy) -> None:
    """Take a few steps on nothing, all tokens and pruned, so that the first real ones are not the slow ones.

    The state of the policy stays as it is.
    """
    blank = Observation(
        image=np.zeros((480, 640, 3), np.uint8),
        camera=CameraModel(640, 480, 600.0, 600.0, 319.5, 239.5),
        points=np.random.default_rng(0).uniform(-0.5, 0.5, (1024, 3)).astype(np.float32),
        state=np.zeros(7, np.float32),
    )
    # Blank frames have no scale that is worth to be kept.
    other = policy.another(TriStagePruner(policy.pruner.config.carried(1.0)))
    other.reset(WARMING)
    for _ in range(3):
        other.act(blank)


def check_device(name: str) -> None:
    """Raise ValueError when torch cannot run on the device."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:  # an unknown name, and a torch without CUDA
        raise ValueError(f"device {name!r} is not available here: {str(error).splitlines()[0]}") from error
