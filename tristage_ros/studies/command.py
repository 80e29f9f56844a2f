"""The command: run the episodes of tables and figures, print them, write them down."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

import matplotlib
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tristage_ros.bench.model.machine import describe
from tristage_ros.bench.model.table import show
from tristage_ros.pruning.baselines import METHODS
from tristage_ros.reports.figures import STYLE
from tristage_ros.simulation.tasks import task_called
from tristage_ros.studies import document
from tristage_ros.studies.models import Models
from tristage_ros.studies.options import command_line, parts_of
from tristage_ros.studies.parts import PARTS, Chapter, Part
from tristage_ros.studies.pool import Spread
from tristage_ros.studies.record import Record
from tristage_ros.studies.study import Scope, Study


def run(options: argparse.Namespace) -> int:
    """Evaluate as the options say; return the exit code.

    Raises:
        ValueError: an option names something that there is not; the message says what there is.
    """
    spread, scope = Spread.of(options.processes, options.cluster), scope_of(options)
    study = Study(scope, options.out, spread)
    try:
        for name in parts_of(options):
            part = PARTS[name](study)
            if not options.print_only:
                study.run(part.jobs(), _progress)
            _publish(part, options)
    except KeyboardInterrupt:
        print(f"interrupted: finished episodes are kept in {options.out}; the same command goes on from there")
        return 130
    finally:
        study.close()
    if scope.models.key_frames is None:
        print("RANDOM WEIGHTS: nothing here is about success")
    print(f"written: {options.out}")
    return 0


def scope_of(options: argparse.Namespace) -> Scope:
    """Return the scope that the options describe. Raises ValueError for what there is not."""
    tasks, methods = options.tasks.split(","), options.methods.split(",")
    for task in tasks:
        task_called(task)
    if unknown := [method for method in methods if method not in METHODS]:
        raise ValueError(f"no method is called {unknown[0]!r}; there are: {', '.join(METHODS)}")
    try:
        rates = tuple(float(rate) for rate in options.rates.split(","))
    except ValueError:
        raise ValueError(f"--rates is {options.rates!r}; give numbers between 0 and 1 like 0.5,0.7") from None
    models = Models.called(options.checkpoint)
    return Scope(models, tuple(tasks), options.seed, options.episodes, tuple(methods), rates)


def _publish(part: Part, options: argparse.Namespace) -> None:
    with matplotlib.rc_context(STYLE):
        chapter: Chapter = part.chapter()
    show(chapter.tables)
    facts = _facts(options, part)
    document.write(chapter, options.out, part.name, facts)
    if options.document is not None:
        document.write_into(options.document, chapter, facts)


def _facts(options: argparse.Namespace, part: Part) -> dict[str, str]:
    import torch

    modes = dict.fromkeys(row.mode for row in part.rows()) or {"key frames": None}
    models = {mode: part.study.scope.models.described(mode) for mode in modes}
    machine = describe(torch.device("cpu"), "float32")
    return {
        "command": f"`{command_line(options, part.name)}`",
        "model": ", ".join(f"{model} for {mode}" if len(models) > 1 else model for mode, model in models.items()),
        "measured": f"{machine['date']}, {machine['cpu']}, {machine['software']}, one thread per process",
    }


def _progress(records: Iterable[Record], total: int) -> Iterator[Record]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    succeeded = 0
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        bar = progress.add_task("episodes", total=total)
        for number, record in enumerate(records, 1):
            yield record
            succeeded += record.success
            progress.update(bar, advance=1, description=f"episodes, {100 * succeeded / number:.0f} % succeed")
