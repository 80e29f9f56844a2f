from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tristage_ros.pruning import PruningConfig

PRESETS = Path(__file__).parents[2] / "config" / "pruning"


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("paper", PruningConfig.paper()),
        ("robot", PruningConfig.robot()),
        ("carried", PruningConfig(s1_feature="pre_norm").carried()),
        ("unpruned", PruningConfig(s1_feature="pre_norm", scale_3d=None, stages=frozenset(), observe_every=1000)),
    ],
    ids=["paper", "robot", "carried", "unpruned"],
)
def test_file_holds_the_preset(name: str, preset: PruningConfig) -> None:
    values = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    assert set(values) == set(asdict(preset))
    assert PruningConfig.from_dict(values) == preset


def test_default_is_the_paper() -> None:
    config = PruningConfig()
    assert config == PruningConfig.paper() == PruningConfig.from_dict({})
    assert (config.tau_2d, config.tau_3d, config.beta, config.window) == (0.08, 0.20, 0.85, 7)
    assert config.scale_3d == 1.0
    assert (config.background_drop, config.clusters, config.stages) == (0.9, 3, {1, 2, 3})
    assert config.target_rate is config.change_guard is config.refresh_every is config.max_age is None


def test_robot_is_guarded() -> None:
    config = PruningConfig.robot()
    assert config.change_guard == 12 / 255
    assert (config.background_sampling, config.target_rate, config.s1_feature) == ("rotating", 0.7, "pre_norm")
    assert config.scale_3d is None
    assert config.refresh_every is not None
    assert config.max_age is not None


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("tau_2d", -0.1),
        ("tau_3d", 1.1),
        ("tau_2d", float("nan")),
        ("tau_2d", "low"),
        ("tau_2d", None),
        ("tau_2d", 0.3),  # above the default tau_3d
        ("scale_3d", 0.0),
        ("scale_3d", -1),
        ("scale_3d", float("inf")),
        ("scale_3d", "own"),
        ("beta", 1.0),
        ("beta", True),
        ("window", 0),
        ("window", 2.5),
        ("clusters", 1),
        ("background_drop", 1.01),
        ("obj_2d_floor", -1),
        ("obj_3d_epsilon", 2),
        ("s1_feature", "post_norm"),
        ("target_rate", 1.0),
        ("target_rate", -0.1),
        ("token_bucket", 0),
        ("background_sampling", "spiral"),
        ("change_guard", 12),
        ("change_guard_depth", -0.01),
        ("change_guard_depth", float("inf")),
        ("refresh_every", 0),
        ("max_age", 0),
        ("observe_every", 0),
        ("stages", [4]),
        ("stages", 3),
        ("stages", "123"),
        ("attention_share", 1),
        ("seed", -1),
    ],
)
def test_bad_value_is_named(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=setting) as caught:
        PruningConfig.from_dict({setting: value})
    assert str(value) in str(caught.value)


def test_unknown_key_is_named_and_valid_ones_listed() -> None:
    with pytest.raises(ValueError, match=r"tau_4d.*tau_2d.*seed"):
        PruningConfig.from_dict({"tau_4d": 0.1})


def test_stages_of_a_list_are_a_set() -> None:
    assert PruningConfig.from_dict({"stages": [2, 1, 1]}).stages == frozenset({1, 2})
