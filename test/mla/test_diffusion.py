import math

import pytest
import torch

from tristage_ros.mla.model import time_encoding
from tristage_ros.mla.passes import DdimSampler, cosine_betas


def test_betas():
    betas = cosine_betas()
    assert betas[[0, 1, 2, 99]].tolist() == pytest.approx([6.3128e-4, 1.11694e-3, 1.6029e-3, 0.999], rel=1e-5)


# step, share of signal, factor of the noisy action, factor of the predicted noise
COEFFICIENTS = [
    (91, 0.01546376, 2.585088, -1.618101),
    (78, 0.10333939, 1.572266, -0.625944),
    (65, 0.25545720, 1.323076, -0.398126),
    (52, 0.44718539, 1.203286, -0.300926),
    (39, 0.64747821, 1.128043, -0.250120),
    (26, 0.82390309, 1.072609, -0.221837),
    (13, 0.94789227, 1.026794, -0.209262),
    (0, 0.99936872, 1.000316, -0.025133),
]


@pytest.mark.parametrize("index", range(8))
def test_eight_steps_have_the_known_coefficients(index):
    sampler = DdimSampler.with_steps(8)
    step, share, of_noisy, of_noise = COEFFICIENTS[index]
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    assert sampler.timesteps[index] == step
    assert sampler.alpha_bar[index] == pytest.approx(share, abs=1e-8)
    assert float(sampler.step(index, one, zero)) == pytest.approx(of_noisy, abs=1e-6)
    assert float(sampler.step(index, zero, one)) == pytest.approx(of_noise, abs=1e-6)


@pytest.mark.parametrize(("steps", "visited"), [(1, (50,)), (4, (75, 50, 25, 0)), (5, (80, 60, 40, 20, 0))])
def test_other_step_counts(steps, visited):
    assert DdimSampler.with_steps(steps).timesteps == visited


def test_an_impossible_step_count_is_refused():
    with pytest.raises(ValueError, match="16"):
        DdimSampler.with_steps(16)


def test_true_noise_leads_back_to_the_clean_action():
    sampler = DdimSampler.with_steps(8)
    clean, noise = torch.tensor([0.3, -0.7], dtype=torch.float64), torch.tensor([1.0, -2.0], dtype=torch.float64)
    x = math.sqrt(sampler.alpha_bar[0]) * clean + math.sqrt(1 - sampler.alpha_bar[0]) * noise
    for index in range(8):
        x = sampler.step(index, x, noise)
    assert x.tolist() == pytest.approx(clean.tolist())


def test_clipping_bounds_the_clean_action_in_every_step():
    sampler = DdimSampler.with_steps(8, clip=True)
    x = torch.tensor([5.0, -0.2], dtype=torch.float64)
    epsilon = torch.tensor([0.0, 0.1], dtype=torch.float64)
    stepped = sampler.step(3, x, epsilon)
    root, rest = math.sqrt(0.44718539), math.sqrt(1 - 0.44718539)
    later, remaining = math.sqrt(0.64747821), math.sqrt(1 - 0.64747821)
    bounded = later * 1 + remaining * (5 - root * 1) / rest  # 5 / root is far above 1
    untouched = later * (-0.2 - rest * 0.1) / root + remaining * 0.1
    assert stepped.tolist() == pytest.approx([bounded, untouched], abs=1e-6)


def test_time_encoding():
    encoded = time_encoding(torch.tensor([91]))[0]
    expected = [-0.99437, -0.99008, 0.61375, 0.99995, 0.10599, 0.14048, 0.7895, 0.00978]
    assert encoded[[0, 1, 64, 127, 128, 129, 192, 255]].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("index", range(8))
def test_velocity_leads_where_its_noise_leads(index):
    by_noise, by_velocity = DdimSampler.with_steps(8), DdimSampler.with_steps(8, prediction="velocity")
    clean, noise = torch.tensor([0.3, -0.7], dtype=torch.float64), torch.tensor([1.0, -2.0], dtype=torch.float64)
    share = by_noise.alpha_bar[index]
    noisy = math.sqrt(share) * clean + math.sqrt(1 - share) * noise
    velocity = math.sqrt(share) * noise - math.sqrt(1 - share) * clean
    torch.testing.assert_close(by_velocity.step(index, noisy, velocity), by_noise.step(index, noisy, noise))
