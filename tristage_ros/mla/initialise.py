"""Random weights for a model without a checkpoint: seeded, and harmless to sample from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.model import Mla
from tristage_ros.mla.point_tokens import NormStatistics

PATH_GAIN = 4.0  # of the noisy action over what the blocks add to its channels
HEAD_GAIN = 0.1  # of a head that predicts velocity


def random_model(config: MlaConfig, seed: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Mla:
    """Return a model in eval mode whose weights depend on `seed` alone; the global generators are left untouched."""
    with torch.device("meta"):
        model = Mla(config).to(dtype)
    model.to_empty(device=device)
    generator = torch.Generator(device=device).manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            _initialise(module, generator)
        _connect_noise(model)
    return model.eval().requires_grad_(False)


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Keep the variance of what passes through: one over the fan-in for weights, one for norms and embeddings."""
    if isinstance(module, NormStatistics):
        module.running_mean.zero_()
        module.running_var.fill_(1.0)
    for name, parameter in module.named_parameters(recurse=False):
        if name == "bias":
            parameter.zero_()
        elif isinstance(module, nn.Embedding):
            parameter.normal_(generator=generator)
        elif parameter.dim() == 1:
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, parameter[0].numel() ** -0.5, generator=generator)


def _connect_noise(model: Mla) -> None:
    """Lead the noisy action straight to the output, so that the head predicts about the noise that it was given.

    Without it every denoising step amplifies the noise, eightfold in all, and each action ends at a limit of its range.
    A pair of GELUs passes any value: gelu(u) - gelu(-u) = u.
    """
    dim = model.config.action_dim
    eye = torch.eye(dim, device=model.device, dtype=model.dtype)
    pair = torch.cat([eye, -eye])  # (2 dim, dim)

    def connect(weight: Tensor, block: Tensor) -> None:
        weight[: len(block)] = 0
        weight[: len(block), : block.shape[1]] = block

    connect(model.x_embedder.fc1.weight, pair)
    connect(model.x_embedder.fc2.weight, PATH_GAIN * pair.T)
    for block in model.llm.layers:
        for name in ("self_attn.o_proj", "mlp.down_proj"):  # what the blocks add is small beside it
            block.get_submodule(name).weight.mul_((2 * model.config.layers) ** -0.5)  # type: ignore[operator]
    if model.config.prediction == "velocity":  # of a model that knows nothing it is 0
        model.final_layer.mlp.fc2.weight.mul_(HEAD_GAIN)
        return
    connect(model.final_layer.mlp.fc1.weight, pair)
    spread = (1 + dim * PATH_GAIN**2 / model.config.width) ** 0.5  # of the token that carries the action
    connect(model.final_layer.mlp.fc2.weight, spread / PATH_GAIN * pair.T)
