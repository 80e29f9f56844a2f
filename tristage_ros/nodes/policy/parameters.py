"""What can be set on the policy node: names, defaults, ranges, meanings."""

from __future__ import annotations

from tristage_ros.mla.engines import ENGINE_CHOICES
from tristage_ros.mla.memory import PRECISIONS
from tristage_ros.nodes.policy.messages import PARAMETERS as HEALTH_PARAMETERS
from tristage_ros.nodes.policy.tuning import OWN_SCALES
from tristage_ros.nodes.policy.tuning import PARAMETERS as PRUNER_PARAMETERS
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
    *PRUNER_PARAMETERS,
    *OWN_SCALES,
    Parameter(
        "engine",
        "auto",
        "how denoising passes are computed; openvino, onnx: as one graph of that runtime; auto: the fastest there is",
        choices=ENGINE_CHOICES,
    ),
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
    Parameter(
        "looks",
        "off",
        "key frames only: look before every step as well, or on the arm's way, so that masks are of what is there now",
        choices=("off", "arrival", "moving"),
    ),
    Parameter(
        "rate_hz", 5.0, "of steps with control:=rate, of looks with looks:=moving", "Hz", 0.1, 100.0, read_only=False
    ),
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
    Parameter(
        "table_height", 0.0, "of the table in the base frame: the model hears of heights above it", "m", -1.0, 1.0
    ),
    Parameter("max_age", 0.5, "no inference on observations older than this", "s", 0.05, 10.0),
    Parameter("sync_tolerance", 0.05, "image and cloud this close belong together", "s", 0.0, 1.0),
    Parameter(
        "rehearse",
        False,
        "before the arm can move, work on a few observations, for nothing but to say how old they are by then",
    ),
    Parameter("reset_after", 30.0, "a pause between two observations that resets the pruning state", "s", 0.5, 3600.0),
    IMAGE_TRANSPORT,
    *HEALTH_PARAMETERS,
    *STREAM_PARAMETERS,
)
