from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from tristage_ros.pruning import FrameContext, PruningConfig, Salience, TokenGeometry, TokenMasks, TriStagePruner

GEOMETRY = TokenGeometry(torch.tensor([0, 1, 2, -1]), 4)
MASKS = TokenMasks(torch.tensor([True, True, True, False]), torch.ones(4, dtype=torch.bool))
SALIENCE = Salience(
    torch.tensor([1.0, 2.0, 3.0, torch.nan]),
    torch.ones(4),
    torch.tensor([[1.0, 2.0], [0.5, 0.5], [0.1, 0.1], [torch.nan, torch.nan]]),
    torch.ones(4, 2),
)
FRAME = FrameContext(color_mean=torch.full((4, 3), 0.5), depth_mean=torch.ones(4))


def with_value(tensor: torch.Tensor, index: Any, value: float) -> torch.Tensor:
    changed = tensor.clone()
    changed[index] = value
    return changed


def points(*index: int) -> TokenGeometry:
    return replace(GEOMETRY, patch_of_point=torch.tensor(index))


GEOMETRIES: list[tuple[TokenGeometry, str]] = [
    (points(0, 1, 2, 4), r"patch_of_point holds 4"),
    (points(0, 1, 2, -2), r"patch_of_point holds -2"),
    (replace(GEOMETRY, patches=2), r"patches = 2"),
    (replace(GEOMETRY, patches=5), r"patches = 5.*reset"),
    (TokenGeometry(torch.zeros(4), 4), r"float32 \[4\]"),
    (TokenGeometry(torch.zeros(2, 2, dtype=torch.long), 4), r"\[2, 2\]"),
]
OBSERVATIONS: list[tuple[TokenMasks, Salience | None, str]] = [
    (replace(MASKS, keep_2d=torch.ones(3, dtype=torch.bool)), SALIENCE, r"keep_2d.*\[3\].*\[4\]"),
    (replace(MASKS, keep_3d=torch.ones(4)), SALIENCE, r"keep_3d.*float32"),
    (MASKS, None, r"salience = None"),
    (MASKS, replace(SALIENCE, feature_2d=torch.ones(5)), r"feature_2d.*\[5\]"),
    (MASKS, replace(SALIENCE, feature_3d=torch.ones(4, dtype=torch.long)), r"feature_3d.*int64"),
    (MASKS, replace(SALIENCE, attention_2d=torch.ones(4)), r"attention_2d.*\[4\]"),
    (MASKS, replace(SALIENCE, attention_2d=torch.ones(4, 0)), r"attention_2d.*\[4, 0\]"),
    (MASKS, replace(SALIENCE, attention_3d=torch.ones(4, 3)), r"attention_3d.*\[4, 3\]"),
    (MASKS, replace(SALIENCE, attention_2d=torch.ones(4, 5), attention_3d=torch.ones(4, 5)), r"5 heads.*2: reset"),
    (MASKS, replace(SALIENCE, feature_2d=with_value(SALIENCE.feature_2d, 1, -0.5)), r"2d token 1.*-0.5"),
    (MASKS, replace(SALIENCE, feature_3d=with_value(SALIENCE.feature_3d, 3, torch.nan)), r"3d token 3.*nan"),
    (MASKS, replace(SALIENCE, feature_2d=with_value(SALIENCE.feature_2d, 0, torch.inf)), r"2d token 0.*inf"),
    (MASKS, replace(SALIENCE, attention_2d=with_value(SALIENCE.attention_2d, (2, 1), torch.nan)), r"2d token 2.*nan"),
    (MASKS, replace(SALIENCE, attention_3d=with_value(SALIENCE.attention_3d, (1, 0), -1.0)), r"3d token 1.*-1.0"),
]
FRAMES: list[tuple[FrameContext | None, str]] = [
    (None, "color_mean = None"),
    (FrameContext(depth_mean=torch.ones(4)), "color_mean = None"),
    (replace(FRAME, color_mean=torch.ones(5, 3)), r"color_mean.*\[5, 3\]"),
    (replace(FRAME, color_mean=torch.full((4, 3), 128.0)), r"color_mean spans 128"),
    (replace(FRAME, color_mean=torch.full((4, 3), torch.nan)), r"color_mean spans nan"),
    (replace(FRAME, depth_mean=torch.ones(3)), r"depth_mean.*\[3\]"),
]
STATES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda state: state.pop("seen"), "lacks seen"),
    (lambda state: state["patches"].pop("raw"), "need tensors.*raw"),
    (lambda state: state["patches"].update(raw=torch.zeros(4, 4)), r"raw is.*\[4, 4\]"),
    (lambda state: state["patches"].update(observations=torch.zeros(4)), "observations is torch.float32"),
    (lambda state: state.update(seen={"color": torch.zeros(4, 3)}), "need color"),
]


@pytest.fixture
def pruner() -> TriStagePruner:
    """Return a guarded pruner after two steps."""
    pruner = TriStagePruner(PruningConfig(change_guard=0.1, change_guard_depth=0.02))
    for _ in range(2):
        masks = pruner.plan(GEOMETRY, FRAME)
        full = Salience(*(tensor.nan_to_num(1.0) for tensor in vars(SALIENCE).values()))
        pruner.observe(GEOMETRY, masks, full)
    return pruner


def raises_and_changes_nothing(pruner: TriStagePruner, call: Callable[[], object], match: str) -> None:
    before = str(pruner.state_dict())
    with pytest.raises(ValueError, match=match):
        call()
    assert str(pruner.state_dict()) == before


def test_the_good_input_is_good(pruner: TriStagePruner) -> None:
    before = str(pruner.state_dict())
    pruner.observe(GEOMETRY, MASKS, SALIENCE, FRAME)
    assert str(pruner.state_dict()) != before


@pytest.mark.parametrize(("geometry", "match"), GEOMETRIES)
def test_geometry(pruner: TriStagePruner, geometry: TokenGeometry, match: str) -> None:
    raises_and_changes_nothing(pruner, lambda: pruner.plan(geometry, FRAME), match)
    raises_and_changes_nothing(pruner, lambda: pruner.observe(geometry, MASKS, SALIENCE), match)


@pytest.mark.parametrize(("masks", "salience", "match"), OBSERVATIONS)
def test_observation(pruner: TriStagePruner, masks: TokenMasks, salience: Salience | None, match: str) -> None:
    raises_and_changes_nothing(pruner, lambda: pruner.observe(GEOMETRY, masks, salience), match)


@pytest.mark.parametrize(("frame", "match"), FRAMES)
def test_frame(pruner: TriStagePruner, frame: FrameContext | None, match: str) -> None:
    raises_and_changes_nothing(pruner, lambda: pruner.plan(GEOMETRY, frame), match)


@pytest.mark.parametrize(("spoil", "match"), STATES)
def test_saved_state(pruner: TriStagePruner, spoil: Callable[[dict[str, Any]], Any], match: str) -> None:
    state = pruner.state_dict()
    spoil(state)
    raises_and_changes_nothing(pruner, lambda: pruner.load_state_dict(state), match)
