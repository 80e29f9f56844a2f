"""The settings of tri-stage pruning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any, Literal, get_args

from tristage_ros.pruning.scale import carried_threshold
from tristage_ros.words import one_line, shown

Feature = Literal["lm_head", "pre_norm"]
FEATURES: tuple[Feature, ...] = get_args(Feature)
MOST_NAMED = 4  # unknown settings in a message


@dataclass(frozen=True)
class PruningConfig:
    """Hold every setting of the pruner; the defaults are the paper's. Raises ValueError on a bad value."""

    tau_2d: float = 0.08  # M_3d of stage 1, in units of scale_3d, below this keeps 2D only, 0..1
    tau_3d: float = 0.20  # ... and above this keeps 3D only, tau_2d..1
    scale_3d: float | None = 1.0  # of the model's f_3d / f_2d, > 0; 1: thresholds as published; None: the model's own
    beta: float = 0.85  # weight of the past in the moving average (Eq. 9), 0 <= beta < 1
    window: int = 7  # observations after which beta replaces the running mean (the paper's k)
    clusters: int = 3  # of total attention; the lowest is background, the highest object, those between robot
    background_drop: float = 0.9  # share of background patches dropped in a step, 0..1
    obj_2d_floor: float = 0.9  # an object patch loses its 3D tokens above this M_2d of stage 2 ...
    obj_3d_epsilon: float = 0.02  # ... and below this M_3d of stage 2
    s1_feature: Feature = "lm_head"  # what the model is to measure for stage 1
    target_rate: float | None = None  # share of all visual tokens to prune, 0 <= rate < 1; None: the stages decide
    token_bucket: int = 16  # under a target rate the kept count is rounded up to a multiple of this
    background_sampling: Literal["random", "rotating"] = "random"
    change_guard: float | None = None  # mean change of a patch's colour that keeps it, 0..1; None: no guard
    change_guard_depth: float | None = None  # the same for a patch's depth, m
    refresh_every: int | None = None  # steps from one unpruned step to the next
    max_age: int | None = None  # steps after which a patch is to be seen again
    watch_share: float | None = None  # of a budget, at most, for what is kept to be seen again, 0..1; None: no limit
    observe_every: int = 1  # steps from one measurement of salience to the next
    stages: frozenset[int] = frozenset({1, 2, 3})  # those switched on
    attention_share: bool = True  # scale observed attention to the share that the kept patches held before
    seed: int = 0  # of the background sampling

    def __post_init__(self) -> None:
        """Check every value."""
        for name in ("tau_2d", "tau_3d", "background_drop", "obj_2d_floor", "obj_3d_epsilon"):
            _check_number(name, getattr(self, name), 0.0, 1.0)
        if self.scale_3d is not None:
            _check_number("scale_3d", self.scale_3d, 0.0, inf, open_start=True, open_end=True)
        _check_number("beta", self.beta, 0.0, 1.0, open_end=True)
        if self.tau_2d > self.tau_3d:
            raise ValueError(f"tau_2d = {self.tau_2d} must not exceed tau_3d = {self.tau_3d}")
        for name, least in (("window", 1), ("clusters", 2), ("token_bucket", 1), ("observe_every", 1), ("seed", 0)):
            _check_integer(name, getattr(self, name), least)
        if self.target_rate is not None:
            _check_number("target_rate", self.target_rate, 0.0, 1.0, open_end=True)
        if self.change_guard is not None:
            _check_number("change_guard", self.change_guard, 0.0, 1.0)
        if self.change_guard_depth is not None:
            _check_number("change_guard_depth", self.change_guard_depth, 0.0, inf, open_end=True)
        if self.watch_share is not None:
            _check_number("watch_share", self.watch_share, 0.0, 1.0)
        for name in ("refresh_every", "max_age"):
            if getattr(self, name) is not None:
                _check_integer(name, getattr(self, name), 1)
        _check_choice("s1_feature", self.s1_feature, FEATURES)
        _check_choice("background_sampling", self.background_sampling, ("random", "rotating"))
        _check_choice("attention_share", self.attention_share, (True, False))
        object.__setattr__(self, "stages", _checked_stages(self.stages))

    @property
    def guarded(self) -> bool:
        """Tell whether frames have to be watched for change."""
        return self.change_guard is not None or self.change_guard_depth is not None

    @staticmethod
    def paper() -> PruningConfig:
        """Return the paper's settings: three stages, nothing beyond them."""
        return PruningConfig()

    def carried(self, scale: float | None = None) -> PruningConfig:
        """Return these settings with thresholds carried over to a model whose f_3d / f_2d is `scale` times the paper's.

        None: by the scale that is known of the model, or else measured at the first look (`TriStagePruner.scales`).
        """
        return replace(self, scale_3d=scale)

    def raw_thresholds(self, scale: float) -> tuple[float, float]:
        """Return tau_2d and tau_3d as thresholds of a model's raw M_3d, odds(tau') = scale * odds(tau)."""
        return carried_threshold(self.tau_2d, scale), carried_threshold(self.tau_3d, scale)

    @staticmethod
    def robot() -> PruningConfig:
        """Return settings for a real robot: a fixed budget, bounded blindness and a guard against change."""
        return PruningConfig(
            scale_3d=None,
            s1_feature="pre_norm",
            target_rate=0.7,
            background_sampling="rotating",
            change_guard=12 / 255,
            change_guard_depth=0.02,
            refresh_every=50,
            max_age=10,
            watch_share=0.15,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as a YAML file holds them and `from_dict` takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"stages": sorted(self.stages)}

    @staticmethod
    def from_dict(mapping: Mapping[str, Any]) -> PruningConfig:
        """Build a configuration from plain values, as a YAML file holds them; what is absent stays the paper's.

        Raises ValueError for a key that is not a setting, and for a bad value.
        """
        names = [field.name for field in fields(PruningConfig)]
        unknown = [one_line(key) for key in mapping if key not in names]
        if unknown:
            raise ValueError(f"unknown pruning setting {', '.join(unknown[:MOST_NAMED])}; valid are {', '.join(names)}")
        return PruningConfig(**mapping)


def _check_number(
    name: str, value: object, low: float, high: float, open_start: bool = False, open_end: bool = False
) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    left_out = (open_start and value == low) or (open_end and value == high)
    if not (number and low <= value <= high and not left_out):  # type: ignore[operator]
        span = f"{'(' if open_start else '['}{low}, {high}{')' if open_end else ']'}"
        raise ValueError(f"{name} = {shown(value)} must be a number in {span}")


def _check_integer(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} = {shown(value)} must be a whole number of at least {least}")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name} = {shown(value)} must be one of {', '.join(map(repr, choices))}")


def _checked_stages(value: object) -> frozenset[int]:
    valid = isinstance(value, (frozenset, set, list, tuple))
    if not valid or not all(type(stage) is int and stage in (1, 2, 3) for stage in value):  # type: ignore[attr-defined]
        raise ValueError(f"stages = {shown(value)} must be a list of stage numbers out of 1, 2, 3")
    return frozenset(value)  # type: ignore[call-overload, no-any-return]
