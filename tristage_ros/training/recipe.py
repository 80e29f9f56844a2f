"""The recipe of a training run: one YAML file, checked before anything starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from tristage_ros.mla.config import MlaConfig
from tristage_ros.resources import read_text
from tristage_ros.simulation.tasks import TASKS
from tristage_ros.words import one_line, shown
from tristage_ros.yaml_text import parse


class RecipeError(ValueError):
    """Say which setting of a recipe is wrong; the message is one line for a person."""


@dataclass(frozen=True)
class Demonstrations:
    """Say how the expert is watched; see config/training.yaml for the units."""

    first_seed: int
    noisy: float
    disturbed: float
    translation: tuple[float, float, float]
    yaw: float
    flip: float
    shard: int
    looks: int
    continuous: float


@dataclass(frozen=True)
class Optimisation:
    """Say how the weights are fitted."""

    steps: int
    batch: int
    suffixes: int
    learning_rate: float
    final_rate: float
    warm_up: int
    weight_decay: float
    gradient_norm: float
    ema: float
    auxiliary: float
    pointing: float
    emphasis: float
    temperature: float
    quantiles: tuple[float, float]
    margin: float
    compile: bool
    save_every: int


@dataclass(frozen=True)
class Dagger:
    """Say when the policy is rolled out and labelled by the expert (arXiv 1011.0686)."""

    at: tuple[float, ...]
    episodes: int
    continuous: float
    first_seed: int
    expert: float
    share: float


@dataclass(frozen=True)
class Check:
    """Say how many fresh episodes the finished policy is tried on."""

    episodes: int
    continuous: float
    first_seed: int


@dataclass(frozen=True)
class Recipe:
    """Hold everything that decides about a training run."""

    seed: int
    start: str  # checkpoint to begin with; empty: random weights
    point_patches: bool  # of the model, see MlaConfig
    anywhere: float  # share of all episodes whose front camera stands anywhere, told by its calibration
    episodes: dict[str, int]  # demonstrations per task
    demonstrations: Demonstrations
    optimisation: Optimisation
    dagger: Dagger
    check: Check

    def __post_init__(self) -> None:
        """Refuse shares beyond 0..1, and counts that are not positive."""
        o, d, e, c = self.optimisation, self.dagger, self.demonstrations, self.check
        shares = {"noisy": e.noisy, "disturbed": e.disturbed, "flip": e.flip, "expert": d.expert, "share": d.share}
        parts = {"demonstrations": e, "dagger": d, "check": c}
        shares |= {f"continuous of {name}": part.continuous for name, part in parts.items()}
        shares |= {"anywhere": self.anywhere, "ema": o.ema, "final_rate": o.final_rate} | {
            f"at {at}": at for at in d.at
        }
        for name, value in shares.items():
            if not 0.0 <= value <= 1.0:
                raise RecipeError(f"{name} must be from 0 to 1, got {value}")
        counts = {"steps": o.steps, "batch": o.batch, "suffixes": o.suffixes, "save_every": o.save_every}
        counts |= {"shard": e.shard} | {f"episodes of {task}": count for task, count in self.episodes.items()}
        for name, value in counts.items():
            if value < 1:
                raise RecipeError(f"{name} must be at least 1, got {value}")
        if o.temperature < 1:
            raise RecipeError(f"temperature must be at least 1 (as often as there are frames), got {o.temperature}")
        for task in self.episodes:
            if task not in TASKS:
                raise RecipeError(f"no task is called {task!r}; there are: {', '.join(TASKS)}")
        if list(d.at) != sorted(d.at):
            raise RecipeError(f"at must ascend, got {list(d.at)}")

    def model(self) -> MlaConfig:
        """Return the sizes and switches of what is trained: the mini's."""
        return replace(MlaConfig.mini(), point_patches=self.point_patches)

    def rounds(self) -> tuple[int, ...]:
        """Return the steps after which the policy is rolled out."""
        return tuple(round(share * self.optimisation.steps) for share in self.dagger.at)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        return asdict(self)

    @classmethod
    def load(cls, path: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
        """Read a file; `overrides` are texts such as `optimisation.steps=100`.

        Raises RecipeError where a setting is missing, unknown or wrong, and FileNotFoundError for the file.
        """
        try:
            data = parse(read_text(path))
        except ValueError as error:
            raise RecipeError(f"{path}: not YAML: {error}") from error
        for text in overrides:
            _override(data, text)
        recipe: Recipe = _build(cls, data, "the recipe")
        return recipe


def _override(data: dict[str, Any], text: str) -> None:
    name, separator, value = text.partition("=")
    *path, last = name.split(".")
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None  # type: ignore[assignment]
    if not separator or not isinstance(data, dict) or (path[:1] != ["episodes"] and last not in data):
        raise RecipeError(f"{text!r} is not of the form section.name=value with a setting of the recipe")
    try:
        data[last] = parse(value)
    except ValueError as error:
        raise RecipeError(f"{text!r}: the value cannot be read: {error}") from error


def _build(kind: Any, data: Any, where: str) -> Any:
    known = {field.name for field in fields(kind)}
    given = set(data) if isinstance(data, dict) else set()
    if known != given:
        raise RecipeError(
            f"{where}: missing {sorted(known - given)}, unknown {shown(sorted(map(one_line, given - known)))}"
        )
    hints = get_type_hints(kind)
    return kind(**{name: _convert(hints[name], data[name], name) for name in known})


def _convert(hint: Any, value: Any, name: str) -> Any:
    if is_dataclass(hint):
        return _build(hint, value, name)
    try:
        if hint is bool and type(value) is not bool:
            raise TypeError
        if hint is str and value is None:  # nothing behind the equals sign
            return ""
        if hint in (bool, int, float, str):
            return hint(value)
        if getattr(hint, "__origin__", None) is tuple:
            return tuple(map(float, value))
        return {str(task): int(count) for task, count in value.items()}
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        raise RecipeError(f"{name} cannot be {shown(value)}") from None


def continuous_of(episodes: int, share: float) -> int:
    """Return how many of so many episodes are led continuously."""
    return round(episodes * share)
