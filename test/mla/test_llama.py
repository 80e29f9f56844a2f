import copy
import math

import pytest
import torch

from tristage_ros.mla.llama import KvCache, Llama, RmsNorm, attention_received
from tristage_ros.mla.model import FinalLayer, Mla, VarianceNorm


def rms(x, weight):
    return weight * x / torch.sqrt((x * x).mean() + 1e-5)


def turned(x, position):
    """Rotate the pairs (i, i + half) of one head by their angles."""
    half, out = len(x) // 2, x.clone()
    for i in range(half):
        angle = position * 1e4 ** (-2 * i / len(x))
        out[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
        out[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
    return out


def reference(llm: Llama, x: torch.Tensor, positions: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Run token by token and head by head; also return every token's attention, [layers, heads, S, S]."""
    heads, size = llm.config.heads, llm.config.width // llm.config.heads
    x, weights = list(x), torch.zeros(llm.config.layers, heads, len(x), len(x), dtype=torch.float64)
    for layer, block in enumerate(llm.layers):
        weight = {name.split(".")[-2]: t for name, t in block.state_dict().items()}  # as checkpoints call them
        normed = [rms(t, block.input_layernorm.weight) for t in x]
        q, k, v = ([weight[p] @ t for t in normed] for p in ("q_proj", "k_proj", "v_proj"))
        for i in range(len(x)):
            out = []
            for h in range(heads):
                part = slice(h * size, (h + 1) * size)
                query = turned(q[i][part], positions[i])
                scores = [float(query @ turned(k[j][part], positions[j])) / math.sqrt(size) for j in range(i + 1)]
                weights[layer, h, i, : i + 1] = torch.tensor(scores, dtype=torch.float64).softmax(0)
                out.append(sum(weights[layer, h, i, j] * v[j][part] for j in range(i + 1)))
            x[i] = x[i] + weight["o_proj"] @ torch.cat(out)
        for i in range(len(x)):
            t = rms(x[i], block.post_attention_layernorm.weight)
            gate = weight["gate_proj"] @ t
            x[i] = x[i] + weight["down_proj"] @ (gate * torch.sigmoid(gate) * (weight["up_proj"] @ t))
    return torch.stack(x), weights


@pytest.fixture
def llm(tiny: Mla) -> Llama:
    return copy.deepcopy(tiny.llm).double()


POSITIONS = [0, 1, 3, 4, 9, 12, 13, 14]  # as pruning leaves them
LAST = torch.tensor([6, 7])


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(1, len(POSITIONS), 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_blocks_are_those_of_the_plain_formula(llm, x):
    with torch.no_grad():
        hidden, received = llm(x, torch.tensor(POSITIONS), watched=LAST)
        expected, weights = reference(llm, x[0], POSITIONS)
    torch.testing.assert_close(hidden[0], expected, rtol=1e-4, atol=1e-5)  # norms and angles are float32
    torch.testing.assert_close(received.double(), weights[:, :, -2:].mean((0, 2)), rtol=1e-4, atol=1e-6)


def test_what_is_in_front_of_the_cache_sees_the_prefix_and_never_changes_it(llm, x):
    positions = torch.tensor(POSITIONS)
    with torch.no_grad():
        whole, received = llm(x, positions, watched=LAST)
        cache = KvCache(llm.config, 2, 6, x)
        first = llm.run(x[:, :6], llm.angles(positions[:6]), cache.writer(2, 6))
        seen = torch.tensor([[True, False], [True, True]])
        seen = torch.cat([seen, seen.new_ones(2, 6)], 1)
        for last in (torch.randn_like(x[:, 6:]), x[:, 6:]):
            second = llm.run(last, llm.angles(positions[6:]), cache.writer(0, 2), 2, seen)
        shares = attention_received(cache.queries, cache.store[0], seen).mean((0, 1, 3))
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(shares.roll(-2, 1), received)


def test_norm_adds_its_eps_to_the_mean_square():
    x = torch.tensor([[0.001, -0.002, 0.0, 0.002]])
    torch.testing.assert_close(RmsNorm(4, 1e-5)(x), x / math.sqrt(9e-6 / 4 + 1e-5))


@pytest.mark.parametrize(("final_norm", "square"), [("variance", 14 / 3), ("rms", 50 / 4)])
def test_the_head_has_either_norm(tiny_config, final_norm, square):
    norm = FinalLayer(tiny_config(width=4, heads=2, action_dim=1, final_norm=final_norm)).norm_final
    x = torch.tensor([[1.0, 2.0, 3.0, 6.0]])
    torch.testing.assert_close(norm(x), x / math.sqrt(square))


def test_final_norm_uses_the_unbiased_variance_and_does_not_centre():
    x = torch.tensor([[1.0, 2.0, 3.0, 6.0]])
    expected = x / math.sqrt(14 / 3 + 1e-6)  # mean 3, squared deviations 4 + 1 + 0 + 9
    torch.testing.assert_close(VarianceNorm(4)(x), expected)
