import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.mla.passes import DdimSampler, Denoising, ParallelDenoising, Passes, sequential

SAMPLERS = {
    f"{prediction}, {steps}, {clip}": DdimSampler.with_steps(steps, clip, prediction)
    for prediction in ("noise", "velocity")
    for steps in (8, 4, 2, 1)
    for clip in (False, True)
}


EIGHT = SAMPLERS["velocity, 8, False"]


class RandomSystem:
    """Stand in for a model: a smooth, nonlinear function of noisy action and timestep; counts what it evaluates."""

    def __init__(self, seed: int, steepness: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.matrix = torch.randn(7, 7, generator=generator, dtype=torch.float64) * steepness / 7**0.5
        self.shift = torch.randn(8, 7, generator=generator, dtype=torch.float64)
        self.noise = torch.randn(1, 1, 7, generator=generator, dtype=torch.float64)
        self.evaluated: list[int] = []

    def predict(self, first: int, noisy: torch.Tensor) -> torch.Tensor:
        return torch.tanh(noisy @ self.matrix + self.shift[first : first + len(noisy), None])

    def run(self, passes: Passes):
        first, noisy = next(passes)
        while True:
            self.evaluated.append(len(noisy))
            try:
                first, noisy = passes.send(self.predict(first, noisy))
            except StopIteration as end:
                return end.value


class RandomDenoiser(RandomSystem):
    """Predict the velocity towards a clean action that depends on the noisy one only a little, as a trained model."""

    def predict(self, first: int, noisy: torch.Tensor) -> torch.Tensor:
        share = torch.tensor(EIGHT.alpha_bar[first : first + len(noisy)], dtype=torch.float64)[:, None, None]
        clean = torch.tanh(noisy @ self.matrix + self.shift[0])
        return (share.sqrt() * noisy - clean) / (1 - share).sqrt()


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), steepness=st.sampled_from([0.1, 1.0, 3.0, 10.0]))
def test_as_many_sweeps_as_steps_are_sequential_denoising(sampler, seed, steepness):
    system = RandomSystem(seed, steepness)
    wanted = system.run(sequential(sampler, system.noise))
    found = system.run(ParallelDenoising(tolerance=0.0).passes(sampler, system.noise))
    torch.testing.assert_close(found.action, wanted.action, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(found.clean, wanted.clean, atol=1e-8, rtol=1e-8)


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**31), sweeps=st.integers(1, 8))
def test_every_sweep_settles_a_step_for_good(seed, sweeps):
    sampler, system = EIGHT, RandomSystem(seed, 3.0)
    wanted = system.run(sequential(sampler, system.noise))
    system.evaluated.clear()
    found = system.run(ParallelDenoising(0.0, sweeps).passes(sampler, system.noise))
    torch.testing.assert_close(found.clean[:sweeps], wanted.clean[:sweeps], atol=1e-8, rtol=1e-8)
    assert system.evaluated == list(range(8, 0, -1))[: len(system.evaluated)]  # what is settled is left out
    assert len(system.evaluated) <= sweeps


@pytest.mark.long
def test_it_stays_within_its_tolerance_and_needs_fewer_sweeps_for_a_wider_one():
    sampler, used = EIGHT, {}
    for tolerance in (1e-1, 1e-2, 1e-4):
        sweeps = []
        for seed in range(1000):
            system = RandomDenoiser(seed, 0.3)
            wanted = system.run(sequential(sampler, system.noise))
            system.evaluated.clear()
            found = system.run(ParallelDenoising(tolerance).passes(sampler, system.noise))
            assert float((found.action - wanted.action).abs().max()) <= tolerance
            sweeps.append(len(system.evaluated))
        used[tolerance] = sum(sweeps) / len(sweeps)
    assert used[1e-1] < used[1e-2] < used[1e-4] < 8, used


@pytest.mark.parametrize(("system", "steepness", "share"),
                         [(RandomDenoiser, 1.0, 1.0), (RandomDenoiser, 10.0, 0.99), (RandomSystem, 1.0, 1.0),
                          (RandomSystem, 10.0, 1.0)])  # fmt: skip
def test_the_tolerance_holds_for_what_contracts_and_nearly_always_for_what_does_not(system, steepness, share):
    errors = []
    for seed in range(1000):
        model = system(seed, steepness)
        wanted = model.run(sequential(EIGHT, model.noise))
        found = model.run(ParallelDenoising(1e-2).passes(EIGHT, model.noise))
        errors.append(float((found.action - wanted.action).abs().max()))
    assert sum(error <= 1e-2 for error in errors) >= share * len(errors)
    assert max(errors) <= 5e-2


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**31), chunk=st.integers(1, 6), spread=st.sampled_from([0.0, 1.0, 100.0]))
def test_whatever_is_expected_as_many_sweeps_as_steps_are_sequential_denoising(seed, chunk, spread):
    system, generator = RandomSystem(seed, 3.0), torch.Generator().manual_seed(seed)
    noise = torch.randn(1, chunk, 7, generator=generator, dtype=torch.float64)
    expected = spread * torch.randn(8, chunk, 7, generator=generator, dtype=torch.float64)
    wanted = system.run(sequential(EIGHT, noise))
    found = system.run(ParallelDenoising(0.0, sweeps=100).passes(EIGHT, noise, expected))
    torch.testing.assert_close(found.action, wanted.action, atol=1e-8, rtol=1e-8)


def test_a_model_that_fails_ends_after_as_many_sweeps_as_steps():
    system = RandomSystem(0)
    system.matrix.fill_(torch.nan)
    found = system.run(ParallelDenoising().passes(EIGHT, system.noise))
    assert system.evaluated == list(range(8, 0, -1)) and found.action.isnan().all()


@pytest.mark.parametrize(("denoising", "sweeps"), [(Denoising("zero", parallel=ParallelDenoising(1e-3)), 1),
                                                   (Denoising("fresh", parallel=ParallelDenoising(1e-3)), 5),
                                                   (Denoising("zero"), 8)])  # fmt: skip
def test_only_parallel_denoising_of_zeros_begins_where_the_step_before_ended(denoising, sweeps):
    system = RandomDenoiser(3, 0.3)
    noise = torch.zeros_like(system.noise)
    before = system.run(denoising.passes(EIGHT, noise, None)).clean
    system.evaluated.clear()
    system.run(denoising.passes(EIGHT, noise, before))
    assert len(system.evaluated) == sweeps


def test_what_is_expected_shortens_the_way_and_does_not_change_its_end():
    sampler, system = EIGHT, RandomDenoiser(3, 0.3)
    setting = ParallelDenoising(1e-3)
    cold = system.run(setting.passes(sampler, system.noise))
    sweeps, system.evaluated = len(system.evaluated), []
    warm = system.run(setting.passes(sampler, system.noise, cold.clean))
    assert len(system.evaluated) == 1 < sweeps
    torch.testing.assert_close(warm.action, cold.action, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("settings", "text"), [({"tolerance": -1.0}, "-1.0"), ({"tolerance": float("nan")}, "nan"),
                                                ({"sweeps": 0}, "sweeps = 0")])  # fmt: skip
def test_a_bad_setting_is_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        ParallelDenoising(**settings)


def test_noise_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="'some' must be fresh or zero"):
        Denoising(initial_noise="some")
