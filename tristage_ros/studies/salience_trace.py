"""Salience of a whole run: recorded by a policy that prunes nothing, kept in one small file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Observation
from tristage_ros.pruning import FrameContext, PruningConfig, Salience, TokenGeometry, TokenMasks
from tristage_ros.pruning.baselines import Unpruned
from tristage_ros.pruning.calibration import TraceStep

FORMAT = "tristage salience trace 1"
NAMES = tuple(field.name for field in fields(Salience))


class TraceError(ValueError):
    """Say why a file is no salience trace."""


class _Recorder(Unpruned):
    """Keep every token and every observation."""

    learns = True

    def __init__(self, config: PruningConfig) -> None:
        super().__init__(PruningConfig(s1_feature=config.s1_feature))
        self.trace: list[TraceStep] = []

    def observe(
        self,
        geometry: TokenGeometry,
        masks: TokenMasks,
        salience: Salience | None = None,
        frame: FrameContext | None = None,
    ) -> None:
        assert salience is not None  # it is always wanted
        self.trace.append(TraceStep(geometry, salience))


def record_trace(policy: MlaPolicy, instruction: str, observations: Iterable[Observation]) -> list[TraceStep]:
    """Return what every step of a run shows of all its tokens.

    The features are those that the policy's pruning settings ask for. Afterwards the policy has its own pruner back,
    and starts anew.
    """
    recorder, pruner = _Recorder(policy.pruner.config), policy.pruner
    policy.pruner = recorder
    try:
        policy.reset(instruction)
        for observation in observations:
            policy.act(observation)
    finally:
        policy.pruner = pruner
    policy.reset(instruction)
    return recorder.trace


def save_trace(path: str | Path, trace: list[TraceStep], feature: str) -> None:
    """Write a trace and the name of the feature that it was recorded with (`s1_feature`)."""
    tensors = {}
    for number, step in enumerate(trace):
        tensors[f"{number}/patch_of_point"] = step.geometry.patch_of_point.contiguous()
        tensors |= {f"{number}/{name}": getattr(step.salience, name).contiguous() for name in NAMES}
    save_file(tensors, path, {"format": FORMAT, "steps": str(len(trace)), "feature": feature})


def load_trace(path: str | Path) -> tuple[list[TraceStep], str]:
    """Return what `save_trace` wrote: the trace and its feature. Raises TraceError for any other file."""
    try:
        with safe_open(str(path), "pt") as file:
            facts = file.metadata() or {}
            if facts.get("format") != FORMAT:
                raise TraceError(f"{path} is no salience trace: its format is {facts.get('format')!r}")
            return [_step(file, number) for number in range(int(facts["steps"]))], facts["feature"]
    except SafetensorError as error:
        raise TraceError(f"{path} is no salience trace: {error}") from None


def _step(file: safe_open, number: int) -> TraceStep:
    salience = Salience(**{name: file.get_tensor(f"{number}/{name}") for name in NAMES})
    index: torch.Tensor = file.get_tensor(f"{number}/patch_of_point")
    return TraceStep(TokenGeometry(index, len(salience.feature_2d)), salience)
