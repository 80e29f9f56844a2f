"""Fig. 3: what attention takes for background, robot and object, against what is truly there; salience over steps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tristage_ros.bench.model.table import Table
from tristage_ros.mla.values import Observation
from tristage_ros.pruning import PruningConfig, TokenMasks
from tristage_ros.pruning.calibration import TraceStep
from tristage_ros.pruning.checks import checked_magnitudes
from tristage_ros.pruning.stages import PatchState, StageClock, learn, salience_of_patches, semantic_sets
from tristage_ros.reports.style import BLUE, GREEN, GREY, ORANGE
from tristage_ros.simulation.episode import Episode
from tristage_ros.simulation.renderer import label_of_patches
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.parts.part import Chapter, Part, Row, percent
from tristage_ros.studies.protocol import WATCHED
from tristage_ros.studies.salience_trace import record_trace
from tristage_ros.studies.variant import OBSERVED

SETS = ("background", "robot", "object")
COLORS = (GREY, BLUE, ORANGE)
NOTE = (
    "Steps of the expert's episodes, all tokens kept. True: a patch is the object's or the robot's where that covers "
    "15 % of it. Found: the clusters of total attention in that very step, lowest to highest. In the paper attention "
    "adds up to most over the background and to least over the object."
)


@dataclass(frozen=True)
class Look:
    """Hold what one step shows of every patch, [P] each."""

    step: int  # of the episode, from 0
    true: NDArray[np.int64]  # 0 background, 1 robot, 2 object
    found: NDArray[np.int64]
    attention: NDArray[np.float64]  # in all
    m_3d_s1: NDArray[np.float64]
    m_2d_s2: NDArray[np.float64]
    m_3d_s2: NDArray[np.float64]


class Figure3(Part):
    """Compare the semantic sets with the simulation's segmentation."""

    name = "figure3"
    title = "Fig. 3: semantic sets and salience"
    number = WATCHED

    def rows(self) -> list[Row]:
        """Return none: the episodes are the expert's."""
        return []

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the episodes of the expert's."""
        return Counter(), Counter({self.mode: len(self.tasks) * len(self.seeds(self.row()))})

    def chapter(self) -> Chapter:
        """Return agreement, salience by set, and salience over the steps of the first task."""
        looks = {task: list(self._looks(task)) for task in self.tasks}
        everything = [look for some in looks.values() for look in some]
        chapter = Chapter(self.title, NOTE, [agreement(looks), by_set(everything)])
        chapter.pictures["figure3.png"] = dynamics(looks[self.tasks[0]])
        chapter.figures = {table.title: table.rows for table in chapter.tables}
        return chapter

    def _looks(self, task: str) -> Iterator[Look]:
        attempts = self.study.attempts()
        seeds = self.seeds(self.row())
        for seed in self.study.progress.over(f"episodes of {task} watched", seeds, len(seeds)):
            episode, truths = attempts.episode(Cell(task), seed), list[NDArray[np.int64]]()
            policy = attempts.policy(OBSERVED.pruner(seed), seed)
            observations = _watched(episode, attempts.model.config.grid, truths)
            trace = record_trace(policy, episode.task.instruction, observations)
            for step, (shown, true) in enumerate(zip(trace, truths, strict=True)):
                yield look(step, shown, true)


def _watched(episode: Episode, grid: int, truths: list[NDArray[np.int64]]) -> Iterator[Observation]:
    """Yield the expert's observations, and add what is truly in every patch to `truths`."""
    while not episode.finished:
        truths.append(label_of_patches(episode.segmentation(), grid))
        yield episode.observe()
        episode.step(episode.expert())


def look(step: int, shown: TraceStep, true: NDArray[np.int64]) -> Look:
    """Return the raw indicators of a step, as without stage 3."""
    config = PruningConfig(stages=frozenset({1, 2}))
    geometry, salience = shown.geometry, shown.salience
    masks = TokenMasks.all_kept(geometry)
    state = PatchState.unobserved(geometry.patches, salience.attention_2d.shape[1], torch.device("cpu"))
    patches = salience_of_patches(geometry, masks, checked_magnitudes(masks, salience))
    now = learn(config, state, patches, StageClock()).newest
    found = semantic_sets(now.attention, config.clusters).numpy()
    numbers = (now.attention, now.m_3d_s1, now.m_2d_s2, now.m_3d_s2)
    return Look(step, true, found, *(values.double().numpy() for values in numbers))


def agreement(looks: dict[str, list[Look]]) -> Table:
    """Return which cluster patches of every true set fall into, by task, with Cohen's kappa over all patches."""
    columns = ("task, true set", "share of patches %", *(f"found {name} %" for name in SETS), "agreement %", "kappa")
    table = Table("Semantic sets against the truth", columns)
    for task, some in looks.items():
        counts = np.zeros((3, 3))
        for one in some:
            np.add.at(counts, (one.true, one.found), 1)
        agreed, chance = np.trace(counts) / counts.sum(), (counts.sum(0) @ counts.sum(1)) / counts.sum() ** 2
        kappa = (agreed - chance) / (1 - chance) if chance < 1 else math.nan
        for label, name in enumerate(SETS):
            row = counts[label]
            shares = [percent(share) if row.sum() else "-" for share in row / max(row.sum(), 1)]
            last = ("", "") if label else (percent(agreed), f"{kappa:.2f}")
            table.rows.append((f"{task}, {name}", percent(row.sum() / counts.sum()), *shares, *last))
    return table


def by_set(looks: list[Look]) -> Table:
    """Return salience by true and by found set."""
    columns = ("set", "attention, sum", "per patch", "M_3d stage 1", "M_2d stage 2", "M_3d stage 2")
    table = Table("Salience by set", columns, note="Attention: share of all that visual tokens receive in a step.")
    for kind in ("true", "found"):
        sets = np.concatenate([getattr(one, kind) for one in looks])
        attention = np.concatenate([one.attention / one.attention.sum() for one in looks])
        for label, name in enumerate(SETS):
            inside = sets == label
            if not inside.any():
                continue
            shares = (f"{attention[inside].sum() / len(looks):.3f}", f"{attention[inside].mean():.4f}")
            means = [np.concatenate([getattr(one, n) for one in looks])[inside].mean() for n in INDICATORS]
            table.rows.append((f"{kind} {name}", *shares, *(f"{value:.3f}" for value in means)))
    return table


INDICATORS = ("m_3d_s1", "m_2d_s2", "m_3d_s2")


def dynamics(looks: list[Look]) -> Figure:
    """Draw every indicator's mean over the true sets from step to step."""
    figure = Figure(figsize=(11, 3.2))
    titles = ("attention per patch", "M_3d, stage 1", "M_2d, stage 2", "M_3d, stage 2")
    steps = sorted({one.step for one in looks})
    for ax, title, name in zip(figure.subplots(1, 4), titles, ("attention", *INDICATORS), strict=True):
        for label, (set_name, color) in enumerate(zip(SETS, COLORS, strict=True)):
            means = [_mean(looks, step, name, label) for step in steps]
            ax.plot([step + 1 for step in steps], means, "o-", ms=3, color=color, label=set_name)
        every = [_mean(looks, step, name, None) for step in steps]
        ax.plot([step + 1 for step in steps], every, "--", color=GREEN, label="all")
        ax.set(title=title, xlabel="key frame")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _mean(looks: list[Look], step: int, name: str, label: int | None) -> float:
    values = [
        getattr(one, name)[np.ones_like(one.true, bool) if label is None else one.true == label]
        for one in looks
        if one.step == step
    ]
    joined = np.concatenate(values)
    return float(joined.mean()) if len(joined) else math.nan
