from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tristage_ros.pruning import Salience, TokenGeometry, TokenMasks
from tristage_ros.pruning.checks import checked_magnitudes
from tristage_ros.pruning.stages import (
    attention_indicators,
    attention_share,
    feature_indicators,
    orthogonal_part,
    salience_of_patches,
)


def row(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_orthogonal_part_and_its_indicators() -> None:
    alpha_2d, alpha_3d = row(1, 1), row(1, 0)
    assert orthogonal_part(torch.stack([alpha_2d, alpha_3d])).tolist() == [[0.5, -0.5]]
    m_2d, m_3d, total = attention_indicators(torch.stack([alpha_2d, alpha_3d]))
    assert (float(m_2d), float(m_3d), float(total)) == pytest.approx((2 / 3, 1 / 3, 3))


@pytest.mark.parametrize(
    ("alpha_2d", "alpha_3d", "expected"),
    [
        (row(0, 0), row(1, 2), (0, 1, 3)),  # nothing to be parallel to
        (row(1, 2), row(0, 0), (1, 0, 3)),
        (row(0, 0), row(0, 0), (0, 0, 0)),
        (row(0.1, 0.7), row(0.3, 2.1), (0.25, 0, 3.2)),  # parallel: no rounding error may remain
        (row(0.1), row(0.7), (0.125, 0, 0.8)),  # one head is always parallel
        (row(1e-30, 1e-30), row(1e-30, 0), (2 / 3, 1 / 3, 3e-30)),
    ],
)
def test_attention_indicators(alpha_2d: Tensor, alpha_3d: Tensor, expected: tuple[float, float, float]) -> None:
    m_2d, m_3d, total = (float(value) for value in attention_indicators(torch.stack([alpha_2d, alpha_3d])))
    assert (m_2d, total) == pytest.approx((expected[0], expected[2]))
    assert m_3d == (0 if expected[1] == 0 else pytest.approx(expected[1]))


def test_feature_indicators() -> None:
    m_2d, m_3d = feature_indicators(torch.tensor([[3.0, 2.0, 0.0], [1.0, 0.0, 0.0]]))
    assert m_2d.tolist() == [0.75, 1, 0]
    assert m_3d.tolist() == [0.25, 0, 0]


def test_gathering_by_patch() -> None:
    geometry = TokenGeometry(torch.tensor([0, -1, 2, 2, 2, 3]), 5)
    masks = TokenMasks(torch.tensor([1, 1, 0, 0, 0]).bool(), torch.tensor([1, 1, 1, 1, 0, 0]).bool())
    nan = torch.nan
    salience = Salience(
        feature_2d=torch.tensor([1.0, 2.0, nan, nan, nan]),
        feature_3d=torch.tensor([5.0, 99.0, 2.0, 4.0, nan, nan], dtype=torch.float16),
        attention_2d=torch.tensor([[0.1], [0.2], [nan], [nan], [nan]]),
        attention_3d=torch.tensor([[1.0], [99.0], [2.0], [4.0], [nan], [nan]], dtype=torch.bfloat16),
    )
    patches = salience_of_patches(geometry, masks, checked_magnitudes(masks, salience))
    assert patches.observed[0].tolist() == [True, True, False, False, False]
    assert patches.observed[1].tolist() == [True, True, True, False, False]  # 1 is observed empty, 4 not observed
    assert patches.kept_3d.tolist() == [True, False, True, False, False]
    assert patches.feature_3d[:3].tolist() == [5, 0, 3]  # mean over those kept
    assert patches.attention_3d[:3, 0].tolist() == [1, 0, 9]  # 6 over two of three tokens
    assert patches.magnitudes[0, :2, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("attention", "seen", "share"),
    [
        ([1.0, 2.0, 5.0], [True, True, True], 1.0),
        ([1.0, 2.0, 5.0], [True, False, True], 0.75),
        ([1.0, 2.0, 5.0], [False, False, False], 0.0),
        ([0.0, 0.0, 0.0], [True, False, False], 1.0),
    ],
)
def test_attention_share(attention: list[float], seen: list[bool], share: float) -> None:
    assert float(attention_share(torch.tensor(attention), torch.tensor(seen))) == share


def test_attention_share_is_exactly_one_at_full_observation() -> None:
    attention = torch.rand(1000, generator=torch.Generator().manual_seed(1))
    assert float(attention_share(attention, torch.ones(1000, dtype=torch.bool))) == 1.0
