"""Denoising: fewer steps, or all of them side by side, against what it costs in success and accuracy."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.passes import Denoising, ParallelDenoising
from tristage_ros.mla.values import Action, Observation
from tristage_ros.studies.cell import Cell, Mode
from tristage_ros.studies.measurements import SEEDS, expert_observations
from tristage_ros.studies.parts.core import OURS
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, success
from tristage_ros.studies.protocol import DENOISED
from tristage_ros.studies.summary import over_steps
from tristage_ros.studies.variant import UNPRUNED, denoising_label

SETTINGS = (
    *(Denoising(noise, steps) for noise in ("fresh", "zero") for steps in (None, 4, 2, 1)),
    Denoising("fresh", parallel=ParallelDenoising()),
    Denoising("zero", parallel=ParallelDenoising()),
    Denoising("zero", parallel=ParallelDenoising(sweeps=3)),
)
PRUNED = OURS
EPISODES = 3  # of the expert, over which errors are measured
NOTE = (
    "Passes: of the decoder over the suffixes of a control step, mean. Error: largest difference of an action from "
    "that of all steps one after the other from the same noise, in normalised units (half an action's range is 1), "
    "median and largest over the expert's episodes. Side by side, all steps are evaluated at once and again until "
    "nothing moves by more than the tolerance; from zero noise a control step begins where the one before ended. At "
    "most so many sweeps is an approximation. Speedup: over unpruned control steps of the cached engine, all steps."
)


class DenoisingPart(Part):
    """Vary how actions are denoised, unpruned and pruned."""

    name = "denoising"
    title = "Denoising: fewer steps, or side by side"
    number = DENOISED
    first_task = True

    def rows(self) -> list[Row]:
        """Return every way to denoise, unpruned and pruned; continuously, those that go on from the step before."""
        rows = [Row(replace(variant, denoising=s)) for variant in (UNPRUNED, PRUNED) for s in SETTINGS]
        side_by_side = [row.variant for row in rows if row.variant.denoising.parallel]
        return rows + [Row(variant, "continuous") for variant in (UNPRUNED, PRUNED, *side_by_side)]

    def measured(self) -> tuple[Counter[Mode], Counter[Mode]]:
        """Return the steps that are timed, and the episodes over which errors are measured, once per way to denoise."""
        ways = {(row.variant.denoising, row.mode) for row in self.rows()}
        watched = Counter(mode for _, mode in ways)
        return self.timed(), Counter({mode: EPISODES * ways for mode, ways in watched.items()})

    def chapter(self) -> Chapter:
        """Return success, passes, error and speed of every row."""
        columns = ("denoising", "mode", "method", "n", "success % [95 %]", "to unpruned", "passes", "error", "speedup")
        table = Table(self.title, columns, note=NOTE)
        chapter = Chapter(self.title, tables=[table])
        found = self.found()
        modes = dict.fromkeys(row.mode for row, _ in found)
        speeds = {
            mode: self.study.speeds([UNPRUNED, *(row.variant for row, _ in found if row.mode == mode)], mode)
            for mode in modes
        }
        asked = list(dict.fromkeys((row.variant.denoising, row.mode) for row, _ in found))
        watching = self.study.progress.over("ways to denoise compared", asked, len(asked))
        errors = {(setting, mode): self.errors(setting, mode) for setting, mode in watching}
        for row, summary in found:
            variant = row.variant
            passes, error = over_steps(self.episodes(row).values(), "passes"), errors[variant.denoising, row.mode]
            speedup = speeds[row.mode][variant.name].over_unpruned("cached")  # of the same measurement
            table.rows.append((
                denoising_label(variant.denoising), row.mode, variant.label, str(summary.success.n), success(summary),
                "" if variant == UNPRUNED else against(summary), f"{passes:.2f}",
                f"{np.median(error):.1g}, {np.max(error):.1g}", ratio(speedup),
            ))  # fmt: skip
            chapter.figures[f"{row.mode}, {variant.name}"] = summary.to_dict() | {"passes": passes, "error": error}
        return chapter

    def errors(self, setting: Denoising, mode: Mode) -> list[float]:
        """Return by how much unpruned actions of the expert's episodes differ from those of all steps in sequence."""
        exact = self._actions(Denoising(setting.initial_noise), mode)
        return [
            float(np.abs(first - second).max())
            for first, second in zip(exact, self._actions(setting, mode), strict=True)
        ]

    @cached_property
    def _known(self) -> dict[object, Any]:
        """Return what was worked out before."""
        return {}

    def _watched(self, mode: Mode) -> list[tuple[str, list[Observation]]]:
        """Return instruction and observations of a few of the expert's episodes."""
        if mode not in self._known:
            episodes = (self.study.attempts(mode).episode(Cell(self.tasks[0]), seed) for seed in SEEDS[:EPISODES])
            self._known[mode] = [(e.task.instruction, list(expert_observations(e, mode))) for e in episodes]
        watched: list[tuple[str, list[Observation]]] = self._known[mode]
        return watched

    def _actions(self, setting: Denoising, mode: Mode) -> list[NDArray[np.float32]]:
        """Return normalised unpruned actions of every observation watched."""
        if (setting, mode) not in self._known:
            attempts = self.study.attempts(mode)
            policy, actions = attempts.policy(UNPRUNED.pruner(0), 0, denoising=setting), list[NDArray[np.float32]]()
            for instruction, observations in self._watched(mode):
                policy.reset(instruction)
                actions += [_normalised(attempts.statistics, policy.act(shown)[0]) for shown in observations]
            self._known[setting, mode] = actions
        found: list[NDArray[np.float32]] = self._known[setting, mode]
        return found


def _normalised(statistics: DatasetStatistics, action: Action) -> NDArray[np.float32]:
    values = np.concatenate([action.translation, action.rotation, action.gripper[:, None]], 1)
    return statistics.normalise_actions(values)
