"""What the server says first, and what a client has to know: names, shapes, units, frames, model, pruning, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.serving.admission import Limits
from tristage_ros.serving.names import ENTRIES
from tristage_ros.serving.observations import Reader

ACTION_SPACE = (
    "0-2: where the tool is to be, m, relative to the tool of the observation's state, axes of the robot's base; "
    "3-5: its roll, pitch, yaw, rad, absolute, about the fixed axes of the robot's base; "
    "6: opening of the gripper, 0 closed .. 1 open"
)


def describe(
    policy: MlaPolicy,
    reader: Reader,
    limits: Limits,
    *,
    preset: str,
    checkpoint: Mapping[str, Any],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return the metadata, plain values all of them.

    Args:
        policy: that is served.
        reader: of the observations.
        limits: on clients and their messages.
        preset: name of the pruner's settings.
        checkpoint: path, bytes and sha256 of the weights; empty: random ones.
        versions: by package.
    """
    model, config, box = policy.model, policy.model.config, reader.cloud.workspace
    return {
        "server": "tristage_ros",
        "versions": dict(versions),
        "observation": {
            reader.names.of[entry]: {
                "kind": told.kind,
                "meaning": told.meaning,
                "required": "no: the server knows it" if entry in reader.names.fixed else told.required,
            }
            for entry, told in ENTRIES.items()
        },
        "actions": {"kind": f"float64 [{config.chunk}, {config.action_dim}]", "meaning": ACTION_SPACE},
        "action_horizon": config.chunk,
        "action_dim": config.action_dim,
        "frame": "the robot's base: x forward, y left, z up, m, origin at its foot",
        "workspace": {"lower": list(box.lower), "upper": list(box.upper), "unit": "m, of clouds made of depth"},
        "table_height": policy.table_height,
        "pruning": {"preset": preset, "settings": policy.pruner.config.to_dict()},
        "engine": policy.engine,
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "state_source": policy.state_source,
        "seed": policy.seed,
        "checkpoint": dict(checkpoint) or "RANDOM WEIGHTS: the actions mean nothing",
        "limits": asdict(limits),
    }
