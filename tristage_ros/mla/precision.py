"""Bytes per weight: passes over few tokens take as long as reading the weights does."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from torch import nn

from tristage_ros.mla.model import Mla

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


def available() -> bool:
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
    if not available():
        raise ValueError(f"weights of {weights} need torchao: pip install torchao")
    torchao = import_module("torchao.quantization")
    kinds = {"int8": torchao.Int8WeightOnlyConfig, "float8": torchao.Float8WeightOnlyConfig}
    torchao.quantize_(model.llm.layers, kinds[weights](), lambda module, name: isinstance(module, nn.Linear))
    return model
