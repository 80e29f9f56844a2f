"""How the pruner is set: a preset, and its settings one by one as the parameters `pruner.*` of the policy node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tristage_ros.bags.facts import OFF, OWN_SCALE, PRUNER, pruner_settings
from tristage_ros.graph.graph import preset
from tristage_ros.pruning import PruningConfig
from tristage_ros.pruning.config import FEATURES
from tristage_ros.pruning.preset_file import pruning_config
from tristage_ros.ros.parameters import Parameter, ParameterError

PRESET = Parameter(
    "pruning",
    "",
    "preset of the pruner, whose settings it gives to pruner.*: name in config/pruning or YAML file; empty: robot",
    read_only=False,
)
_ROBOT = {name: float(OFF) if value is None else value for name, value in PruningConfig.robot().to_dict().items()}


def _setting(name: str, description: str, unit: str = "", low: float | None = None, high: float | None = None,
             choices: tuple[str, ...] = ()) -> Parameter:  # fmt: skip
    return Parameter(PRUNER + name, _ROBOT[name], description, unit, low, high, choices, read_only=False)


PARAMETERS = (
    PRESET,
    _setting("tau_2d", "stage 1: M_3d, in units of scale_3d, below this keeps 2D only; at most tau_3d", "", 0.0, 1.0),
    _setting("tau_3d", "stage 1: ... and above this keeps 3D only", "", 0.0, 1.0),
    _setting(
        "scale_3d",
        "stage 1: f_3d / f_2d of the model over the paper's, above 0; 1: thresholds as published; -1: the model's own; "
        "a change resets the pruning state",
        "",
        -1.0,
        1e12,
    ),
    _setting("beta", "stage 3: weight of the past, below 1; of observations to come", "", 0.0, 1.0),
    _setting("window", "stage 3: observations after which beta replaces the running mean", "", 1, 1000),
    _setting("clusters", "stage 2: of attention; lowest background, highest object, robot between", "", 2, 16),
    _setting("background_drop", "stage 2: share of background patches dropped in a step", "", 0.0, 1.0),
    _setting("obj_2d_floor", "stage 2: an object patch loses its 3D tokens above this M_2d ...", "", 0.0, 1.0),
    _setting("obj_3d_epsilon", "stage 2: ... and below this M_3d", "", 0.0, 1.0),
    _setting(
        "s1_feature",
        "stage 1: where features are measured; a change resets the pruning state",
        choices=FEATURES,
    ),
    _setting("target_rate", "share of all visual tokens to prune, below 1; -1: the stages decide", "", -1.0, 1.0),
    _setting("token_bucket", "under target_rate the kept count is rounded up to a multiple", "tokens", 1, 1024),
    _setting(
        "background_sampling",
        "stage 2: background that is kept; rotating: all in turn",
        choices=("random", "rotating"),
    ),
    _setting("change_guard", "mean change of a patch's colour, of 1, that keeps it; -1: no guard", "", -1.0, 1.0),
    _setting("change_guard_depth", "change of a patch's mean depth that keeps it; -1: no guard", "m", -1.0, 10.0),
    _setting("refresh_every", "from one unpruned step to the next; -1: never", "steps", -1, 100000),
    _setting("max_age", "after which a patch is to be seen again; -1: no limit", "steps", -1, 100000),
    _setting("watch_share", "of a budget, at most, for what is to be seen again; -1: no limit", "", -1.0, 1.0),
    _setting("observe_every", "from one measurement of salience to the next", "steps", 1, 1000),
    _setting("stages", "those switched on, out of 1, 2, 3"),
    _setting("attention_share", "scale observed attention to the share that the kept patches held before"),
    _setting("seed", "of the background sampling", "", 0, 2**31 - 1),
)
# What the node tells of its model, so that a recording knows; given, it stands for what is kept beside the weights.
OWN_SCALES = tuple(
    Parameter(
        OWN_SCALE + feature,
        0.0,
        f"what pruner.scale_3d = -1 is with {feature}; 0: as kept beside the checkpoint, else from the first look",
        "",
        0.0,
        1e12,
        read_only=False,
    )
    for feature in FEATURES
)


@dataclass(frozen=True)
class Tuning:
    """Hold what the pruner is set to: a preset, and what was changed beside it."""

    preset: str  # as the parameter `pruning` names it
    base: PruningConfig  # what the preset holds
    config: PruningConfig

    @staticmethod
    def of(name: str) -> Tuning:
        """Return a preset as it is; raise ParameterError where there is none."""
        try:
            base = pruning_config(str(preset(name or "robot")))
        except (OSError, ValueError) as error:
            raise ParameterError(f"{PRESET.name}: {error}") from error
        return Tuning(name, base, base)

    def changed(self, parameters: Mapping[str, Any]) -> Tuning:
        """Return the tuning after `parameters` of the node, by their full names, were set together.

        A preset (`pruning`) comes first: it sets everything, and what is set with it is set beside it.

        Raises:
            ParameterError: there is no such preset, or a value is wrong, or does not go with another.
        """
        begun = Tuning.of(parameters[PRESET.name]) if PRESET.name in parameters else self
        settings = {name: _plain(value) for name, value in pruner_settings(parameters).items()}
        try:
            config = PruningConfig.from_dict(begun.config.to_dict() | settings)
        except ValueError as error:
            raise ParameterError(f"{PRUNER}{error}") from error
        return Tuning(begun.preset, begun.base, config)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return all `pruner.*` parameters with their values."""
        return {PRUNER + name: _told(name, value) for name, value in self.config.to_dict().items()}

    def __str__(self) -> str:
        """Return the preset's name and what is not as in it, such as `robot (changed: tau_2d 0.3)`."""
        base = self.base.to_dict()
        changed = [f"{name} {_in_words(v)}" for name, v in self.config.to_dict().items() if v != base[name]]
        name = Path(self.preset).stem if self.preset else "robot"
        return f"{name} (changed: {', '.join(changed)})" if changed else name


def _told(name: str, value: Any) -> Any:
    kind = type(_ROBOT[name])
    return kind(OFF if value is None else value)


def _plain(value: Any) -> Any:
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else value


def _in_words(value: Any) -> str:
    return "off" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
