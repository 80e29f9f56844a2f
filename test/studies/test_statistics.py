from __future__ import annotations

import numpy as np
import pytest

from tristage_ros.studies.summary import holm, paired, proportion


def test_a_rate_has_its_wilson_interval() -> None:
    found = proportion([True] * 97 + [False] * 3)
    z2 = 1.959964**2
    middle = (97 + z2 / 2) / (100 + z2)
    half = 1.959964 / (100 + z2) * (97 * 3 / 100 + z2 / 4) ** 0.5
    assert (found.rate, found.low, found.high) == pytest.approx((0.97, middle - half, middle + half), abs=1e-6)


def test_no_outcomes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one episode"):
        proportion([])
    with pytest.raises(ValueError, match="2 outcomes cannot be paired with 1"):
        paired([True, True], [True])


def test_mcnemar_counts_only_episodes_that_differ() -> None:
    first = [True] * 5 + [True] * 40 + [False] * 5
    second = [False] * 5 + [True] * 40 + [False] * 5
    found = paired(first, second)
    assert (found.only_first, found.only_second, found.n) == (5, 0, 50)
    assert found.p_value == pytest.approx(2 * 0.5**5)
    assert found.difference == pytest.approx(0.1)
    assert 0 < found.low < 0.1 < found.high


def test_the_same_outcomes_leave_room_for_doubt() -> None:
    found = paired([True] * 100, [True] * 100)
    assert found.p_value == 1.0
    assert found.low == pytest.approx(-found.high)
    assert 0.03 < found.high < 0.06, "a hundred successes of both do not show that they are equal"


def test_turning_the_comparison_around_turns_the_interval_around() -> None:
    rng = np.random.default_rng(1)
    first, second = ((rng.random(60) < share).tolist() for share in (0.8, 0.5))
    one, other = paired(first, second), paired(second, first)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))


@pytest.mark.parametrize(("base", "lost", "gained"), [(0.95, 0.05, 0.5), (0.6, 0.3, 0.3)])
def test_the_interval_covers_the_truth(base: float, lost: float, gained: float) -> None:
    truth = base * (1 - lost) + (1 - base) * gained - base
    rng, covered, repeats = np.random.default_rng(2), 0, 400
    for _ in range(repeats):
        second = rng.random(100) < base
        first = np.where(second, rng.random(100) >= lost, rng.random(100) < gained)
        found = paired(first.tolist(), second.tolist())
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / repeats <= 0.995


def test_p_values_are_adjusted_as_holm_does() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0] and holm([]) == []
