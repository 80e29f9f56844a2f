import pytest
import torch
from torch import nn

from tristage_ros.mla.model import random_model
from tristage_ros.training.objective import Heads
from tristage_ros.training.optimiser import Optimiser


@pytest.fixture
def parts(config):
    return random_model(config, 3).requires_grad_(True), Heads(config.width, 2)


def give_gradients(modules: tuple[nn.Module, ...], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in (p for module in modules for p in module.parameters()):
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_hidden_matrices_move_orthogonally_and_the_rest_by_its_sign(parts):
    """The first update of AdamW is the rate per weight; that of Muon has singular values that are nearly alike."""
    model, _ = parts
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    give_gradients(parts, 0)
    Optimiser(*parts, weight_decay=0.0).step(0.01, gradient_norm=1e9)
    moved = {name: p.detach() - before[name] for name, p in model.named_parameters()}
    hidden = moved["llm.layers.0.self_attn.o_proj.weight"]
    singular = torch.linalg.svdvals(hidden)
    assert singular.max() / singular.min() < 3
    assert singular.max() / singular.min() < torch.linalg.cond(torch.randn(hidden.shape)) / 3
    assert hidden.square().mean().sqrt() == pytest.approx(0.2 * 0.01, rel=0.2)
    for name in ("llm.embed_tokens.weight", "x_embedder.fc1.weight", "final_layer.mlp.fc2.weight", "llm.norm.weight"):
        torch.testing.assert_close(moved[name].abs(), torch.full_like(moved[name], 0.01), rtol=1e-3, atol=1e-6)


def test_gradients_are_bounded_and_forgotten(parts):
    optimiser = Optimiser(*parts, weight_decay=0.0)
    give_gradients(parts, 1)
    norm = torch.cat([p.grad.flatten() for p in optimiser.parameters]).norm()
    assert optimiser.step(0.01, gradient_norm=1.0) == pytest.approx(float(norm), rel=1e-4)
    assert all(p.grad is None for p in optimiser.parameters)


def test_every_parameter_is_moved_and_vectors_do_not_decay(parts):
    """At gradients of zero nothing but the decay moves."""
    model, heads = parts
    before = {id(p): p.detach().clone() for part in parts for p in part.parameters()}
    optimiser = Optimiser(model, heads, weight_decay=0.5)
    for p in optimiser.parameters:
        p.grad = torch.zeros_like(p)
    optimiser.step(0.1, gradient_norm=1.0)
    assert {id(p) for p in optimiser.parameters} == set(before)
    for p in optimiser.parameters:
        torch.testing.assert_close(p.detach(), before[id(p)] * (0.95 if p.dim() > 1 else 1.0))


def test_an_older_pytorch_is_named(parts, monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(ValueError, match=r"PyTorch 2\.9 or later"):
        Optimiser(*parts, weight_decay=0.0)
