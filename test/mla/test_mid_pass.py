from __future__ import annotations

import pytest
import torch

from tristage_ros.mla.engines import Prefix, Suffix, make_engine
from tristage_ros.mla.llama import rotary_angles
from tristage_ros.mla.mid_pass import MidPass, MidPassEngine
from tristage_ros.mla.model import random_model

POSITIONS = torch.arange(3, 23)
SUFFIX_POSITIONS = torch.tensor([30, 31])
ROWS = torch.tensor([0, 3, 4, 11, 19])


@pytest.fixture(scope="module")
def llm(tiny_config):
    return random_model(tiny_config(layers=5), 1).llm.double()


def prefix_and_suffix(seed: int = 0) -> tuple[Prefix, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(1, 22, 32, generator=generator, dtype=torch.float64)
    return Prefix(draw[:, :20], POSITIONS), draw[:, 20:]


def behind(suffix: torch.Tensor) -> Suffix:
    """Two denoising steps, the second of which the suffix has."""
    return Suffix(torch.cat([suffix[0, :1].flip(1), suffix[0, :1]]), SUFFIX_POSITIONS)


def by_masking(llm, prefix: Prefix, suffix: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Run all tokens through all blocks, hiding the dropped ones from the blocks from `layer` on; no row ever goes."""
    x = torch.cat([prefix.embeddings, suffix], 1)
    positions = torch.cat([prefix.positions, SUFFIX_POSITIONS])
    stays = torch.cat([ROWS, torch.tensor([20, 21])])
    received = torch.zeros(llm.config.heads, len(ROWS))
    for index in range(llm.config.layers):
        if index == layer:
            x, positions = x[:, stays], positions[stays]
        x, attention = llm.part(slice(index, index + 1))(x, positions, watched=torch.tensor([-2, -1]) + len(positions))
        received += attention[:, : len(ROWS)] if index >= layer else attention[:, ROWS]
    return x, received / llm.config.layers


@torch.inference_mode()
@pytest.mark.parametrize("name", ["cached", "recompute"])
@pytest.mark.parametrize("layer", [1, 2, 4])
def test_later_blocks_run_on_the_kept_rows_and_early_ones_on_all(llm, name, layer):
    prefix, suffix = prefix_and_suffix()
    engine = MidPassEngine(name, llm, prefix, behind(suffix), MidPass(layer, 1, lambda shown: ROWS))
    engine.run(0, torch.randn_like(suffix[:, 1:]))  # whatever ran before leaves no trace
    output = engine.run(1, suffix[:, 1:], observe=True)
    expected, received = by_masking(llm, prefix, suffix, layer)
    torch.testing.assert_close(output.actions, expected[:, -1:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.prefix, expected[:, :-2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.attention.double(), received.double(), rtol=1e-5, atol=1e-6)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["cached", "recompute"])
def test_keeping_everything_changes_nothing(llm, name):
    prefix, suffix = prefix_and_suffix(1)
    plain = make_engine(name, llm, prefix, behind(suffix)).run(1, suffix[:, 1:], observe=True)
    mid = MidPassEngine(name, llm, prefix, behind(suffix), MidPass(3, None, lambda shown: None))
    output = mid.run(1, suffix[:, 1:], observe=True)
    for part in ("actions", "prefix", "attention"):
        torch.testing.assert_close(getattr(output, part), getattr(plain, part), rtol=1e-5, atol=1e-6)


@torch.inference_mode()
@pytest.mark.parametrize(("queries", "count"), [(1, 1), (4, 4), (None, 20), (99, 20)])
@pytest.mark.parametrize("layer", [1, 3])
def test_the_choice_sees_the_attention_of_the_block_before(llm, queries, count, layer):
    prefix, suffix = prefix_and_suffix(2)
    seen = []

    def choose(shown):
        seen.append(shown.attention)

    MidPassEngine("cached", llm, prefix, behind(suffix), MidPass(layer, queries, choose))
    before = llm.part(slice(0, layer - 1))(prefix.embeddings, POSITIONS)[0] if layer > 1 else prefix.embeddings
    _, expected = llm.part(slice(layer - 1, layer))(before, POSITIONS, watched=torch.arange(20 - count, 20))
    torch.testing.assert_close(seen[0], expected)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["cached", "recompute"])
def test_rows_can_be_dropped_after_a_pass(llm, name):
    prefix, suffix = prefix_and_suffix(3)
    engine, expected = (
        MidPassEngine(name, llm, prefix, behind(suffix), MidPass(1, 1, lambda shown, rows=rows: rows))
        for rows in (ROWS, ROWS[[0, 3]])
    )
    before = engine.run(1, suffix[:, 1:]).actions
    engine.keep(torch.tensor([0, 3]))
    after = engine.run(1, suffix[:, 1:]).actions
    assert not torch.allclose(before, after)
    if name == "recompute":  # the cached rows have seen the dropped ones
        torch.testing.assert_close(after, expected.run(1, suffix[:, 1:]).actions)


@torch.inference_mode()
def test_a_new_prefix_is_taken_where_it_is_recomputed(llm):
    (prefix, suffix), (other, _) = prefix_and_suffix(4), prefix_and_suffix(5)
    choice = MidPass(2, 1, lambda shown: ROWS)
    cached, recomputed = (MidPassEngine(name, llm, prefix, behind(suffix), choice) for name in ("cached", "recompute"))
    for engine in (cached, recomputed):
        engine.renew(lambda: other)
    expected = MidPassEngine("recompute", llm, other, behind(suffix), choice).run(1, suffix[:, 1:]).actions
    torch.testing.assert_close(recomputed.run(1, suffix[:, 1:]).actions, expected)
    assert not torch.allclose(cached.run(1, suffix[:, 1:]).actions, expected)


@pytest.mark.parametrize("layer", [0, 5])
def test_a_layer_that_is_not_there_is_refused(llm, layer):
    prefix, suffix = prefix_and_suffix()
    with pytest.raises(ValueError, match=f"mid_layer = {layer}"):
        MidPassEngine("cached", llm, prefix, behind(suffix), MidPass(layer, 1, lambda shown: None))


# Dropped for good: the passes after the first know the kept rows alone.


def cached_later(llm, prefix: Prefix, suffix: torch.Tensor, layer: int) -> torch.Tensor:
    """Run all tokens block by block; the suffix sees no dropped row, other rows do in the blocks before `layer`."""
    x, positions = torch.cat([prefix.embeddings, suffix], 1), torch.cat([prefix.positions, SUFFIX_POSITIONS])
    stays = torch.cat([ROWS, torch.tensor([20, 21])])
    seen = torch.ones(22, 22, dtype=torch.bool).tril()
    seen[20:, :20] = torch.isin(torch.arange(20), ROWS)
    for index in range(llm.config.layers):
        if index == layer:
            x, positions, seen = x[:, stays], positions[stays], seen[stays][:, stays]
        x, _ = llm.part(slice(index, index + 1))(x, positions, seen=seen)
    return x[:, -1:]


@torch.inference_mode()
@pytest.mark.parametrize("layer", [1, 2, 4])
@pytest.mark.parametrize("name", ["cached", "recompute"])
def test_dropped_for_good_the_first_pass_is_the_same_and_later_ones_have_the_kept_rows_alone(llm, name, layer):
    prefix, suffix = prefix_and_suffix(6)
    engine = MidPassEngine(name, llm, prefix, behind(suffix), MidPass(layer, 1, lambda shown: ROWS, for_good=True))
    first = engine.run(1, suffix[:, 1:], observe=True)
    expected, received = by_masking(llm, prefix, suffix, layer)
    torch.testing.assert_close(first.actions, expected[:, -1:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(first.attention.double(), received.double(), rtol=1e-5, atol=1e-6)
    later = engine.run(0, suffix.flip(2)[:, 1:], observe=True)
    assert later.prefix.shape[1] == later.attention.shape[1] == len(ROWS)
    if name == "cached":
        torch.testing.assert_close(
            later.actions, cached_later(llm, prefix, suffix.flip(2), layer), rtol=1e-5, atol=1e-5
        )
        return
    x = torch.cat([prefix.embeddings[:, ROWS], suffix.flip(2)], 1)  # a sequence that never had the others
    positions = torch.cat([POSITIONS[ROWS], SUFFIX_POSITIONS])
    alone, attention = llm(x, positions, watched=torch.tensor([5, 6]))
    torch.testing.assert_close(later.actions, alone[:, -1:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(later.attention.double(), attention[:, :5].double(), rtol=1e-5, atol=1e-6)
    engine.renew(lambda: Prefix(prefix.embeddings[:, ROWS].flip(2), POSITIONS[ROWS]))
    other, _ = llm(torch.cat([prefix.embeddings[:, ROWS].flip(2), suffix], 1), positions)
    torch.testing.assert_close(engine.run(1, suffix[:, 1:]).actions, other[:, -1:], rtol=1e-5, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["cached", "recompute"])
def test_with_nothing_dropped_for_good_is_for_nothing(llm, name):
    prefix, suffix = prefix_and_suffix(7)
    engine = MidPassEngine(name, llm, prefix, behind(suffix), MidPass(1, 0, lambda shown: None, for_good=True))
    expected = make_engine(name, llm, prefix, behind(suffix)).run(1, suffix[:, 1:]).actions
    for _ in range(2):
        torch.testing.assert_close(engine.run(1, suffix[:, 1:]).actions, expected, rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_the_choice_sees_states_and_keys_of_the_block_before(llm):
    prefix, suffix = prefix_and_suffix(8)
    seen = []
    MidPassEngine("cached", llm, prefix, behind(suffix), MidPass(2, 0, seen.append))
    between, _ = llm.part(slice(0, 1))(prefix.embeddings, POSITIONS)
    after, _ = llm.part(slice(1, 2))(between, POSITIONS)
    block = llm.layers[1]
    angles = rotary_angles(POSITIONS, llm.config.width // llm.config.heads)
    _, keys, _ = block.self_attn.project(block.input_layernorm(between), angles)
    assert seen[0].attention is None
    torch.testing.assert_close(seen[0].hidden, after[0])
    torch.testing.assert_close(seen[0].keys, keys[0])
