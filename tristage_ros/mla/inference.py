"""What is done once to a model that is only to run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tristage_ros.mla.model import Mla
from tristage_ros.mla.visual_tokens import LinearNorm


def settle(model: Mla) -> Mla:
    """Make a model as fast as it gets for good, in place, and return it: it cannot be trained or stored any more.

    Batch norms become part of the matrices before them. Where a CPU runs in float32, matrices are stored input by
    input: one row, which is all that most passes have, is multiplied in half the time, and many no slower.
    """
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LinearNorm):
                setattr(parent, name, _linear(*layer.folded()))
    for module in model.modules():
        if isinstance(module, nn.Linear) and (module.weight.device.type, module.weight.dtype) == ("cpu", torch.float32):
            module.weight.data = module.weight.data.t().contiguous().t()
    return model


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = (nn.Parameter(value, requires_grad=False) for value in (weight, bias))
    return layer.eval()
