from __future__ import annotations

from math import comb

import numpy as np
import pytest

from tristage_ros.reports.statistics import change, holm, paired, proportion, smallest_difference


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


def test_newcombe_s_interval_is_that_of_a_pocket_calculator() -> None:
    """Of 20 pairs 12 succeeded twice, 5 with the first alone, 1 with the second alone, 2 never."""
    first = [True] * 12 + [True] * 5 + [False] * 1 + [False] * 2
    second = [True] * 12 + [False] * 5 + [True] * 1 + [False] * 2
    found = paired(first, second)
    # Wilson: 17 of 20 in [0.6396, 0.9476], 13 of 20 in [0.4329, 0.8188]; phi = (12 * 2 - 5 * 1 - 10) / sqrt(17*3*13*7)
    phi = 9 / 4641**0.5
    below = ((0.85 - 0.6396) ** 2 - 2 * phi * 0.2104 * 0.1688 + (0.8188 - 0.65) ** 2) ** 0.5
    above = ((0.9476 - 0.85) ** 2 - 2 * phi * 0.0976 * 0.2171 + (0.65 - 0.4329) ** 2) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.2 - below, 0.2 + above), abs=2e-4)
    assert found.p_value == pytest.approx(2 * (6 + 1) / 2**6), "five or six heads of six, both ways"


@pytest.mark.parametrize("pairs", [1, 5])
def test_five_pairs_show_nothing_whatever_they_come_to(pairs: int) -> None:
    assert smallest_difference(pairs) is None and smallest_difference(pairs, 0.5) is None


def test_the_smallest_difference_is_where_the_power_is_reached() -> None:
    # Six pairs are significant (2 / 64) only if all differ in one direction, with a chance of difference ** 6.
    assert smallest_difference(6) == pytest.approx(0.8 ** (1 / 6), abs=1e-4)
    # Of ten, six or more: with this difference that many are met in 8 of 10 trials.
    least = smallest_difference(10)
    assert least is not None
    chance = sum(comb(10, k) * least**k * (1 - least) ** (10 - k) for k in range(6, 11))
    assert chance == pytest.approx(0.8, abs=1e-4)


def test_the_smallest_difference_is_shown_as_often_as_said() -> None:
    least = smallest_difference(50, 0.4)
    assert least is not None and least > (smallest_difference(50) or 1.0), "pairs that differ both ways hide it"
    draw, shown = np.random.default_rng(3), 0
    for _ in range(400):
        kinds = draw.choice(3, 50, p=[(0.4 + least) / 2, (0.4 - least) / 2, 0.6])
        shown += paired([kind != 1 for kind in kinds], [kind != 0 for kind in kinds]).p_value <= 0.05
    assert 0.74 <= shown / 400 <= 0.86


def test_a_mean_difference_has_student_s_interval() -> None:
    found = change([3.0, 5.0, 4.0], [2.0, 2.0, 2.0])
    assert (found.mean, found.difference, found.n) == (4.0, 2.0, 3)
    assert found.high - found.difference == pytest.approx(4.302653 / 3**0.5), "t of 2 degrees of freedom, deviation 1"
    assert found.other == "2.00" and found.span == "+2.00 [-0.48, +4.48]"
    assert change([3.0], [2.0]).span == "+1.00"
