import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.mla.engines import CachedEngine, Prefix, RecomputeEngine, Suffix

STEPS = 3


def random_sequence(seed: int, length: int, chunk: int = 1) -> tuple[Prefix, Suffix]:
    generator = torch.Generator().manual_seed(seed)
    positions = torch.randperm(60, generator=generator)[:length].sort().values
    times = torch.randn(STEPS, 32, generator=generator)
    return Prefix(torch.randn(1, length, 32, generator=generator), positions), Suffix(
        times, torch.arange(61 + chunk)[60:]
    )


def random_actions(seed: int, branches: int = 1, chunk: int = 1) -> torch.Tensor:
    return torch.randn(branches, chunk, 32, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    length=st.integers(1, 50),
    chunk=st.integers(1, 3),
    passes=st.lists(st.sampled_from([(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (0, 3)]), min_size=1, max_size=4),
)
def test_both_engines_agree(tiny, seed, length, chunk, passes):
    """Passes are numbers of the first denoising step, and how many are side by side."""
    sequence = random_sequence(seed, length, chunk)
    engines = CachedEngine(tiny.llm, *sequence, STEPS), RecomputeEngine(tiny.llm, *sequence)
    for number, (first, branches) in enumerate(passes):
        actions = random_actions(seed + number, branches, chunk)
        cached, recomputed = (engine.run(first, actions, observe=number % 2 == 0) for engine in engines)
        torch.testing.assert_close(cached.actions, recomputed.actions, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(cached.prefix, recomputed.prefix, atol=1e-5, rtol=1e-4)
        assert (cached.attention is None) is (recomputed.attention is None) is (number % 2 == 1)
        if cached.attention is not None:
            torch.testing.assert_close(cached.attention, recomputed.attention, atol=1e-6, rtol=1e-4)


@torch.inference_mode()
def test_recompute_after_dropping_is_recompute_of_the_rest(tiny):
    prefix, suffix = random_sequence(0, 20)
    rows, actions = torch.tensor([0, 3, 4, 11, 19]), random_actions(0)
    engine = RecomputeEngine(tiny.llm, prefix, suffix)
    engine.run(0, actions)
    engine.keep(rows)
    rest = Prefix(prefix.embeddings[:, rows], prefix.positions[rows])
    torch.testing.assert_close(
        engine.run(1, actions).actions, RecomputeEngine(tiny.llm, rest, suffix).run(1, actions).actions
    )


@torch.inference_mode()
def test_dropping_from_the_cache_hides_the_dropped_keys_only(tiny):
    rows, actions = torch.tensor([0, 3, 4, 11, 19]), random_actions(0)
    engine = CachedEngine(tiny.llm, *random_sequence(0, 20))
    before = engine.run(0, actions, observe=True)
    engine.keep(torch.arange(20))
    torch.testing.assert_close(engine.run(0, actions).actions, before.actions)
    engine.keep(rows)
    after = engine.run(0, actions, observe=True)
    assert after.attention.shape == (2, 5)
    torch.testing.assert_close(after.prefix, before.prefix[:, rows])
    assert not torch.allclose(after.actions, before.actions, atol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("engine", [CachedEngine, RecomputeEngine])
def test_positions_and_steps_matter(tiny, engine):
    prefix, suffix = random_sequence(0, 20)
    moved, actions = Prefix(prefix.embeddings, torch.arange(20)), random_actions(0)
    first, second = (engine(tiny.llm, p, suffix).run(0, actions).actions for p in (prefix, moved))
    assert not torch.allclose(first, second, atol=1e-3)
    assert not torch.allclose(first, engine(tiny.llm, prefix, suffix).run(1, actions).actions, atol=1e-3)
