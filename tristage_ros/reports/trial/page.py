"""The page about a trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import matplotlib

from tristage_ros.reports.style import STYLE
from tristage_ros.reports.summary import Row
from tristage_ros.reports.trial.figure import draw
from tristage_ros.reports.trial.file import OPERATOR, SIDES, Trial, opened
from tristage_ros.reports.trial.verdict import NAMES, Side, in_words, rows, sentences, verdict


def sections(path: Path, folder: Path) -> tuple[list[tuple[str, str]], list[Row], Path]:
    """Return the parts of the page (title and HTML), the rows of its summary, and the figure that was written.

    Raises:
        TrialError: the trial in `path` is not done, or its file is damaged.
        OSError: the figure cannot be written.
    """
    trial = opened(path)
    assert trial is not None, path
    found = verdict(trial)
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        picture = folder / "trial.png"
        draw(trial, found).savefig(picture)
    told = "".join(f"<p>{escape(line)}</p>" for line in sentences(found))
    parts = [
        ("Verdict", _table(NAMES, rows(found)) + told),
        ("Why runs ended that did not succeed", _ended(found.a, found.b)),
        ("All runs, in their order", _runs(trial)),
    ]
    return parts, _summary(trial, found.unread), picture


def _summary(trial: Trial, unread: Sequence[str]) -> list[Row]:
    plan = trial.plan
    judge = "the operator, who was not told which was run" if plan.judge == OPERATOR else "the simulated cell"
    return [
        *(Row(side, in_words(getattr(plan, side))) for side in SIDES),
        Row("Pairs", f"{plan.n}, their order drawn with seed {plan.seed}; {plan.max_seconds:g} s a run at most"),
        Row("Judged by", judge),
        *(Row("Not read", why, True) for why in unread),
    ]


def _ended(a: Side, b: Side) -> str:
    reasons = list(dict.fromkeys([*a.ended, *b.ended]))
    table = [(reason, *(str(side.ended.get(reason, 0)) for side in (a, b))) for reason in reasons]
    return _table(("", *SIDES), table) if table else "<p>All succeeded.</p>"


def _runs(trial: Trial) -> str:
    table = [
        (
            f"{result.pair}.{result.place}",
            trial.side(result.pair, result.place),
            result.outcome,
            result.reason,
            f"{result.seconds:.1f}",
            str(result.episode),
        )
        for result in trial.results
    ]
    return _table(("pair.run", "side", "outcome", "ended because", "s", "episode"), table)


def _table(names: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><tr>{head}</tr>{body}</table>"
