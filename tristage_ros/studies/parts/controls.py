"""Controls: what the tasks are without eyes, and with the wrong words."""

from __future__ import annotations

from tristage_ros.bench.model.table import Table
from tristage_ros.studies.condition import CONDITIONS
from tristage_ros.studies.parts.part import Chapter, Part, Row, percent, success
from tristage_ros.studies.summary import summarise
from tristage_ros.studies.variant import UNPRUNED

UNDER = ("plain", "blank-image", "blank-cloud", "blank", "company", "wrong-instruction")
NOTE = (
    "Unpruned. Blank: the image grey all over, every point of the cloud in its middle. Wrong instruction: another "
    "task's things stand on the table as well, and that task's instruction is given."
)


class Controls(Part):
    """Show that the tasks cannot be solved blind, nor by ignoring the instruction."""

    name = "controls"
    title = "Controls: blind and misled"
    number = 20

    def rows(self) -> list[Row]:
        """Return the unpruned policy under every condition."""
        return [Row(UNPRUNED, self.mode, name) for name in UNDER]

    def chapter(self) -> Chapter:
        """Return success under every condition."""
        table = Table(self.title, ("condition", "n", *self.tasks, "all % [95 %]"), note=NOTE)
        chapter = Chapter(self.title, tables=[table])
        for row in self.rows():
            if (summary := summarise(self.episodes(row))) is None:
                continue
            tasks = [percent(summary.by_task[t].rate) if t in summary.by_task else "" for t in self.tasks]
            label = CONDITIONS[row.condition].label
            table.rows.append((label, str(summary.success.n), *tasks, success(summary)))
            chapter.figures[row.condition] = summary.to_dict()
        return chapter
