"""What is said of a motion: of signals whose figures are known, at any rate, while it goes on and afterwards."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tristage_ros.devices.arm.smoothness import GAP, RATE, STILL, WINDOW, Smoothness, SmoothnessWindow, smoothness

COUNT = np.radians(1e-3)  # rad, of the encoders
SWING = np.array([0.2, 0.1, -0.1, 0.2, -0.2, 0.2])  # rad
PERIOD = 4.0  # s


def stamps(rate: float, seconds: float, jitter: float = 0.0) -> np.ndarray:
    n = round(rate * seconds)
    return 1e5 + np.arange(n) / rate + np.random.default_rng(0).uniform(0.0, jitter, n)


def same(one: Smoothness, other: Smoothness) -> bool:
    return bool(np.allclose(list(vars(one).values()), list(vars(other).values()), rtol=1e-6))


def swing(times: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * (times - 1e5) / PERIOD)[:, None] * SWING


def triangle(times: np.ndarray, period: float, height: float) -> np.ndarray:
    return height * np.abs(((times[:, None] + 0.01) / period) % 1.0 - 0.5) * np.ones(6)


@pytest.mark.parametrize("rate", [200.0, 100.0, 50.0, 30.0])
def test_a_sine_turns_twice_a_period_whatever_the_rate(rate: float) -> None:
    times = stamps(rate, 12.5)
    moved = smoothness(times, swing(times) + COUNT * np.round(np.random.default_rng(1).normal(size=(len(times), 6))))
    assert moved.reversals == pytest.approx(2 / (PERIOD * RATE), abs=0.004)
    assert moved.variation == pytest.approx(np.abs(SWING).sum() * 12.5 / PERIOD * 4, rel=0.02)
    analytic = math.sqrt(np.square(SWING * (2 * np.pi / PERIOD) ** 3).mean() / 2)
    assert moved.jerk == pytest.approx(analytic, abs=0.25)


def test_samples_whose_times_vary_are_no_jerk() -> None:
    even, uneven = stamps(100.0, 12.0), stamps(100.0, 12.0, jitter=5e-3)
    assert smoothness(uneven, swing(uneven)).jerk == pytest.approx(smoothness(even, swing(even)).jerk, abs=0.01)
    assert smoothness(even, swing(uneven)).jerk > 2.0  # what wrong stamps would do


def test_the_positions_are_the_means_of_the_straight_lines_between_samples() -> None:
    rng = np.random.default_rng(3)
    times, joints = np.sort(rng.uniform(0.0, 6.0, 300)), np.cumsum(rng.normal(0.0, 0.01, (300, 6)), axis=0)
    fine = np.arange(1, 6 * 20 * 500) / (RATE * 500) + 1e-6
    each = np.stack([np.interp(fine, times, joints[:, k]) for k in range(6)], 1)
    period = np.floor(fine * RATE)
    whole = np.arange(math.ceil(times[0] * RATE), math.floor(times[-1] * RATE))
    means = np.array([each[period == number].mean(axis=0) for number in whole])
    told = smoothness(times, joints)
    steps = np.diff(means, axis=0)
    assert told.variation == pytest.approx(np.abs(steps).sum(), rel=1e-3)
    assert told.jerk == pytest.approx(np.sqrt(np.square(np.diff(means, n=3, axis=0)).mean()) * RATE**3, rel=1e-3)
    assert told.reversals == pytest.approx((steps[1:] * steps[:-1] < 0.0).mean(), abs=0.01)


def test_a_sawtooth_turns_back_as_often_as_it_has_teeth() -> None:
    times = stamps(200.0, 10.0)
    assert smoothness(times, triangle(times, 0.2, 0.02)).reversals == pytest.approx(0.5, abs=0.01)  # 4 steps a tooth
    assert smoothness(times, triangle(times, 1.0, 0.02)).reversals == pytest.approx(0.1, abs=0.01)
    assert smoothness(times, times[:, None] * np.ones(6)).reversals == 0.0


@pytest.mark.parametrize("rate", [200.0, 50.0])
def test_an_arm_at_rest_does_not_turn_back_though_its_encoders_flicker(rate: float) -> None:
    times = stamps(rate, 10.0)
    flicker = COUNT * np.random.default_rng(0).integers(-1, 2, (len(times), 6))
    moved = smoothness(times, 0.5 + flicker)
    assert moved.reversals == 0.0
    assert moved.jerk < 1.0 and moved.variation < 0.02


def test_a_pause_is_no_reversal_and_coming_back_after_one_is_one() -> None:
    times, at = stamps(100.0, 6.0), np.array([0.0, 2.0, 4.0, 6.0]) + 1e5
    on = np.interp(times, at, [0.0, 0.2, 0.2, 0.4])[:, None]
    back = np.interp(times, at, [0.0, 0.2, 0.2, 0.0])[:, None]
    assert smoothness(times, on).reversals == 0.0
    steps = 4.0 * RATE  # of moving
    assert smoothness(times, back).reversals == pytest.approx(1 / steps, rel=0.05)


def test_what_moves_slower_than_noise_is_still() -> None:
    times = stamps(100.0, 4.0)
    step = np.where(np.floor(times * 5) % 2, 0.4, -0.4) * STILL
    assert smoothness(times, step[:, None]).reversals == 0.0
    assert smoothness(times, 10.0 * step[:, None]).reversals > 0.4


def test_online_equals_offline_over_the_last_seconds() -> None:
    times = stamps(200.0, 14.0, jitter=4e-3)
    joints = swing(times) + triangle(times, 0.37, 0.01)
    window = SmoothnessWindow()
    for number, (stamp, row) in enumerate(zip(times, joints, strict=True)):
        window.add(stamp, row)
        window.add(stamp, row)  # read twice
        if number in (700, 1500, 2799):
            # the window begins with a whole period; the one under way does not count yet
            first = math.floor(stamp * RATE) / RATE - WINDOW
            late = np.searchsorted(times, first, side="right") - 1
            lately = slice(max(0, late), number + 1)
            assert same(window.over(stamp), smoothness(times[lately], joints[lately]))


def test_across_a_gap_nothing_is_known_and_nothing_is_told_of_long_ago() -> None:
    window, unknown = SmoothnessWindow(), Smoothness()
    assert not window.over(1e5).known and not unknown.known
    times = stamps(100.0, 3.0)
    window_of = swing(times)
    for stamp, row in zip(times, window_of, strict=True):
        window.add(stamp, row)
    before = window.over(times[-1])
    again = times[-1] + GAP + 0.1  # somewhere else, as a target is where the arm was enabled again
    for stamp, row in zip(times - times[0] + again, window_of + 1.0, strict=True):
        window.add(stamp, row)
    after = window.over(again + 3.0)
    assert after.jerk == pytest.approx(before.jerk, rel=0.2) and after.variation < 2.0 * before.variation
    assert window.over(again + 3.0 + WINDOW - 0.5).known
    assert not window.over(again + 3.0 + WINDOW + 0.1).known
    assert not smoothness(times[:10], window_of[:10]).known
    assert not smoothness(np.zeros(0), np.zeros((0, 6))).known
