import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.mla.passes import CachedEngine, Prefix, RecomputeEngine


def random_prefix(seed: int, length: int) -> tuple[Prefix, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    positions = torch.randperm(60, generator=generator)[:length].sort().values
    return Prefix(torch.randn(1, length, 32, generator=generator), positions), torch.tensor([60, 61])


@torch.inference_mode()
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31), length=st.integers(1, 50))
def test_both_engines_agree(tiny, seed, length):
    prefix, suffix_positions = random_prefix(seed, length)
    engines = [engine(tiny.llm, prefix, suffix_positions) for engine in (CachedEngine, RecomputeEngine)]
    generator = torch.Generator().manual_seed(seed + 1)
    for observe in (False, True):
        suffix = torch.randn(1, 2, 32, generator=generator)
        cached, recomputed = (engine.run(suffix, observe) for engine in engines)
        torch.testing.assert_close(cached.suffix, recomputed.suffix, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(cached.prefix, recomputed.prefix, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cached.attention, recomputed.attention, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_recompute_after_dropping_is_recompute_of_the_rest(tiny):
    prefix, suffix_positions = random_prefix(0, 20)
    rows, suffix = torch.tensor([0, 3, 4, 11, 19]), torch.randn(1, 2, 32)
    engine = RecomputeEngine(tiny.llm, prefix, suffix_positions)
    engine.run(suffix)
    engine.keep(rows)
    rest = Prefix(prefix.embeddings[:, rows], prefix.positions[rows])
    torch.testing.assert_close(
        engine.run(suffix).suffix, RecomputeEngine(tiny.llm, rest, suffix_positions).run(suffix).suffix
    )


@torch.inference_mode()
def test_dropping_from_the_cache_hides_the_dropped_keys_only(tiny):
    prefix, suffix_positions = random_prefix(0, 20)
    rows, suffix = torch.tensor([0, 3, 4, 11, 19]), torch.randn(1, 2, 32)
    engine = CachedEngine(tiny.llm, prefix, suffix_positions)
    before = engine.run(suffix, observe=True)
    engine.keep(torch.arange(20))
    torch.testing.assert_close(engine.run(suffix).suffix, before.suffix)
    engine.keep(rows)
    after = engine.run(suffix, observe=True)
    assert after.attention.shape == (2, 5)
    torch.testing.assert_close(after.prefix, before.prefix[:, rows])
    assert not torch.allclose(after.suffix, before.suffix, atol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("engine", [CachedEngine, RecomputeEngine])
def test_positions_matter(tiny, engine):
    prefix, suffix_positions = random_prefix(0, 20)
    moved = Prefix(prefix.embeddings, torch.arange(20))
    suffix = torch.randn(1, 2, 32)
    first, second = (engine(tiny.llm, p, suffix_positions).run(suffix).suffix for p in (prefix, moved))
    assert not torch.allclose(first, second, atol=1e-3)
