from __future__ import annotations

from itertools import product

import pytest
import torch

from tristage_ros.pruning.stages import (
    BACKGROUND,
    OBJECT,
    ROBOT,
    fuse,
    modality_candidates,
    newest_weight,
    semantic_candidates,
    semantic_sets,
    smooth,
)
from tristage_ros.pruning.values import Candidates

NOTHING, ONLY_2D, ONLY_3D, BOTH = set(), {"2D"}, {"3D"}, {"2D", "3D"}


def named(candidates: Candidates) -> list[set[str]]:
    pairs = torch.stack([candidates.keep_2d, candidates.keep_3d], dim=1).tolist()
    return [{name for name, kept in zip(("2D", "3D"), pair, strict=True) if kept} for pair in pairs]


def of_sets(*sets: set[str]) -> Candidates:
    return Candidates(torch.tensor(["2D" in s for s in sets]), torch.tensor(["3D" in s for s in sets]))


@pytest.mark.parametrize(
    ("window", "beta", "predicted"),
    [(3, 0.5, [1, 1.5, 2.25, 3.125]), (9, 0.5, [1, 1.5, 2, 2.5]), (1, 0.5, [1, 1.5, 2.25, 3.125]), (2, 0, [1, 2, 3])],
)
def test_prediction(window: int, beta: float, predicted: list[float]) -> None:
    value = torch.zeros(1)
    for count, expected in enumerate(predicted, start=1):
        weight = newest_weight(torch.tensor([count]), window, beta)
        value = smooth(value, torch.tensor([float(count)]), weight)
        assert float(value) == pytest.approx(expected)


def test_constant_input_predicts_exactly_itself() -> None:
    value, constant = torch.zeros(1), torch.tensor([0.1])
    for count in range(1, 20):
        value = smooth(value, constant, newest_weight(torch.tensor([count]), 7, 0.85))
        assert torch.equal(value, constant)


@pytest.mark.parametrize(
    ("m_3d", "has_points", "expected"),
    [
        (0.05, True, ONLY_2D),
        (0.08, True, BOTH),  # strict
        (0.10, True, BOTH),
        (0.20, True, BOTH),  # strict
        (0.21, True, ONLY_3D),
        (0.21, False, ONLY_2D),  # nothing there in 3D
        (0.10, False, ONLY_2D),
    ],
)
def test_modality_candidates(m_3d: float, has_points: bool, expected: set[str]) -> None:
    assert named(modality_candidates(torch.tensor([m_3d]), torch.tensor([has_points]), 0.08, 0.20)) == [expected]


@pytest.mark.parametrize(
    ("attention", "clusters", "expected"),
    [
        ([0.0, 0.1, 5.0, 9.0], 3, [BACKGROUND, BACKGROUND, ROBOT, OBJECT]),
        ([4.0, 1.0, 4.0], 3, [OBJECT, BACKGROUND, OBJECT]),
        ([2.0, 2.0, 2.0], 3, [OBJECT, OBJECT, OBJECT]),
        ([0.0, 0.0, 0.0], 3, [OBJECT, OBJECT, OBJECT]),
        ([0.0, 0.1, 5.0, 9.0], 2, [BACKGROUND, BACKGROUND, OBJECT, OBJECT]),
        ([0.0, 3.0, 6.0, 9.0], 4, [BACKGROUND, ROBOT, ROBOT, OBJECT]),
    ],
)
def test_semantic_sets(attention: list[float], clusters: int, expected: list[int]) -> None:
    assert semantic_sets(torch.tensor(attention), clusters).tolist() == expected


def test_semantic_candidates() -> None:
    cases = [  # set, M_2d, M_3d, kept should it be background, candidates; the means are 0.5 and 0.25
        (BACKGROUND, 0.3125, 0.25, True, BOTH),
        (BACKGROUND, 0.25, 0.5, False, NOTHING),
        (ROBOT, 0.0, 0.5, False, BOTH),
        (ROBOT, 1.0, 0.25, False, ONLY_2D),  # the mean itself is not above it
        (ROBOT, 0.5, 0.25, True, NOTHING),
        (OBJECT, 0.9375, 0.0, False, ONLY_2D),
        (OBJECT, 0.0625, 0.0, False, BOTH),
        (OBJECT, 0.9375, 0.25, False, BOTH),
    ]
    sets, m_2d, m_3d, keep, expected = (list(column) for column in zip(*cases, strict=True))
    tensors = (torch.tensor(column) for column in (sets, [m_2d, m_3d], keep))
    assert named(semantic_candidates(*tensors, 0.9, 0.02)) == expected


@pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, 0.7])
@pytest.mark.parametrize("size", [77, 100, 253])
def test_equal_indicators_exceed_no_mean(value: float, size: int) -> None:
    equal = torch.full((2, size), value)
    never = torch.zeros(size, dtype=torch.bool)
    candidates = semantic_candidates(torch.full((size,), ROBOT), equal, never, 0.9, 0.02)
    assert named(candidates) == [NOTHING] * size


@pytest.mark.parametrize(("first", "second"), list(product([ONLY_2D, ONLY_3D, BOTH], [NOTHING, ONLY_2D, BOTH])))
def test_fusion(first: set[str], second: set[str]) -> None:
    assert named(fuse(of_sets(first), of_sets(second))) == [first & second or second]
