from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.pruning.decision import budget_size, excess, keep_best, most_urgent, with_anchor


@pytest.mark.parametrize(
    ("tokens", "rate", "bucket", "size"),
    [
        (512, 0.7, 16, 160),  # 153.6 -> 154 -> 160
        (512, 0.5, 16, 256),
        (512, 0.7, 1, 154),
        (500, 0.0, 16, 500),  # never above what exists
        (20, 0.99, 16, 0),
        (512, 0.8, 64, 128),
    ],
)
def test_budget_size(tokens: int, rate: float, bucket: int, size: int) -> None:
    assert budget_size(tokens, rate, bucket) == size


tokens = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    min_size=1,
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(tokens, st.integers(-5, 45))  # below 0: what protection takes from the other modality may be more than there is
def test_keeps_the_best_in_order(rows: list[tuple[bool, bool, float]], size: int) -> None:
    protected, candidate, attention = map(torch.tensor, zip(*rows, strict=True))
    keep = keep_best(protected, candidate, attention, size)
    ranked = sorted(range(len(rows)), key=lambda i: (*(-value for value in rows[i]), i))
    best = set(ranked[: max(size, 0)]) | {i for i, row in enumerate(rows) if row[0]}
    assert keep.nonzero()[:, 0].tolist() == sorted(best)
    assert int(keep.sum()) == max(min(size, len(rows)), sum(row[0] for row in rows))
    assert int(excess(protected, size)) == max(0, sum(row[0] for row in rows) - size)


@pytest.mark.parametrize(
    ("protected", "candidate", "attention", "expected"),
    [
        ([0, 0, 1], [1, 0, 1], [0.9, 0.5, 0.1], [0, 0, 1]),  # one is protected already
        ([0, 0, 0], [0, 1, 1], [0.9, 0.1, 0.5], [0, 0, 1]),  # the best candidate
        ([0, 0, 0], [0, 1, 0], [0.9, 0.0, 0.5], [0, 1, 0]),  # even without attention
        ([0, 0, 0], [0, 0, 0], [0.1, 0.9, 0.9], [0, 1, 0]),  # no candidate: the best of all
        ([0, 0, 0], [0, 0, 0], [0.0, 0.0, 0.0], [1, 0, 0]),
    ],
)
def test_anchor(protected: list[int], candidate: list[int], attention: list[float], expected: list[int]) -> None:
    result = with_anchor(torch.tensor(protected).bool(), torch.tensor(candidate).bool(), torch.tensor(attention))
    assert result.int().tolist() == expected


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=30), st.integers(0, 35))
def test_the_most_urgent_of_those_watched(rows: list[tuple[bool, int]], count: int) -> None:
    watched, urgency = map(torch.tensor, zip(*rows, strict=True))
    wanted = sorted((i for i, row in enumerate(rows) if row[0]), key=lambda i: (-rows[i][1], i))
    assert most_urgent(watched, urgency, count).nonzero()[:, 0].tolist() == sorted(wanted[:count])
