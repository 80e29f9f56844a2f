"""Fig. 8: which tokens every combination of stages keeps, step by step."""

from __future__ import annotations

import numpy as np

from tristage_ros.studies import masks
from tristage_ros.studies.cell import Cell
from tristage_ros.studies.expert import expert_observations
from tristage_ros.studies.parts.part import Chapter, Part, Row
from tristage_ros.studies.salience_trace import record_trace
from tristage_ros.studies.thresholds import ROBOT, SEEDS
from tristage_ros.studies.variant import Variant

NOTE = (
    "One episode of the expert, seen by the trained model; calibrated thresholds, no budget. Light blue: 2D token "
    "only, green: both, orange: 3D tokens only, grey: pruned. The table counts tokens after the first step."
)


class Figure8(Part):
    """Draw the masks of an episode."""

    name = "figure8"
    title = "Fig. 8: what is kept"
    number = 0

    def rows(self) -> list[Row]:
        """Return none: no episode is counted."""
        return []

    def chapter(self) -> Chapter:
        """Return a strip of pictures per combination of stages."""
        attempts, settings = self.study.attempts(), self.study.thresholds().settings
        episode = attempts.episode(Cell(self.tasks[0]), SEEDS[-1] + 1)
        instruction, observations = episode.task.instruction, list(expert_observations(episode))
        trace = record_trace(attempts.policy(ROBOT.pruner(0), 0), instruction, observations)
        config = Variant("tristage", None, False, "calibrated", settings).config(0)
        by_variant = masks.variants(config, trace, observations)
        shown = np.unique(np.linspace(1, len(trace) - 1, 6).round().astype(int)).tolist()
        picture = masks.figure(by_variant, trace, observations, shown)
        return Chapter(self.title, f"{NOTE}\n\n{masks.table(by_variant)}", pictures={"figure8.png": picture})
