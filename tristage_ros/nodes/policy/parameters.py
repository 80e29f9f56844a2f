"""What can be set on the policy node, and the policy that is loaded by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.memory import PRECISIONS, QUANTISED
from tristage_ros.mla.passes import Denoising, ParallelDenoising
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Observation
from tristage_ros.nodes.policy.messages import PARAMETERS as HEALTH_PARAMETERS
from tristage_ros.perception.camera import CameraModel
from tristage_ros.pruning import PruningConfig
from tristage_ros.resources import resource
from tristage_ros.ros.diagnostics import PARAMETERS as STREAM_PARAMETERS
from tristage_ros.ros.image_transport import IMAGE_TRANSPORT
from tristage_ros.ros.parameters import Parameter
from tristage_ros.ros.runner import AUTOSTART

PARAMETERS = (
    AUTOSTART,
    Parameter("checkpoint", "", ".safetensors file, or run directory of a released model; empty: random weights"),
    Parameter("dataset", "", "whose statistics of a run directory to use; empty: the only one"),
    Parameter("tokenizer", "", "Llama-2 tokenizer file of a released model; empty: beside the checkpoint"),
    Parameter("device", "cpu", "where the model runs: cpu, cuda, cuda:1, ..."),
    Parameter(
        "dtype",
        "stored",
        "of the weights; stored: as in the file; auto: bfloat16 on a CPU with AMX; int8, float8: needs torchao",
        choices=PRECISIONS,
    ),
    Parameter("allow_random_weights", False, "whether to run without a checkpoint; for simulation only"),
    Parameter(
        "instruction",
        "put the banana on the blue plate",
        "what to do; a change resets the pruning state",
        read_only=False,
    ),
    Parameter("pruning", "", "YAML file of the pruning preset; empty: config/pruning/robot.yaml"),
    Parameter("engine", "cached", "how the denoising passes are computed", choices=("cached", "recompute")),
    Parameter(
        "denoising",
        "sequential",
        "denoising steps one after the other, or all at once until they agree",
        choices=("sequential", "parallel"),
    ),
    Parameter("denoising_steps", 0, "fewer are faster and less exact; 0: as many as the model has", low=0, high=100),
    Parameter("initial_noise", "fresh", "what is denoised; zero: actions repeat", choices=("fresh", "zero")),
    Parameter("tolerance", 0.01, "when parallel steps agree, in shares of half an action's range", "", 0.0, 1.0),
    Parameter("sweeps", 0, "parallel evaluations at most, an approximation; 0: until they agree", low=0, high=100),
    Parameter(
        "control",
        "keyframe",
        "infer when the last action is reached, at a rate, or on every frame (for replay)",
        choices=("keyframe", "rate", "frame"),
    ),
    Parameter("rate_hz", 5.0, "control rate with control:=rate", "Hz", 0.1, 100.0),
    Parameter(
        "approach_speed",
        0.2,
        "at which control:=rate goes towards the model's key frames; 0: its actions are steps of 1 / rate_hz",
        "m/s",
        0.0,
        1.0,
    ),
    Parameter(
        "frame_sends",
        "rate",
        "on every frame with control:=frame: steps, as control:=rate does, or key frames",
        choices=("rate", "keyframe"),
    ),
    Parameter("seed", 0, "seed of weights (without a checkpoint), noise and sampling", low=0, high=2**31 - 1),
    Parameter("threads", 2, "CPU threads of the model", low=1, high=64),
    Parameter("cameras_file", "", "camera extrinsics; empty: config/cameras.yaml"),
    Parameter("max_age", 0.5, "no inference on observations older than this", "s", 0.05, 10.0),
    Parameter("sync_tolerance", 0.05, "image and cloud this close belong together", "s", 0.0, 1.0),
    Parameter("reset_after", 30.0, "a pause between two observations that resets the pruning state", "s", 0.5, 3600.0),
    IMAGE_TRANSPORT,
    *HEALTH_PARAMETERS,
    *STREAM_PARAMETERS,
)


# From the values of these parameters to a policy that is ready for its first frame.


def loaded(settings: Any) -> MlaPolicy:
    """Return the policy that the node's `settings` describe, its weights loaded and its first steps taken.

    Raises:
        OSError, ValueError and what else `build_policy` raises: it cannot be had; the message says why.
    """
    s = settings
    check_device(s.device)
    policy = build_policy(
        s.checkpoint or None,
        pruning_config(s.pruning or str(resource("config", "pruning", "robot.yaml"))),
        engine=s.engine,
        denoising=denoising_of(s),
        seed=s.seed,
        tokenizer=s.tokenizer or None,
        dataset=s.dataset or None,
        device=s.device,
        precision=s.dtype,
    )
    _warm_up(policy, s.instruction)
    return policy


def _warm_up(policy: MlaPolicy, instruction: str) -> None:
    """Take a few steps on nothing, all tokens and pruned, so that the first real ones are not the slow ones."""
    blank = Observation(
        image=np.zeros((480, 640, 3), np.uint8),
        camera=CameraModel(640, 480, 600.0, 600.0, 319.5, 239.5),
        points=np.random.default_rng(0).uniform(-0.5, 0.5, (1024, 3)).astype(np.float32),
        state=np.zeros(7, np.float32),
    )
    policy.reset(instruction)
    for _ in range(3):
        policy.act(blank)
    policy.reset(instruction)


def pruning_config(path: str) -> PruningConfig:
    """Return the pruning preset in a YAML file.

    Raises:
        OSError: there is no such file.
        ValueError: it is no preset; the message names the file and what is wrong with it.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return PruningConfig.from_dict(yaml.safe_load(file) or {})
    except (ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error


def denoising_of(settings: Any) -> Denoising:
    """Return how the node's `settings` want it to denoise."""
    s = settings
    parallel = ParallelDenoising(s.tolerance, s.sweeps or None) if s.denoising == "parallel" else None
    return Denoising(s.initial_noise, s.denoising_steps or None, parallel)


def in_words(policy: MlaPolicy, settings: Any) -> str:
    """Return what a policy was made of, and what it is to do, in a line for a person."""
    s, model = settings, policy.model
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    weights = s.dtype if s.dtype in QUANTISED else str(model.dtype).removeprefix("torch.")
    preset = Path(s.pruning).stem if s.pruning else "robot"
    return (
        f"{s.checkpoint or 'RANDOM WEIGHTS'}, {millions:.1f} M parameters in {weights} on {model.device}; "
        f"pruning {preset}, engine {s.engine}, denoising {s.denoising}, control {s.control}; "
        f"instruction {s.instruction!r}"
    )


def check_device(name: str) -> None:
    """Raise ValueError when torch cannot run on the device."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:  # an unknown name, and a torch without CUDA
        raise ValueError(f"device {name!r} is not available here: {str(error).splitlines()[0]}") from error
