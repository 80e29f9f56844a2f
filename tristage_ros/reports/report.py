"""One page about one run: its bag -> figures and an HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tristage_ros.bags.reader import BagError
from tristage_ros.reports import figures
from tristage_ros.reports.black_box import page as black_box
from tristage_ros.reports.black_box.record import is_black_box
from tristage_ros.reports.episode_figure import episode
from tristage_ros.reports.figures import salience
from tristage_ros.reports.run import Run, bag_of, read_run
from tristage_ros.reports.summary import Row, arm_events, summarize
from tristage_ros.reports.trial import page as trial
from tristage_ros.reports.trial.file import FILE

STAGES = "Stage 1 and 2 show what each would prune alone; applied is what is left after fusion, budget and guards."
STRIP = (
    "The front image and what was kept of it; the numbers are the times in the curves. 0 % pruned: ran on all tokens."
)
SALIENCE = "Means over patches. M_2d near 1: the image token of a patch says more; M_3d near 1: its points do."
SECTIONS = (
    (
        "Episode",
        "episode",
        episode,
        STRIP,
    ),
    ("Pruning by stage", "pruning", figures.pruning_rates, STAGES),
    ("Salience", "salience", salience, SALIENCE),
    ("Time", "timings", figures.timings, "Wall clock of each control step of the policy."),
    ("Cameras", "views", figures.views, "First, middle and last image."),
    (
        "Path of the tool",
        "trajectory",
        figures.trajectory,
        "The grasp centre in the base frame; the site.",
    ),
    ("Joints", "joints", figures.joints, "Measured joint positions; the axes span the limits."),
)
MARKS = "Red lines in the figures are where it took hold."
LAST_SECOND = (
    "In steps of 10 ms: what was asked of every joint, where it was, what its motor did; who said what, by its number."
)
OUTCOMES = (
    "Bars are intervals of 95 %: Wilson's of the rates, Newcombe's of their difference. A pair is a column, a "
    "dot marks its first run. Below, the pairs in which both succeeded: on the line both took as long."
)
ERROR = 2
LEVELS = {1: "warning", ERROR: "error", 3: "stale"}
ALARM = ' class="alarm"'
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1150px;margin:2em auto;padding:0 1em}
h1{font-size:1.6em;margin-bottom:0}h2{margin:1.6em 0 .2em;border-bottom:1px solid #ddd}
table{border-collapse:collapse;margin:1em 0}
td,th{padding:.25em 1.2em .25em 0;text-align:left;vertical-align:top;border-bottom:1px solid #eee}
.small{font-size:.7em}.small td,.small th{padding:.1em .5em .1em 0}
img{max-width:100%}.note{color:#666;margin:.2em 0}.missing{color:#666;font-style:italic}
.alarm{color:#c00000;font-weight:bold}
"""


@dataclass(frozen=True)
class ReportPaths:
    """Say where the report was written."""

    html: Path
    figures: dict[str, Path]  # by section; those without data are missing
    run: Run | None = None  # that it tells about; None: of a black box


def report(bag: str | Path, out_dir: str | Path | None, facts: Mapping[str, object]) -> ReportPaths:
    """Write `report.html` and its figures as PNG files about `bag`, or a folder with one or a trial, into `out_dir`.

    Without an `out_dir` it goes into the run's folder or beside the bag; that of an arm's black box, of which many lie
    in one folder, into one of its name. `facts` are shown in the summary: `checkpoint` (empty: random weights, shown as
    an alarm) and whatever else the bag cannot know, by name. A section whose topics were not recorded says so.

    Raises:
        BagError: the bag cannot be read.
        TrialError: the trial is not done, or its file is damaged.
        OSError: the report cannot be written.
    """
    path = Path(bag)
    if (path / FILE).exists():
        return _trial(path, Path(out_dir or path))
    if is_black_box(bag_of(path)):
        return _black_box(path, Path(out_dir or path.with_suffix("")))
    return _run(path, Path(out_dir or (path if (path / "bag").exists() else path.parent)), facts)


def _black_box(path: Path, folder: Path) -> ReportPaths:
    folder.mkdir(parents=True, exist_ok=True)
    told, rows, picture = black_box.sections(path, folder)
    parts = [_summary(path, rows), "<h2>The last second</h2>", _figure("The last second", picture, LAST_SECOND)]
    parts += [f"<h2>{escape(title)}</h2>{content}" for title, content in told]
    html = folder / "report.html"
    html.write_text(_page(f"Black box {path.stem}", parts), encoding="utf-8")
    return ReportPaths(html, {picture.stem: picture})


def _trial(path: Path, folder: Path) -> ReportPaths:
    told, rows, picture = trial.sections(path, folder)
    parts = [_summary(path, rows), "<h2>Outcomes</h2>", _figure("Outcomes", picture, OUTCOMES)]
    parts += [f"<h2>{escape(title)}</h2>{content}" for title, content in told]
    html = folder / "report.html"
    html.write_text(_page(f"Trial {path.resolve().name}", parts), encoding="utf-8")
    return ReportPaths(html, {picture.stem: picture})


def _run(bag: Path, folder: Path, facts: Mapping[str, object]) -> ReportPaths:
    run = read_run(bag)
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    parts = [_summary(run.path, summarize(run, facts)), *_changes(run)]
    for title, name, draw, note in SECTIONS:
        parts.append(f"<h2>{title}</h2>")
        try:
            figure = figures.draw(draw, run)
        except (figures.NotRecordedError, BagError) as error:
            parts.append(f'<p class="missing">{escape(str(error))}</p>')
            continue
        paths[name] = folder / f"{name}.png"
        figure.savefig(paths[name])
        parts.append(_figure(title, paths[name], note))
    parts += [_events(run), _diagnostics(run)]
    html = folder / "report.html"
    html.write_text(_page(f"Run {_name(bag)}", parts), encoding="utf-8")
    return ReportPaths(html, paths, run)


def _name(bag: Path) -> str:
    path = bag.resolve()
    return path.parent.name if path.name == "bag" else path.name


def _page(title: str, parts: Sequence[str]) -> str:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts])
    return f"<!doctype html>\n<html lang=en><head>{head}<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"


def _summary(path: Path, rows: Sequence[Row]) -> str:
    lines = "".join(f"<tr><th>{escape(row.name)}</th>{_cell(row.value, row.alarming)}</tr>" for row in rows)
    return f'<p class="note">{escape(str(path))}</p>\n<table>{lines}</table>'


def _cell(text: str, alarming: bool = False) -> str:
    return f"<td{ALARM if alarming else ''}>{escape(text)}</td>"


def _figure(title: str, path: Path, note: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<p class="note">{escape(note)}</p><img alt="{escape(title)}" src="data:image/png;base64,{data}">'


def _changes(run: Run) -> list[str]:
    """Return what was set on the policy meanwhile; the figures mark the steps that had it first."""
    if not run.changes:
        return []
    rows = "".join(
        f"<tr>{_cell(f'{run.since_start(change.time):.1f} s')}{_cell(str(change.step + 1))}"
        f"{_cell('; '.join(change.in_words()))}</tr>"
        for change in run.changes
    )
    columns = "<tr><th>when</th><th>from control step</th><th>what</th></tr>"
    return [f"<h2>Set while it ran</h2><p class='note'>{MARKS}</p><table>{columns}{rows}</table>"]


def _events(run: Run) -> str:
    heading = "<h2>Faults and refusals of the arm</h2>"
    if not run.status:
        return f'{heading}<p class="missing">/arm/status was not recorded</p>'
    events = arm_events(run)
    if not events:
        return f"{heading}<p>None: every chunk was carried out, and there was no fault.</p>"
    rows = "".join(
        f"<tr>{_cell(event.what, event.alarming)}{_cell(event.reason)}{_cell(event.when)}{_cell(str(event.count))}</tr>"
        for event in events
    )
    return f"{heading}<table><tr><th>what</th><th>reason</th><th>when</th><th>times</th></tr>{rows}</table>"


def _diagnostics(run: Run) -> str:
    heading = "<h2>Diagnostics</h2>"
    if not run.diagnostics:
        return f'{heading}<p class="missing">/diagnostics was not recorded</p>'
    troubles: dict[tuple[str, int, str], list[float]] = {}
    for time, status in run.diagnostics:
        if status.level:
            troubles.setdefault((status.name, status.level, status.message), []).append(time)
    if not troubles:
        return f"{heading}<p>No part of any node reported a warning or an error.</p>"
    rows = "".join(
        f"<tr>{_cell(LEVELS[level], level == ERROR)}{_cell(name)}{_cell(message)}"
        f"{_cell(f'{times[0]:.0f} … {times[-1]:.0f} s')}{_cell(str(len(times)))}</tr>"
        for (name, level, message), times in sorted(troubles.items(), key=lambda item: (-item[0][1], item[1][0]))
    )
    columns = "".join(f"<th>{name}</th>" for name in ("level", "part", "message", "from … to", "seconds"))
    return f"{heading}<table><tr>{columns}</tr>{rows}</table>"
