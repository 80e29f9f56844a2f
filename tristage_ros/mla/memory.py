"""Whether a model fits on a device, asked before it is put there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.model import Mla

PRECISIONS = (torch.float32, torch.bfloat16)
PROMPT_ROOM = 64  # tokens of a long instruction


class MemoryShortageError(ValueError):
    """Say how much memory is lacking, and what would fit."""


@cache
def parameter_count(config: MlaConfig) -> int:
    """Return the number of weights."""
    with torch.device("meta"):
        return sum(tensor.numel() for tensor in Mla(config).state_dict().values())


def needed_bytes(config: MlaConfig, dtype: torch.dtype) -> int:
    """Return what weights, keys and values, and the activations of one block take, in bytes."""
    tokens = config.point_tokens + config.image_tokens + PROMPT_ROOM
    per_token = config.width * (2 * config.layers + 8) + 3 * config.ffn_width
    return (parameter_count(config) + tokens * per_token) * dtype.itemsize


def free_bytes(device: torch.device) -> int | None:
    """Return what is free on a device, in bytes; None where that cannot be told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if device.type != "cpu" or not meminfo.is_file():
        return None
    lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def require_memory(config: MlaConfig, dtype: torch.dtype, device: str | torch.device) -> None:
    """Raise MemoryShortageError where a model would not fit on a device."""
    free = free_bytes(torch.device(device))
    if free is not None and needed_bytes(config, dtype) > free:
        raise MemoryShortageError(shortage(config, dtype, device, free))


def shortage(config: MlaConfig, dtype: torch.dtype, device: str | torch.device, free: int) -> str:
    """Return a sentence about a model that does not fit into `free` bytes, and about what would."""
    fitting = [f"{_name(p)} ({_gb(needed_bytes(config, p))})" for p in PRECISIONS if needed_bytes(config, p) <= free]
    mini = f"the mini model ({_gb(needed_bytes(MlaConfig.mini(), torch.float32))})"
    return (
        f"the model needs {_gb(needed_bytes(config, dtype))} as {_name(dtype)}, but {device} has {_gb(free)} free: "
        f"what would fit is {' or '.join([*fitting, mini])}; else use a larger device or end what else runs on it"
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
