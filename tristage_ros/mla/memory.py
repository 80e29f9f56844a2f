"""The bytes of a model: whether it fits on a device, asked before it is put there, and how many a weight takes."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import nn

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.model import Mla

PROPOSED = (torch.float32, torch.bfloat16)
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
    fitting = [f"{_name(p)} ({_gb(needed_bytes(config, p))})" for p in PROPOSED if needed_bytes(config, p) <= free]
    mini = f"the mini model ({_gb(needed_bytes(MlaConfig.mini(), torch.float32))})"
    return (
        f"the model needs {_gb(needed_bytes(config, dtype))} as {_name(dtype)}, but {device} has {_gb(free)} free: "
        f"what would fit is {' or '.join([*fitting, mini])}; else use a larger device or end what else runs on it"
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


# Bytes per weight: passes over few tokens take as long as reading the weights does.

Quantised = Literal["int8", "float8"]
QUANTISED: tuple[Quantised, ...] = get_args(Quantised)
PRECISIONS = ("stored", "auto", "float32", "bfloat16", *QUANTISED)


def loaded_as(name: str) -> tuple[torch.dtype | None, Quantised | None]:
    """Return the dtype to load weights in, None for that of the file, and what to quantise them to afterwards.

    `auto` is bfloat16 where a processor multiplies such matrices by itself (AMX), which is faster there, else `stored`.
    Raises ValueError for what is none of `PRECISIONS`.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision = {name!r} must be one of {', '.join(PRECISIONS)}")
    if name == "auto":
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return torch.bfloat16 if capabilities.get("amx_bf16") else None, None
    for kind in QUANTISED:
        if name == kind:
            return None, kind
    return None if name == "stored" else getattr(torch, name), None


def has_torchao() -> bool:
    """Tell whether torchao is installed."""
    try:
        return find_spec("torchao") is not None
    except ValueError:  # it is marked as missing
        return False


def quantise(model: Mla, weights: Quantised) -> Mla:
    """Store the linear layers of the decoder's blocks in 8 bits, in place, and return the model.

    Every output channel has a scale of its own; the arithmetic stays as it was. What is rounded away shows in the
    actions: `tristage bench --only weights` says how much. Raises ValueError for another kind, or without torchao.
    """
    if weights not in QUANTISED:
        raise ValueError(f"weights = {weights!r} must be one of {', '.join(QUANTISED)}")
    if not has_torchao():
        raise ValueError(f"weights of {weights} need torchao: pip install torchao")
    torchao = import_module("torchao.quantization")
    kinds = {"int8": torchao.Int8WeightOnlyConfig, "float8": torchao.Float8WeightOnlyConfig}
    torchao.quantize_(model.llm.layers, kinds[weights](), lambda module, name: isinstance(module, nn.Linear))
    return model
