"""The page about a black box."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

import matplotlib
import numpy as np

from tristage_ros.bags.black_box.contents import ERROR, NAMES
from tristage_ros.reports.black_box.figure import draw
from tristage_ros.reports.black_box.record import AFTER, BEFORE, BlackBox, read
from tristage_ros.reports.black_box.summary import summarize
from tristage_ros.reports.style import STYLE
from tristage_ros.reports.summary import Row

Line = tuple[float, str, str, bool]  # time, s; lane; text; whether it is alarming


def sections(path: Path, folder: Path) -> tuple[list[tuple[str, str]], list[Row], Path]:
    """Return the parts of the page (title and HTML), the rows of its summary, and the figure that was written.

    Raises:
        BagError: the black box is damaged.
        OSError: the figure cannot be written.
    """
    box = read(path)
    near = sorted((line for line in _lines(box) if -BEFORE <= line[0] <= AFTER), key=lambda line: line[0])
    with matplotlib.rc_context(STYLE):
        figure = draw(box, {number: (time, lane) for number, (time, lane, _, _) in enumerate(near, 1)})
        picture = folder / "fault.png"
        figure.savefig(picture)
    asked = [(event.time, event.kind, event.text, event.level >= ERROR) for event in box.events]
    parts = [
        ("Frames, calls and texts of the picture", _table(near, numbered=True)),
        ("All calls and texts of the last minute", _table(asked)),
        (f"Steps of {1e3 * float(np.diff(box.steps.times)[0]):.0f} ms", _steps(box)),
    ]
    return parts, summarize(box), picture


def _lines(box: BlackBox) -> Iterable[Line]:
    for event in box.events:
        yield event.time, event.kind, event.text, event.level >= ERROR
    for word in box.words:
        times = f" ({word.count} times)" if word.count > 1 else ""
        yield max(word.time, -BEFORE), word.source, f"{word.text}{times}", False


def _table(lines: list[Line], numbered: bool = False) -> str:
    rows = []
    for number, (time, lane, text, alarming) in enumerate(lines, 1):
        cells = [str(number)] * numbered + [f"{time:+.3f} s", lane, text]
        style = ' class="alarm"' if alarming else ""
        rows.append("<tr>" + "".join(f"<td{style}>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table>{''.join(rows)}</table>" if rows else "<p>None.</p>"


def _steps(box: BlackBox) -> str:
    steps, groups = box.steps, ("target", "measured", "effort")
    units = ["rad"] * 6 + ["mm"]
    head = "".join(f"<th colspan=7>{name}</th>" for name in groups)
    names = "".join(
        f"<th>{name} [{'N m' if group == 'effort' else unit}]</th>"
        for group in groups
        for name, unit in zip(NAMES, units, strict=True)
    )
    rows = []
    for k, time in enumerate(steps.times):
        mode = steps.mode[k]
        scale = np.array([1.0] * 6 + [1e3])
        values = [*steps.target[k] * scale, *steps.measured[k] * scale, *steps.effort[k]]
        cells = "".join(f"<td>{'-' if np.isnan(value) else f'{value:.3f}'}</td>" for value in values)
        rows.append(f"<tr><td>{time:+.2f}</td><td>{mode.name.lower() if mode is not None else '-'}</td>{cells}</tr>")
    top = f"<tr><th>s</th><th>mode</th>{head}</tr><tr><th></th><th></th>{names}</tr>"
    table = f'<table class="small">{top}{"".join(rows)}</table>'
    return f"<details><summary>targets, measured, efforts</summary>{table}</details>"
