from __future__ import annotations

import torch

from tristage_ros.pruning import TokenGeometry
from tristage_ros.pruning.values import patches_with_any, sum_over_patches, value_at_points

GEOMETRY = TokenGeometry(torch.tensor([2, -1, 0, 2]), 4)


def test_points_outside_belong_to_no_patch() -> None:
    rows = torch.tensor([[1.0], [10.0], [3.0], [4.0]])
    assert sum_over_patches(GEOMETRY, rows).tolist() == [[3], [0], [5], [0]]
    assert patches_with_any(GEOMETRY).tolist() == [True, False, True, False]


def test_only_the_chosen_count() -> None:
    chosen = torch.tensor([True, True, False, False])
    assert patches_with_any(GEOMETRY, chosen).tolist() == [False, False, True, False]


def test_every_point_gets_the_value_of_its_patch() -> None:
    assert value_at_points(GEOMETRY, torch.tensor([5, 6, 7, 8]), 9).tolist() == [7, 9, 5, 7]
