"""Static passes give what the cached engine gives, in whatever order prefixes and suffixes come."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from tristage_ros.mla.captured import BUCKET, CapturedEngine, StaticPasses, padded
from tristage_ros.mla.engines import CachedEngine, Front, Prefix, Suffix
from tristage_ros.mla.llama import Llama
from tristage_ros.mla.model import Mla

STEPS = 4


def a_suffix(llm: Llama, chunk: int = 1) -> Suffix:
    times = torch.randn(STEPS, llm.config.width, generator=torch.Generator().manual_seed(chunk))
    return Suffix(times, torch.arange(300, 301 + chunk))


def a_prefix(llm: Llama, length: int, generator: torch.Generator) -> Prefix:
    positions = torch.randperm(300, generator=generator)[:length].sort().values
    return Prefix(torch.randn(1, length, llm.config.width, generator=generator), positions)


@torch.inference_mode()
@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    steps=st.lists(
        st.tuples(st.integers(1, 70), st.integers(1, 4), st.integers(1, 3), st.booleans(), st.floats(0, 1)),
        min_size=1,
        max_size=4,
    ),
)
def test_control_steps_are_those_of_the_cached_engine(tiny: Mla, seed: int, steps: list) -> None:
    """Steps over the same buffers: tokens of the prefix, steps side by side, chunk, first pass observed, share kept."""
    passes, generator = StaticPasses(tiny.llm, recordings=3), torch.Generator().manual_seed(seed)
    for length, branches, chunk, observe, share in steps:
        prefix = a_prefix(tiny.llm, length, generator)
        static = CapturedEngine(passes, prefix, a_suffix(tiny.llm, chunk), branches)
        cached = CachedEngine(tiny.llm, prefix, a_suffix(tiny.llm, chunk), branches)
        for first, now, seen in ((0, branches, observe), (STEPS - branches, branches, not observe), (2, 1, True)):
            actions = torch.randn(now, chunk, tiny.config.width, generator=generator)
            ours, theirs = (engine.run(first, actions, seen) for engine in (static, cached))
            torch.testing.assert_close(ours.actions, theirs.actions, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(ours.prefix, theirs.prefix, atol=1e-5, rtol=1e-4)
            assert (ours.attention is None) is (theirs.attention is None) is (not seen)
            if seen:
                torch.testing.assert_close(ours.attention, theirs.attention, atol=1e-6, rtol=1e-4)
            rows = (torch.rand(cached.cache.prefix, generator=generator) <= share).nonzero()[:, 0]
            if len(rows):
                static.keep(rows)
                cached.keep(rows)


@torch.inference_mode()
def test_few_shapes_come_up_and_few_recordings_are_kept(tiny: Mla) -> None:
    assert [padded(n) for n in (1, BUCKET, BUCKET + 1)] == [BUCKET, BUCKET, 2 * BUCKET]
    passes, generator = StaticPasses(tiny.llm, recordings=4), torch.Generator().manual_seed(0)
    shapes = set()
    for length in range(1, 100):
        engine = CapturedEngine(passes, a_prefix(tiny.llm, length, generator), a_suffix(tiny.llm))
        for step in range(3):
            engine.run(step, torch.zeros(1, 1, tiny.config.width))
        shapes |= set(passes._recorded)
        assert len(passes._recorded) <= 4
    assert len(shapes) == 2 * padded(99) // BUCKET


@torch.inference_mode()
def test_what_a_bucket_held_before_is_never_seen(tiny: Mla) -> None:
    passes, generator = StaticPasses(tiny.llm), torch.Generator().manual_seed(0)
    prefix, actions = a_prefix(tiny.llm, 20, generator), torch.randn(1, 1, tiny.config.width, generator=generator)
    suffix = a_suffix(tiny.llm)
    engine = CapturedEngine(passes, prefix, suffix)
    once = [engine.run(step, actions).actions.clone() for step in range(2)]
    long = a_prefix(tiny.llm, 60, generator)
    CapturedEngine(passes, Prefix(long.embeddings * 1e3, long.positions), suffix).run(0, actions)
    engine = CapturedEngine(passes, prefix, suffix)
    for step, before in enumerate(once):
        torch.testing.assert_close(engine.run(step, actions).actions, before)


@pytest.mark.parametrize("branches", [1, 3])
def test_nothing_in_a_pass_depends_on_what_a_tensor_holds(tiny: Mla, branches: int) -> None:
    """So that it can be recorded: with tensors that hold nothing, asking one for a value is an error."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        passes = StaticPasses(tiny.llm)
        for more, front in (
            (1, Front(1, branches, 0, STEPS)),
            (0, Front(1, branches, 0, STEPS)),
            (-1, Front(1, branches, 0, branches)),
        ):
            passes.play(5, front, more)
        with pytest.raises(DataDependentOutputException):
            float(passes.hidden.sum())
