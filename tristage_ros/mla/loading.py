"""A model with its statistics and its tokenizer, from whatever a checkpoint's path leads to."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from tristage_ros.mla.checkpoint import CheckpointError, load_checkpoint
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.initialise import random_model
from tristage_ros.mla.memory import require_memory
from tristage_ros.mla.model import Mla
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.official import load_official
from tristage_ros.mla.prompt import PromptTokenizer

logger = logging.getLogger(__name__)


def load_model(
    checkpoint: str | None, dataset: str | None, dtype: torch.dtype | None, device: str, seed: int
) -> tuple[Mla, DatasetStatistics]:
    """Return a model and its statistics; see `build_policy` for the arguments and the errors."""
    if checkpoint is None:
        dtype = dtype or torch.float32
        require_memory(MlaConfig.mini(), dtype, device)
        return random_model(MlaConfig.mini(), seed, device, dtype), DatasetStatistics.tabletop()
    if not Path(checkpoint).is_dir():
        return load_checkpoint(checkpoint, device, dtype)[:2]
    model, statistics, found = load_official(checkpoint, dataset, dtype=dtype or torch.bfloat16, device=device)
    logger.info("%s: %s, %d weights not needed", found.file, found.vintage, len(found.dropped))
    for warning in found.warnings:
        logger.warning("%s: %s", found.file, warning)
    return model, statistics


def load_tokenizer(config: MlaConfig, path: str | None, checkpoint: str | None) -> PromptTokenizer:
    """Return the tokenizer that a model needs; see `build_policy` for the arguments and the errors."""
    if checkpoint is not None and config.vocabulary == MlaConfig.mla_7b().vocabulary:
        return PromptTokenizer.llama_2(path, Path(checkpoint))
    if path is not None:
        return PromptTokenizer.from_file(path)
    if config.vocabulary != MlaConfig.mini().vocabulary:
        raise CheckpointError(
            f"{checkpoint} has a vocabulary of {config.vocabulary}: give the tokenizer.json it goes with"
        )
    return PromptTokenizer.mini()
