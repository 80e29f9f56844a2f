"""Static passes give what the cached engine gives, in whatever order prefixes and suffixes come."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from tristage_ros.mla.captured import BUCKET, CapturedEngine, StaticPasses, padded
from tristage_ros.mla.llama import Llama
from tristage_ros.mla.model import Mla
from tristage_ros.mla.passes import CachedEngine, Prefix

SUFFIX = torch.tensor([300, 301])


def a_prefix(llm: Llama, length: int, generator: torch.Generator) -> Prefix:
    positions = torch.randperm(300, generator=generator)[:length].sort().values
    return Prefix(torch.randn(1, length, llm.config.width, generator=generator), positions)


@torch.inference_mode()
@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    steps=st.lists(
        st.tuples(st.integers(1, 70), st.integers(1, 4), st.booleans(), st.floats(0, 1)), min_size=1, max_size=4
    ),
)
def test_control_steps_are_those_of_the_cached_engine(tiny: Mla, seed: int, steps: list) -> None:
    """Steps over the same buffers: tokens of the prefix, suffixes side by side, first pass observed, share kept."""
    passes, generator = StaticPasses(tiny.llm, recordings=3), torch.Generator().manual_seed(seed)
    for length, branches, observe, share in steps:
        prefix = a_prefix(tiny.llm, length, generator)
        static = CapturedEngine(passes, prefix, SUFFIX, branches)
        cached = CachedEngine(tiny.llm, prefix, SUFFIX, branches)
        for now, seen in ((branches, observe), (branches, not observe), (1, True)):
            suffix = torch.randn(1, 2 * now, tiny.config.width, generator=generator)
            ours, theirs = (engine.run(suffix, seen) for engine in (static, cached))
            torch.testing.assert_close(ours.suffix, theirs.suffix, atol=1e-5, rtol=1e-4)
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
        engine = CapturedEngine(passes, a_prefix(tiny.llm, length, generator), SUFFIX)
        for _ in range(2):
            engine.run(torch.zeros(1, 2, tiny.config.width))
        shapes |= set(passes._recorded)
        assert len(passes._recorded) <= 4
    assert len(shapes) == 2 * padded(101) // BUCKET


@torch.inference_mode()
def test_what_a_bucket_held_before_is_never_seen(tiny: Mla) -> None:
    passes, generator = StaticPasses(tiny.llm), torch.Generator().manual_seed(0)
    prefix, suffix = a_prefix(tiny.llm, 20, generator), torch.randn(1, 2, tiny.config.width, generator=generator)
    engine = CapturedEngine(passes, prefix, SUFFIX)
    once = [engine.run(suffix).suffix.clone() for _ in range(2)]
    long = a_prefix(tiny.llm, 60, generator)
    CapturedEngine(passes, Prefix(long.embeddings * 1e3, long.positions), SUFFIX).run(suffix)
    engine = CapturedEngine(passes, prefix, SUFFIX)
    for before in once:
        torch.testing.assert_close(engine.run(suffix).suffix, before)


@pytest.mark.parametrize("branches", [1, 3])
def test_nothing_in_a_pass_depends_on_what_a_tensor_holds(tiny: Mla, branches: int) -> None:
    """So that it can be recorded: with tensors that hold nothing, asking one for a value is an error."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        passes = StaticPasses(tiny.llm)
        count = 2 * branches
        for observe in (False, True):
            passes.together(padded(5 + count), count, 2, observe)
            passes.behind(padded(5 + count), count, 2, observe)
        with pytest.raises(DataDependentOutputException):
            float(passes.hidden.sum())
