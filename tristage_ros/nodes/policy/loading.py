"""From the parameters of the policy node to a policy that is ready for its first frame."""

from __future__ import annotations

from typing import Any

from tristage_ros.bags.facts import OWN_SCALE
from tristage_ros.mla.loading import build_policy, check_device, warm_up
from tristage_ros.mla.memory import QUANTISED
from tristage_ros.mla.passes import Denoising, ParallelDenoising
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.nodes.policy.tuning import Tuning
from tristage_ros.pruning import PruningConfig, TriStagePruner
from tristage_ros.pruning.config import FEATURES


def loaded(settings: Any, pruning: PruningConfig) -> MlaPolicy:
    """Return the policy that the node's `settings` describe, its weights loaded and its first steps taken.

    Raises:
        OSError, ValueError and what else `build_policy` raises: it cannot be had; the message says why.
    """
    s = settings
    check_device(s.device)
    policy = build_policy(
        s.checkpoint or None,
        pruning,
        engine=s.engine,
        denoising=denoising_of(s),
        table_height=s.table_height,
        seed=s.seed,
        tokenizer=s.tokenizer or None,
        dataset=s.dataset or None,
        device=s.device,
        precision=s.dtype,
    )
    pruner = tristage_pruner(policy)
    pruner.scales |= {f: scale for f in FEATURES if (scale := getattr(s, OWN_SCALE + f))}
    warm_up(policy)
    policy.reset(s.instruction)
    return policy


def tristage_pruner(policy: MlaPolicy) -> TriStagePruner:
    """Return the pruner of a policy node's policy, which is tri-stage."""
    assert isinstance(policy.pruner, TriStagePruner)
    return policy.pruner


def denoising_of(settings: Any) -> Denoising:
    """Return how the node's `settings` want it to denoise."""
    s = settings
    parallel = ParallelDenoising(s.tolerance, s.sweeps or None) if s.denoising == "parallel" else None
    return Denoising(s.initial_noise, s.denoising_steps or None, parallel)


def in_words(policy: MlaPolicy, settings: Any, tuning: Tuning) -> str:
    """Return what a policy was made of, and what it is to do, in a line for a person."""
    s, model = settings, policy.model
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    weights = s.dtype if s.dtype in QUANTISED else str(model.dtype).removeprefix("torch.")
    return (
        f"{s.checkpoint or 'RANDOM WEIGHTS'}, {millions:.1f} M parameters in {weights} on {model.device}; "
        f"pruning {tuning}, engine {policy.engine}, denoising {s.denoising}, control {s.control}; "
        f"instruction {s.instruction!r}"
    )
