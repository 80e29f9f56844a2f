"""Does the measure see the need: salience of every patch against what leaving its tokens out does to the action."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, spearmanr

from tristage_ros.bench.model.table import Table
from tristage_ros.bench.model.timing import one_thread
from tristage_ros.reports.style import BLUE, GREY
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.leave_out import KINDS, Losses, losses
from tristage_ros.studies.parts.families import ByFamily
from tristage_ros.studies.parts.figure3 import look
from tristage_ros.studies.parts.part import Chapter, Row, percent
from tristage_ros.studies.protocol import ORACLE, Family

Floats = NDArray[np.float64]

STAGES = 2  # key frames of an episode that are looked at
LEAST = 5  # patches of either kind without which no curve is drawn
MEASURES = {  # by name: what it measures, and the loss that it is to foretell
    "M_3d, stage 1": "3D",
    "M_3d, stage 2": "3D",
    "attention to 3D tokens": "3D",
    "norm of 3D tokens": "3D",
    "M_2d, stage 2": "2D",
    "attention to 2D tokens": "2D",
    "attention, both": "both",
}
NEED_NOTE = (
    "Leave-one-out: the goal of the tool, denoised from the same noise, without the 2D token of a patch, without its "
    "3D tokens, without both; needed where it moves by more than a redraw of the noise moves it 19 times in 20 (by "
    "chance, mm). Shares are of the patches that have 3D tokens."
)
MEASURE_NOTE = (
    "Area under the curve: how often a patch whose tokens are needed has more of the measure than one whose are not, "
    "of the same family, patches with 3D tokens alone; 0.5 is a guess. In brackets the 95 % interval after Hanley and "
    "McNeil (Radiology 143, 1982). Behind it, where no threshold has a say, the rank correlation of measure and loss "
    "within an observation (Spearman), mean over the observations."
)


@dataclass(frozen=True)
class Watched:
    """Hold one observation's losses and its measures, [P] each."""

    lost: Losses
    measures: dict[str, Floats]
    bearing: NDArray[np.bool_]

    @classmethod
    def of(cls, lost: Losses, step: int) -> Watched:
        """Take the measures of the same observation."""
        shown, salience = lost.shown, lost.shown.salience
        of_point = shown.geometry.patch_of_point
        inside = of_point >= 0
        patches = shown.geometry.patches

        def summed(values: torch.Tensor) -> Floats:
            into = torch.zeros(patches, dtype=torch.float64)
            return into.index_add(0, of_point[inside], values.double()[inside]).numpy()

        raw = look(step, shown, np.zeros(patches, np.int64))
        to_2d, to_3d = salience.attention_2d.sum(-1).double().numpy(), summed(salience.attention_3d.sum(-1))
        measures = {
            "M_3d, stage 1": raw.m_3d_s1,
            "M_3d, stage 2": raw.m_3d_s2,
            "attention to 3D tokens": to_3d,
            "norm of 3D tokens": summed(salience.feature_3d),
            "M_2d, stage 2": raw.m_2d_s2,
            "attention to 2D tokens": to_2d,
            "attention, both": to_2d + to_3d,
        }
        bearing = np.zeros(patches, bool)
        bearing[of_point[inside].numpy()] = True
        return cls(lost, measures, bearing)


class Oracle(ByFamily):
    """Leave every token out, and ask which measure had foreseen what happens."""

    name = "oracle"
    title = "What tokens are worth, and whether salience sees it"
    number = ORACLE

    def rows(self) -> list[Row]:
        """Return none: the expert leads, and the policy is only asked."""
        return []

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the control steps: of an observation about as many as there are patches, twice."""
        grid = self.study.attempts(self.mode).model.config.grid
        episodes = sum(len(self._seeds(family)) * len(tasks) for family, tasks in self._families())
        return Counter({self.mode: episodes * STAGES * 2 * grid**2}), Counter()

    def chapter(self) -> Chapter:
        """Return what is needed, by family and key frame, and how well every measure tells it."""
        need = Table(
            "Needed patches", ("family", "key frame", "n", "by chance mm", *(f"{k} %" for k in KINDS)), note=NEED_NOTE
        )
        names = [family.label for family, _ in self._families()]
        seen = Table("Area under the curve", ("measure", "of the need of", *names), note=MEASURE_NOTE)
        watched = {family: list(self._watched(family)) for family, _ in self._families()}
        for family, some in watched.items():
            for stage in range(STAGES):
                here = [one for step, one in some if step == stage]
                if here:
                    chance = 1e3 * float(np.median([one.lost.by_chance for one in here]))
                    shares = [percent(_share(here, kind)) for kind in KINDS]
                    need.rows.append((family.label, str(stage + 1), str(len(here)), f"{chance:.1f}", *shares))
        figures: dict[str, dict[str, Any]] = {}
        for name, kind in MEASURES.items():
            areas = {
                family.name: area(*_split([one for _, one in some], name, kind)) for family, some in watched.items()
            }
            seen.rows.append((name, kind, *("-" if one is None else str(one) for one in areas.values())))
            figures[name] = {family: None if one is None else vars(one) for family, one in areas.items()}
        chapter = Chapter(self.title, tables=[need, seen], figures={"area": figures})
        everything = {family.label: [one for _, one in some] for family, some in watched.items()}
        chapter.pictures["oracle.png"] = picture(everything)
        return chapter

    def _families(self) -> list[tuple[Family, tuple[str, ...]]]:
        """Return the families whose camera is where the file says."""
        return [(family, tasks) for family, tasks in self.families.items() if family.condition == "plain"]

    def _seeds(self, family: Family) -> range:
        return self.study.seeds(-(-self.number // len(self.families[family])))

    def _watched(self, family: Family) -> Iterator[tuple[int, Watched]]:
        attempts, seeds = self.study.attempts(), self._seeds(family)
        jobs = [(task, seed) for task in self.families[family] for seed in seeds]
        with one_thread():
            for task, seed in self.study.progress.over(f"{family.label}: tokens left out", jobs, len(jobs)):
                episode = attempts.episode(Cell(task), seed)
                for stage in range(STAGES):
                    if episode.finished:
                        break
                    make = lambda pruner: attempts.policy(pruner, seed)  # noqa: B023, E731
                    yield stage, Watched.of(losses(make, episode.task.instruction, episode.observe()), stage)
                    episode.step(episode.expert())


@dataclass(frozen=True)
class Area:
    """Hold the area under a receiver's curve with its standard error."""

    value: float  # 0..1
    error: float
    needed: int
    others: int

    def __str__(self) -> str:
        """Return it for print."""
        low, high = (min(max(self.value + side * 1.96 * self.error, 0.0), 1.0) for side in (-1, 1))
        return f"{self.value:.2f} [{low:.2f}, {high:.2f}]"


def area(needed: Floats, others: Floats) -> Area | None:
    """Return how often one of `needed` is above one of `others`; None where there are too few of either."""
    n, m = len(needed), len(others)
    if min(n, m) < LEAST:
        return None
    value = float(mannwhitneyu(needed, others).statistic) / (n * m)
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    variance = (value * (1 - value) + (n - 1) * (q1 - value**2) + (m - 1) * (q2 - value**2)) / (n * m)
    return Area(value, float(np.sqrt(max(variance, 0.0))), n, m)


def correlation(some: list[Watched], name: str, kind: str) -> float:
    """Return the rank correlation of a measure and the loss, mean over the observations; NaN where there is none."""
    found = []
    for one in some:
        measure, lost = one.measures[name][one.bearing], one.lost.of(kind)[one.bearing]
        known = np.isfinite(measure) & np.isfinite(lost)
        if known.sum() > LEAST and np.ptp(measure[known]) > 0 and np.ptp(lost[known]) > 0:
            found.append(float(spearmanr(measure[known], lost[known]).statistic))
    return float(np.mean(found)) if found else math.nan


def _share(some: list[Watched], kind: str) -> float:
    return float(np.mean(np.concatenate([one.lost.needed(kind)[one.bearing] for one in some])))


def _split(some: list[Watched], name: str, kind: str) -> tuple[Floats, Floats]:
    """Return a measure of the patches whose tokens are needed, and of the others."""
    values = [one.measures[name][one.bearing] for one in some]
    needed = [one.lost.needed(kind)[one.bearing] for one in some]
    if not values:
        return np.empty(0), np.empty(0)
    joined, chosen = np.concatenate(values), np.concatenate(needed)
    known = np.isfinite(joined)
    return joined[known & chosen], joined[known & ~chosen]


def picture(everything: dict[str, list[Watched]]) -> Figure:
    """Draw M_3d of both stages, of patches whose 3D tokens are needed and of the others, by family."""
    figure = Figure(figsize=(2.6 * max(len(everything), 1) + 1, 4.6))
    grid = figure.subplots(2, max(len(everything), 1), squeeze=False, sharex=True)
    bins = np.linspace(0, 1, 26)
    for column, (label, some) in enumerate(everything.items()):
        for row, name in enumerate(("M_3d, stage 1", "M_3d, stage 2")):
            ax = grid[row][column]
            needed, others = _split(some, name, "3D")
            for values, color, words in ((others, GREY, "others"), (needed, BLUE, "3D needed")):
                if len(values):
                    ax.hist(values, bins, density=True, histtype="stepfilled", alpha=0.6, color=color, label=words)
            ax.set(title=label if row == 0 else "", xlabel=name, yticks=[])
    grid[0][-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
