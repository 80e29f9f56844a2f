"""What success needs: each eye closed, shown something else, or all but blind; and a camera that is knocked about."""

from __future__ import annotations

from tristage_ros.bench.model.table import Table
from tristage_ros.studies.cell import CONDITIONS
from tristage_ros.studies.compared import lot_of_3d, one_modality
from tristage_ros.studies.parts.core import OURS
from tristage_ros.studies.parts.families import ByFamily
from tristage_ros.studies.parts.part import Chapter, Row, against, points, success
from tristage_ros.studies.protocol import BUTTON, NEED, PRACTICE, STACK, TRAINED, Family
from tristage_ros.studies.summary import compare, summarise
from tristage_ros.studies.variant import UNPRUNED, Variant

EYES: dict[str, tuple[Variant, str]] = {  # variant and condition; of a family with one of its own, variants alone
    "both eyes": (UNPRUNED, ""),
    "3D tokens masked out": (one_modality("2D"), ""),
    "2D tokens masked out": (one_modality("3D"), ""),
    "99 % of the 3D tokens dropped by lot": (lot_of_3d(), ""),
    "another scene's cloud": (UNPRUNED, "other-cloud"),
    "blank image": (UNPRUNED, "blank-image"),
    "blank cloud": (UNPRUNED, "blank-cloud"),
}
NEED_NOTE = (
    "Unpruned but for what the row takes away, the same episodes in every row. Masked out: the decoder never sees the "
    "tokens. Another scene's cloud: that of another attempt at the same task, by the same cameras, the arm where this "
    "one's is; its depth goes with it. Difference to both eyes with its 95 % interval."
)
PRACTICE_NOTE = (
    "2 cm and 3 degrees are standard deviations per axis. Calibrated anew: the model is told where the camera is; not "
    "told, image and points are where they are not. A lens of another length and one camera less are told, too; no "
    "policy was trained on them."
)


class Need(ByFamily):
    """Take one eye after the other away, family by family."""

    name = "need"
    title = "Which eye is needed"
    number = NEED

    def rows(self) -> list[Row]:
        """Return what every eye is worth to every family."""
        return [self._row(family, *way) for family in self.families for way in self._ways(family).values()]

    def chapter(self) -> Chapter:
        """Return success with either eye and without."""
        table = Table(self.title, ("what is seen", *(family.label for family in self.families)), note=NEED_NOTE)
        chapter = Chapter(self.title, tables=[table])
        for words, way in EYES.items():
            cells = []
            for family in self.families:
                if words not in self._ways(family):
                    cells.append("")
                    continue
                row = self._row(family, *way)
                mine, whole = self.episodes(row), self.episodes(self.of(family))
                summary, paired = summarise(mine), compare(mine, whole)
                if summary is None or paired is None:
                    cells.append("")
                    continue
                lost = f"{points(paired.difference)} [{points(paired.low)}, {points(paired.high)}]"
                cells.append(f"{100 * summary.success.rate:.0f}" if way == (UNPRUNED, "") else lost)
                chapter.figures[f"{family.name}, {words}"] = summary.to_dict()
            if any(cells):
                table.rows.append((words, *cells))
        return chapter

    def _row(self, family: Family, variant: Variant, condition: str) -> Row:
        return self.of(family, variant, condition)

    def _ways(self, family: Family) -> dict[str, tuple[Variant, str]]:
        """Return what can be taken from a family: a condition of its own leaves no room for another one."""
        return {words: way for words, way in EYES.items() if family.condition == "plain" or not way[1]}


CAMERAS = ("plain", "recalibrated", "moved-camera", "elsewhere", "noise", "zoom", "wide", "front-alone")


class Practice(ByFamily):
    """Knock the camera about, tell where it is now or do not, exchange it, take one off."""

    name = "practice"
    title = "Cameras in practice"
    number = PRACTICE

    @property
    def families(self) -> dict[Family, tuple[str, ...]]:
        """Return the families whose camera is where the cameras file says."""
        return {family: tasks for family, tasks in super().families.items() if family in (TRAINED, BUTTON, STACK)}

    def rows(self) -> list[Row]:
        """Return every condition, unpruned and ours."""
        return [
            self.of(family, variant, condition)
            for condition in CAMERAS
            for family in self.families
            for variant in (UNPRUNED, OURS)
        ]

    def chapter(self) -> Chapter:
        """Return success under every condition."""
        columns = ("camera", "method", *(family.label for family in self.families), "to unpruned [95 %]")
        table = Table(self.title, columns, note=PRACTICE_NOTE)
        chapter = Chapter(self.title, tables=[table])
        for condition in CAMERAS:
            for variant in (UNPRUNED, OURS):
                rows = [self.of(family, variant, condition) for family in self.families]
                every = {key: record for row in rows for key, record in self.episodes(row).items()}
                unpruned = [self.of(family, UNPRUNED, condition) for family in self.families]
                whole = {key: record for row in unpruned for key, record in self.episodes(row).items()}
                if (summary := summarise(every, whole)) is None:
                    continue
                found = [summarise(self.episodes(row)) for row in rows]
                cells = ["" if one is None else success(one) for one in found]
                compared = "" if variant == UNPRUNED else against(summary)
                table.rows.append((CONDITIONS[condition].label, variant.label, *cells, compared))
                chapter.figures[f"{condition}, {variant.name}"] = summary.to_dict()
        return chapter
