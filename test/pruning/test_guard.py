from __future__ import annotations

import pytest
import torch

from tristage_ros.pruning.guard import View, changed_patches, remember

NAN = torch.nan
CPU = torch.device("cpu")


def view(color: list[float], depth: list[float]) -> View:
    return View(torch.tensor(color)[:, None].expand(-1, 3), torch.tensor(depth))


@pytest.mark.parametrize(
    ("color", "depth", "expected"),
    [
        (0.1, None, [False, True, False, False]),
        (None, 0.02, [False, False, True, False]),
        (0.1, 0.02, [False, True, True, False]),
        (0.5, 0.5, [False, False, False, False]),
        (None, None, [False, False, False, False]),
    ],
)
def test_changed_patches(color: float | None, depth: float | None, expected: list[bool]) -> None:
    seen = view([0.5, 0.5, 0.5, NAN], [1.0, 1.0, 1.0, 1.0])
    now = view([0.55, 0.7, 0.5, 0.9], [1.01, NAN, 0.9, NAN])
    assert changed_patches(now, seen, color, depth).tolist() == expected


def test_colour_moves_by_the_mean_over_channels() -> None:
    seen = View(torch.full((1, 3), 0.5), torch.zeros(1))
    now = View(torch.tensor([[0.8, 0.5, 0.5]]), torch.zeros(1))
    assert changed_patches(now, seen, 0.09, None).tolist() == [True]
    assert changed_patches(now, seen, 0.11, None).tolist() == [False]


def test_remembers_what_was_seen_only() -> None:
    seen = view([0.1, 0.1, 0.1, 0.1], [1.0, 1.0, 1.0, 1.0])
    now = view([0.9, 0.9, NAN, 0.9], [2.0, 2.0, 2.0, NAN])
    saw_2d, saw_3d = torch.tensor([1, 0, 1, 1]).bool(), torch.tensor([0, 1, 1, 1]).bool()
    after = remember(now, seen, saw_2d, saw_3d)
    assert after.color[:, 0].tolist() == pytest.approx([0.9, 0.1, 0.1, 0.9])
    assert after.depth.tolist() == [1.0, 2.0, 2.0, 1.0]


def test_nothing_has_moved_before_anything_was_seen() -> None:
    assert not changed_patches(view([0.5] * 4, [1.0] * 4), View.unknown(4, CPU), 0.0, 0.0).any()
