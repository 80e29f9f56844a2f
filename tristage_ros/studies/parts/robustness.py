"""Other conditions than those trained for: controls and robustness.

Controls: what the tasks are without eyes, and with the wrong words. Robustness: disturbances, which the paper leaves
out.
"""

from __future__ import annotations

from statistics import fmean

from tristage_ros.bench.model.table import Table
from tristage_ros.studies.cell import CONDITIONS
from tristage_ros.studies.parts.core import MAIN_RATE
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, percent, success
from tristage_ros.studies.protocol import BLIND, CONTINUOUS_FEWER, DISTURBED
from tristage_ros.studies.summary import Episodes, summarise
from tristage_ros.studies.variant import UNPRUNED, Variant

BLIND_OR_MISLED = ("plain", "blank-image", "blank-cloud", "blank", "company", "wrong-instruction")
CONTROLS_NOTE = (
    "Unpruned. Blank: the image grey all over, every point of the cloud in its middle. Wrong instruction: another "
    "task's things stand on the table as well, and that task's instruction is given."
)


class Controls(Part):
    """Show that the tasks cannot be solved blind, nor by ignoring the instruction."""

    name = "controls"
    title = "Controls: blind and misled"
    number = BLIND

    def rows(self) -> list[Row]:
        """Return the unpruned policy under every condition."""
        return [Row(UNPRUNED, self.mode, name) for name in BLIND_OR_MISLED]

    def chapter(self) -> Chapter:
        """Return success under every condition."""
        table = Table(self.title, ("condition", "n", *self.tasks, "all % [95 %]"), note=CONTROLS_NOTE)
        chapter = Chapter(self.title, tables=[table])
        for row in self.rows():
            if (summary := summarise(self.episodes(row))) is None:
                continue
            tasks = [percent(summary.by_task[t].rate) if t in summary.by_task else "" for t in self.tasks]
            label = CONDITIONS[row.condition].label
            table.rows.append((label, str(summary.success.n), *tasks, success(summary)))
            chapter.figures[row.condition] = summary.to_dict()
        return chapter


DISTURBANCES = ("plain", "noise", "moved-camera", "company", "hand")
PRUNED = tuple(Variant("tristage", MAIN_RATE, guard, "robot") for guard in (True, False))
ROBUSTNESS_NOTE = (
    "Differences are to the unpruned policy under the same condition, on the same episodes. Seen: share of the image "
    "tokens / point tokens on the hand that a pruned step kept, from the step on in which it comes in."
)
DROPPED = (
    "Dropped frames are under continuous control, where a frame that does not come is a control step less: with key "
    "frames the arm would only wait for the next one. Continuous rows are of the first task."
)


class Robustness(Part):
    """Disturb what the policy sees, unpruned and pruned, with the change guard and without."""

    name = "robustness"
    title = "Robustness"
    number = DISTURBED

    def rows(self) -> list[Row]:
        """Return every condition for every way to prune."""
        variants = (UNPRUNED, *PRUNED)
        rows = [Row(variant, "key frames", condition) for condition in DISTURBANCES for variant in variants]
        return rows + [Row(v, "continuous", condition) for condition in ("plain", "dropped") for v in variants]

    def tasks_of(self, row: Row) -> tuple[str, ...]:
        """Return the first task alone under continuous control, whose episodes take ten times as long."""
        return self.tasks[:1] if row.mode == "continuous" else self.tasks

    def count(self, row: Row) -> int:
        """Return the number of episodes of a task."""
        return CONTINUOUS_FEWER if row.mode == "continuous" else self.share(self.number)

    def chapter(self) -> Chapter:
        """Return success under every condition."""
        columns = ("condition", "mode", "method", "n", "success % [95 %]", "to unpruned [95 %]", "seen 2D / 3D %")
        table = Table(self.title, columns, note=ROBUSTNESS_NOTE)
        chapter = Chapter(self.title, note=DROPPED, tables=[table])
        for row, summary in self.found():
            label, n = CONDITIONS[row.condition].label, str(summary.success.n)
            seen = kept_of_hand(self.episodes(row)) if row.condition == "hand" else ""
            compared = "" if row.variant == UNPRUNED else against(summary)
            table.rows.append((label, row.mode, row.variant.label, n, success(summary), compared, seen))
            chapter.figures[f"{row.condition}, {row.mode}, {row.variant.name}"] = summary.to_dict()
        return chapter


def kept_of_hand(episodes: Episodes) -> str:
    """Return the mean share of the hand's tokens that were kept, for print; empty where it was never seen."""
    names = {side: f"hand_kept_{side}" for side in ("2d", "3d")}
    kept = {side: [r.mean(name) for r in episodes.values() if name in r.means] for side, name in names.items()}
    return " / ".join(percent(fmean(values)) if values else "-" for values in kept.values()) if kept["2d"] else ""
