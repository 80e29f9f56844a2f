"""Fig. 7: thresholds, momentum and window, one varied at a time."""

from __future__ import annotations

from matplotlib.figure import Figure

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.reports.figures import BLUE, GREEN
from tristage_ros.studies.parts.part import Chapter, Part, Row, against, pruned, success
from tristage_ros.studies.summary import Summary
from tristage_ros.studies.variant import Variant

TIMES = (0.5, 0.75, 1.0, 1.25)  # the calibrated thresholds
BETAS = (0.5, 0.75, 0.85, 0.95)
WINDOWS = (2, 4, 7, 10)
NOTE = (
    "Robot preset with calibrated thresholds, guarded; no budget, so that the thresholds decide how much is pruned. "
    "tau: 0.5 to 1.25 times its calibrated value, as far as tau_2d <= tau_3d <= 1 allows. Speed: recompute, over "
    "unpruned, measured in this run. The paper varies around its own defaults and reports success within 3.3 points "
    "and more than 2.3x everywhere."
)


class Figure7(Part):
    """Vary tau_2d, tau_3d, beta and k around the calibrated values."""

    name = "figure7"
    title = "Fig. 7: sensitivity"
    number = 30

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the first task."""
        return self.study.scope.tasks[:1]

    def rows(self) -> list[Row]:
        """Return the unpruned row and every value of every setting."""
        return [self.row(), *(self.row(variant) for values in self.sweeps().values() for variant in values.values())]

    def sweeps(self) -> dict[str, dict[float, Variant]]:
        """Return the variants by setting and value."""
        found = self.study.thresholds()
        tau_2d, tau_3d = found.tau_2d, found.tau_3d
        values: dict[str, tuple[float, ...]] = {
            "tau_2d": tuple(round(min(t * tau_2d, tau_3d), 4) for t in TIMES),
            "tau_3d": tuple(round(min(max(t * tau_3d, tau_2d), 1.0), 4) for t in TIMES),
            "beta": BETAS,
            "window": WINDOWS,
        }
        return {name: {value: self.variant(name, value) for value in some} for name, some in values.items()}

    def variant(self, name: str, value: float) -> Variant:
        """Return the calibrated variant with one setting changed."""
        settings = dict(self.study.thresholds().settings) | {name: value}
        settings["tau_2d"] = min(settings["tau_2d"], settings["tau_3d"])
        return Variant("tristage", None, True, "calibrated", tuple(settings.items()))

    def chapter(self) -> Chapter:
        """Return a table and a panel per setting."""
        columns = ("setting", "value", "n", "success % [95 %]", "to unpruned [95 %]", "pruned 2D / 3D %", "recompute")
        chapter = Chapter(self.title, NOTE, [Table(self.title, columns)])
        found = {row.variant: summary for row, summary in self.found()}
        speeds = self.study.speeds(list(found))
        panels: dict[str, list[tuple[float, Summary, float]]] = {}
        for name, values in self.sweeps().items():
            for value, variant in values.items():
                if (summary := found.get(variant)) is None:
                    continue
                speed = speeds[variant.name].over_unpruned("recompute")
                cells = (str(summary.success.n), success(summary), against(summary), pruned(summary), ratio(speed))
                chapter.tables[0].rows.append((name, f"{value:g}", *cells))
                chapter.figures[variant.name] = summary.to_dict() | {"speed": speed}
                panels.setdefault(name, []).append((value, summary, speed))
        chapter.pictures["figure7.png"] = draw(panels)
        return chapter


def draw(panels: dict[str, list[tuple[float, Summary, float]]]) -> Figure:
    """Draw success with its interval, and speed, over the values of every setting."""
    figure = Figure(figsize=(11, 3.2))
    if not panels:
        return figure
    for ax, (name, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        x, y = [value for value, _, _ in points], [100 * s.success.rate for _, s, _ in points]
        low = [max(at - 100 * s.success.low, 0) for at, (_, s, _) in zip(y, points, strict=True)]
        high = [max(100 * s.success.high - at, 0) for at, (_, s, _) in zip(y, points, strict=True)]
        ax.errorbar(x, y, [low, high], fmt="o-", color=GREEN, ms=4, capsize=2)
        ax.set(title=name, ylim=(0, 103), ylabel="success, %" if name == next(iter(panels)) else "")
        right = ax.twinx()
        right.plot(x, [speed for _, _, speed in points], "s--", color=BLUE, ms=4)
        right.set(ylim=(1, None), ylabel="speedup, recompute" if name == list(panels)[-1] else "")
        right.grid(False)
    return figure
