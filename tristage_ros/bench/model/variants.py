"""What is compared: engines, methods, rates and ways to denoise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bench.model.workloads import Workload
from tristage_ros.mla.engines import ENGINES
from tristage_ros.mla.passes import SEQUENTIAL, Denoising
from tristage_ros.mla.values import StepReport
from tristage_ros.pruning import PruningConfig
from tristage_ros.pruning.baselines import LABELS, make_pruner

RATES = (0.5, 0.6, 0.7, 0.8)


class TimedPruner:
    """Pass everything on to a pruner, and add up the milliseconds that each of its methods takes in a step."""

    def __init__(self, pruner: Any) -> None:
        """Wrap `pruner`."""
        self._pruner = pruner
        self.steps: list[dict[str, float]] = []  # milliseconds by method
        for name in ("plan", "observe", "report_later"):
            setattr(self, name, partial(self._timed, name))

    def begin_step(self) -> None:
        """Begin a step."""
        self.steps.append({"plan": 0.0, "observe": 0.0, "report_later": 0.0})
        self._pruner.begin_step()

    def _timed(self, name: str, *arguments: Any, **named: Any) -> Any:
        start = perf_counter()
        result = getattr(self._pruner, name)(*arguments, **named)
        self.steps[-1][name] += (perf_counter() - start) * 1e3
        return result

    def __getattr__(self, name: str) -> Any:
        """Return whatever else the pruner has."""
        return getattr(self._pruner, name)


@dataclass(frozen=True)
class Variant:
    """Name one way to run a control step."""

    engine: str  # cached or recompute
    method: str  # a key of LABELS
    rate: float = 0.0  # share of visual tokens to prune
    stages: frozenset[int] = frozenset({1, 2, 3})  # of tri-stage
    denoising: Denoising = SEQUENTIAL

    @property
    def name(self) -> str:
        """Return a name that no other variant has."""
        return f"{self.engine} {self.method} {self.rate:.2f} {sorted(self.stages)} {self.denoising}"

    @property
    def label(self) -> str:
        """Return the method and its rate for print."""
        return LABELS[self.method] + (f", r = {100 * self.rate:.0f} %" if self.rate else "")


def methods() -> list[str]:
    """Return the methods that can run here: SP-VLA looks for edges, with OpenCV."""
    return [method for method in LABELS if method != "sp_vla" or find_spec("cv2") is not None]


def prune(variant: Variant) -> Any:
    """Return the pruner of a variant, without a past."""
    config = PruningConfig(target_rate=variant.rate, stages=variant.stages, s1_feature="pre_norm")
    return make_pruner(variant.method, config)


def step_variants(rates: tuple[float, ...] = RATES) -> list[Variant]:
    """Return every combination of engine, method and rate, the unpruned ones first."""
    unpruned = [Variant(engine, "none") for engine in ENGINES]
    rest = [method for method in methods() if method != "none"]
    return unpruned + [Variant(engine, method, rate) for method in rest for rate in rates for engine in ENGINES]


class Running:
    """Run the control steps of a variant, and keep what the last ones reported."""

    def __init__(self, workload: Workload, variant: Variant, pruner: Any = None) -> None:
        """Start an episode, with the variant's own pruner by default."""
        self.workload, self.variant = workload, variant
        self.policy = workload.policy(pruner or prune(variant), variant.engine, variant.denoising)
        self.reports: list[StepReport] = []

    def step(self, index: int) -> None:
        """Run one control step on the observation of round `index`."""
        self.action, report = self.policy.act(self.workload.observation(index))
        self.reports.append(report)

    def said(self) -> NDArray[np.float64]:
        """Return the last step's translations and rotations in shares of half their ranges, [chunk, 6]."""
        ranges = self.workload.statistics.action
        half = (np.array(ranges.q99) - np.array(ranges.q01))[:6] / 2
        return np.concatenate([self.action.translation, self.action.rotation], 1) / half

    def kept(self) -> tuple[int, int]:
        """Return the 2D and 3D tokens that the last step kept in the end."""
        masks = self.reports[-1].masks
        return int(masks.keep_2d.sum()), int(masks.keep_3d.sum())

    def sequence(self) -> int:
        """Return the tokens of a pass in the last step, its suffix included."""
        return sum(self.kept()) + self.workload.tokens_besides
