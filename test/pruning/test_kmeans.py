from __future__ import annotations

from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.pruning import exact_kmeans_1d


def squares(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)


def least_cost(values: list[float], clusters: int) -> float:
    ordered = sorted(values)
    places = [i for i in range(1, len(ordered)) if ordered[i] > ordered[i - 1]]
    costs = []
    for cuts in combinations(places, min(clusters - 1, len(places))):
        ends = [0, *cuts, len(ordered)]
        costs.append(sum(squares(ordered[a:b]) for a, b in pairwise(ends)))
    return min(costs)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 6).map(float) | st.floats(0, 10, allow_subnormal=False), min_size=1, max_size=11),
    st.integers(1, 4),
)
def test_equals_brute_force(values: list[float], clusters: int) -> None:
    labels = exact_kmeans_1d(torch.tensor(values, dtype=torch.float64), clusters).tolist()
    members = [[v for v, at in zip(values, labels, strict=True) if at == label] for label in range(max(labels) + 1)]
    assert len(members) == min(clusters, len(set(values)))
    for lower, higher in pairwise(members):
        assert max(lower) < min(higher)  # in order of centre, equal values together
    assert sum(map(squares, members)) == pytest.approx(least_cost(values, clusters), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 0, 1, 1, 1, 5, 6], [0, 0, 1, 1, 1, 2, 2]),
        ([6, 1, 0, 5, 1, 0, 1], [2, 1, 0, 2, 1, 0, 1]),
        ([3, 3, 3], [0, 0, 0]),
        ([7, 1, 7, 1], [1, 0, 1, 0]),
        ([0], [0]),
        ([0, 1e-20, 1], [0, 1, 2]),
        ([-5, 5, -4], [0, 2, 1]),
    ],
)
def test_worked_numbers(values: list[float], labels: list[int]) -> None:
    assert exact_kmeans_1d(torch.tensor(values, dtype=torch.float64), 3).tolist() == labels


@pytest.mark.parametrize("size", [64, 65, 256, 300])
def test_many_values_against_every_pair_of_cuts(size: int) -> None:
    values = torch.rand(size, generator=torch.Generator().manual_seed(size), dtype=torch.float64) ** 3
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), values.sort().values.cumsum(0)])
    first, second = torch.combinations(torch.arange(1, size)).unbind(1)
    gain = sums[first] ** 2 / first + (sums[second] - sums[first]) ** 2 / (second - first)
    gain += (sums[-1] - sums[second]) ** 2 / (size - second)
    best = gain.argmax()
    sizes = torch.bincount(exact_kmeans_1d(values, 3)).tolist()
    assert sizes == [int(first[best]), int(second[best] - first[best]), int(size - second[best])]


@pytest.mark.parametrize(("shape", "clusters"), [((3, 2), 3), ((0,), 3), ((4,), 0)])
def test_bad_input(shape: tuple[int, ...], clusters: int) -> None:
    with pytest.raises(ValueError, match=rf"clusters = {clusters}"):
        exact_kmeans_1d(torch.zeros(shape), clusters)
