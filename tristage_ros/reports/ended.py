"""How a run ended, in a few sentences, and two runs of the same scene side by side in one page and table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from os.path import relpath
from pathlib import Path

import numpy as np

from tristage_ros.devices.arm.values import ArmMode, ChunkState
from tristage_ros.reports.report import STYLE, ReportPaths
from tristage_ros.reports.run import Run
from tristage_ros.reports.summary import in_seconds, instruction

ABLE = (ArmMode.HOLDING, ArmMode.MOVING)


@dataclass(frozen=True)
class Ended:
    """Hold what a run came to."""

    done: bool | None  # None: nobody judged it
    done_at: float  # s since the start of the run
    enabled_at: float  # s since the start of the run
    steps: int
    pruned: float  # 0..1 of the visual tokens, mean of the steps that pruned; 0 where none did
    milliseconds: float  # median of a control step
    accepted: int  # chunks, since it was enabled
    refused: int
    reason: str  # of the last that was refused

    @staticmethod
    def of(run: Run) -> Ended:
        """Take it from a recorded run."""
        rates = [step.rate for step in run.pruning if step.pruned]
        since = next((k for k, (_, status) in enumerate(run.status) if status.mode in ABLE), len(run.status))
        told = [status for _, status in run.status[since:]]  # of an arm that was not enabled every refusal is right
        accepted, refused = (
            getattr(told[-1], name) - getattr(told[0], name) if told else 0
            for name in ("chunks_accepted", "chunks_refused")
        )
        refusals = [status.chunk_reason for status in told if status.chunk_state == ChunkState.REFUSED]
        done_at, done = run.task_done[-1] if run.task_done else (math.nan, None)
        return Ended(
            done=done,
            done_at=done_at,
            enabled_at=run.status[since][0] if told else 0.0,
            steps=len(run.pruning),
            pruned=float(np.mean(rates)) if rates else 0.0,
            milliseconds=float(np.median([step.total_ms for step in run.timings])) if run.timings else math.nan,
            accepted=accepted,
            refused=refused,
            reason=refusals[-1] if refusals else "",
        )


def sentences(run: Run) -> list[str]:
    """Say what was done after how long, at what cost, and what went wrong."""
    ended, task = Ended.of(run), instruction(run)
    said = []
    if ended.done:
        said.append(f"Done: {task}, {in_seconds(run, ended.enabled_at, ended.done_at)} after the arm was enabled.")
    elif ended.done is False:
        said.append(f"Not done in {in_seconds(run, ended.enabled_at, run.duration)}: {task}.")
    if ended.steps:
        pruned = f"{ended.pruned:.0%} of the visual tokens pruned" if ended.pruned else "no token pruned"
        said.append(f"{ended.steps} control steps of {ended.milliseconds:.0f} ms (median), {pruned}.")
    if ended.refused:
        said.append(f"{ended.refused} of {ended.accepted + ended.refused} chunks were refused: {ended.reason}.")
    if run.slowest > 1.0:
        said.append(
            f"This computer was too slow, or too busy, for real time: the cell's time passed up to {run.slowest:g} "
            "times more slowly than the clock."
        )
    return said


def rows(pruned: Run, unpruned: Run) -> list[tuple[str, str, str, str]]:
    """Return name, both values and how they compare; ratios only of what both did."""
    one, other = Ended.of(pruned), Ended.of(unpruned)
    ratio = other.milliseconds / one.milliseconds if one.milliseconds else math.nan
    told = [
        ("task", _task(pruned), _task(unpruned), ""),
        ("control steps", str(one.steps), str(other.steps), ""),
        ("chunks refused", str(one.refused), str(other.refused), ""),
        ("visual tokens pruned", f"{one.pruned:.0%}", f"{other.pruned:.0%}", ""),
        (
            "control step, median",
            f"{one.milliseconds:.0f} ms",
            f"{other.milliseconds:.0f} ms",
            f"{ratio:.2f} times as fast" if math.isfinite(ratio) else "",
        ),
    ]
    if max(pruned.slowest, unpruned.slowest) > 1.0:
        told.append(("times slower than the clock, at most", f"{pruned.slowest:g}", f"{unpruned.slowest:g}", ""))
    return told


def _task(run: Run) -> str:
    ended = Ended.of(run)
    if ended.done is None:
        return "not judged"
    return f"done after {in_seconds(run, ended.enabled_at, ended.done_at)}" if ended.done else "not done"


_CAUTION = (
    "One run of one scene each: whether the task is done differs from seed to seed, and the ratio of the times is that "
    "of this model on this computer."
)


def side_by_side(reports: Mapping[str, ReportPaths], seed: str, folder: Path) -> Path:
    """Write `compare.html` about a pruned and an unpruned run of one scene, by label, into `folder`; return its path.

    Raises:
        OSError: it cannot be written.
    """
    runs = [paths.run for paths in reports.values() if paths.run is not None]
    table = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows(*runs))
    head = "".join(f"<th>{name}</th>" for name in ("", *reports, ""))
    links = "".join(
        f'<td><a href="{escape(relpath(paths.html, folder))}">report of the {label} run</a></td>'
        for label, paths in reports.items()
    )
    pictures = "".join(
        f'<h2>{label}</h2><img alt="{label}" src="{escape(relpath(paths.figures["episode"], folder))}">'
        for label, paths in reports.items()
        if "episode" in paths.figures
    )
    title = f"{instruction(runs[0])}, seed {seed}: pruned and unpruned"
    page = folder / "compare.html"
    page.write_text(
        f'<!doctype html>\n<html lang=en><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1><p class=note>{_CAUTION}</p>"
        f"<table><tr>{head}</tr>{table}<tr><td></td>{links}<td></td></tr></table>{pictures}</body></html>\n",
        encoding="utf-8",
    )
    return page
