"""Robustness: what the paper leaves out."""

from __future__ import annotations

from statistics import fmean

from tristage_ros.bench.model.table import Table
from tristage_ros.studies.condition import CONDITIONS
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, percent, success
from tristage_ros.studies.parts.table2 import MAIN_RATE
from tristage_ros.studies.summary import Episodes
from tristage_ros.studies.variant import UNPRUNED, Variant

CONTINUOUS = 30  # episodes of a row under continuous control
UNDER = ("plain", "noise", "moved-camera", "company", "hand")
PRUNED = tuple(Variant("tristage", MAIN_RATE, guard, "robot") for guard in (True, False))
NOTE = (
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
    number = 12

    def rows(self) -> list[Row]:
        """Return every condition for every way to prune."""
        variants = (UNPRUNED, *PRUNED)
        rows = [Row(variant, "key frames", condition) for condition in UNDER for variant in variants]
        return rows + [Row(v, "continuous", condition) for condition in ("plain", "dropped") for v in variants]

    def tasks_of(self, row: Row) -> tuple[str, ...]:
        """Return the first task alone under continuous control, whose episodes take ten times as long."""
        return self.tasks[:1] if row.mode == "continuous" else self.tasks

    def count(self, row: Row) -> int:
        """Return the number of episodes of a task."""
        return CONTINUOUS if row.mode == "continuous" else self.number

    def chapter(self) -> Chapter:
        """Return success under every condition."""
        columns = ("condition", "mode", "method", "n", "success % [95 %]", "to unpruned [95 %]", "seen 2D / 3D %")
        table = Table(self.title, columns, note=NOTE)
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
    kept = {
        side: [v for record in episodes.values() for v in record.steps.get(f"hand_kept_{side}", ()) if v is not None]
        for side in ("2d", "3d")
    }
    return " / ".join(percent(fmean(values)) if values else "-" for values in kept.values()) if kept["2d"] else ""
