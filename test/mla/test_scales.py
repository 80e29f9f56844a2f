"""The scale of a model in a file beside its weights: found again, of those weights only, and never by halves."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from tristage_ros.mla.checkpoint import CheckpointError
from tristage_ros.mla.scales import ENDS, load_magnitudes, load_scales, save_magnitudes, scales_file
from tristage_ros.pruning.config import FEATURES
from tristage_ros.pruning.scale import Magnitudes
from tristage_ros.resources import MINI, MINI_CONTINUOUS, resource

FOUND = Magnitudes(mean_logit=1.47, bearing=0.55, patches=17_000)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(bytes(3 * ENDS))
    return path


def test_what_is_kept_is_found_and_another_feature_joins_it(weights: Path) -> None:
    assert load_scales(weights) == load_scales(None) == {}
    save_magnitudes(weights, {"pre_norm": FOUND}, "20 episodes")
    path = save_magnitudes(weights, {"lm_head": replace(FOUND, patches=3)}, "a bag")
    assert path == weights.with_name("mine.scales.yaml")
    assert load_magnitudes(weights) == {"pre_norm": FOUND, "lm_head": replace(FOUND, patches=3)}
    assert load_scales(weights)["pre_norm"] == FOUND.scale


@pytest.mark.parametrize("place", [0, 3 * ENDS - 1, 3 * ENDS])
def test_other_weights_under_the_same_name_have_no_scale_until_it_is_measured(
    weights: Path, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    save_magnitudes(weights, {"pre_norm": FOUND, "lm_head": FOUND}, "20 episodes")
    other = bytearray(weights.read_bytes())
    other[place : place + 1] = b"x"
    weights.write_bytes(other)
    with caplog.at_level(logging.WARNING):
        assert load_scales(weights) == {}
    assert "is of other weights: tristage calibrate" in caplog.text
    save_magnitudes(weights, {"lm_head": FOUND}, "anew")
    assert [*load_scales(weights)] == ["lm_head"]


def test_a_run_directory_has_it_beside_its_one_file_of_weights(tmp_path: Path) -> None:
    file = tmp_path / "run" / "checkpoints" / "step-1.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights, let us say")
    save_magnitudes(tmp_path / "run", {"pre_norm": FOUND}, "a bag")
    assert scales_file(file) == scales_file(tmp_path / "run") == file.with_suffix(".scales.yaml")
    assert load_magnitudes(file) == load_magnitudes(tmp_path / "run") == {"pre_norm": FOUND}


@pytest.mark.parametrize(
    ("before", "after"),
    [("bearing: 0.55", "bearing: 1.55"), ("mean_logit: 1.47", "mean_logit: .inf"), ("mean_logit: 1.47", "x: 1"),
     ("weights: ", "of: "), ("pre_norm:", "pre_norm: ["), ("patches: 17000", "patches: many")],
)  # fmt: skip
def test_a_damaged_file_is_refused_by_name(weights: Path, before: str, after: str) -> None:
    path = save_magnitudes(weights, {"pre_norm": FOUND}, "20 episodes")
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(CheckpointError, match=r"mine\.scales\.yaml: .*measure anew") as caught:
        load_scales(weights)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shipped", [MINI, MINI_CONTINUOUS], ids=["mini", "mini_continuous"])
def test_what_ships_knows_its_scales(shipped: tuple[str, ...]) -> None:
    found = load_magnitudes(resource(*shipped))
    assert [*found] == [*FEATURES]
    assert found["pre_norm"].scale > 2 * found["lm_head"].scale > 2, "its points are louder than its pixels"
