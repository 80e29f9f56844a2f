"""The command `tristage evaluate`: run the episodes of tables and figures, print them, write them down."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

from tristage_ros.bench.model.table import show, write_chapter
from tristage_ros.bench.model.timing import describe
from tristage_ros.pruning.baselines import METHODS
from tristage_ros.reports.style import STYLE
from tristage_ros.simulation.tasks import task_called
from tristage_ros.studies.options import EVERYTHING, choice, command_line, parts_of
from tristage_ros.studies.parts import PARTS, Chapter, Part
from tristage_ros.studies.plan import announced, menu, plans_of
from tristage_ros.studies.pool import Spread
from tristage_ros.studies.store import Models
from tristage_ros.studies.study import Scope, Study


def run(options: argparse.Namespace) -> int:
    """Evaluate as the options say; return the exit code.

    Raises:
        ValueError: an option names something that there is not, or nothing is asked for; the message says what there
            is.
    """
    spread, scope = Spread.of(options.processes, options.cluster), scope_of(options)
    study = Study(scope, options.out, spread)
    try:
        names = parts_of(options)
        if not names:
            show([menu(("matrix", *EVERYTHING), study)])
            raise ValueError("nothing was chosen, and nothing is run: give one or more of these, or --all")
        plans = plans_of(names, study)
        for line in [] if options.print_only else announced(plans, study):
            print(line, flush=True)
        for plan in plans:
            if options.print_only and plan.unbegun:
                print(f"{choice(plan.part)}: nothing to print, no episode is finished in {options.out}")
                continue
            part = PARTS[plan.part](study)
            if not options.print_only:
                study.run(part.jobs())
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
    tasks, methods = _listed(options.tasks), _listed(options.methods)
    for task in tasks or ():
        task_called(task)
    if unknown := [method for method in methods or () if method not in METHODS]:
        raise ValueError(f"no method is called {unknown[0]!r}; there are: {', '.join(METHODS)}")
    try:
        rates = None if options.rates is None else tuple(float(rate) for rate in _listed(options.rates) or ())
    except ValueError:
        raise ValueError(f"--rates is {options.rates!r}; give numbers between 0 and 1 like 0.5,0.7") from None
    models = Models.called(options.checkpoint)
    return Scope(models, tasks or (), options.seed, options.episodes, methods, rates)


def _listed(words: str | None) -> tuple[str, ...] | None:
    """Return what commas separate, each once; None where nothing was said."""
    return None if words is None else tuple(dict.fromkeys(word.strip() for word in words.split(",")))


def _publish(part: Part, options: argparse.Namespace) -> None:
    with matplotlib.rc_context(STYLE):
        chapter: Chapter = part.chapter()
    show(chapter.tables)
    facts = _facts(options, part)
    write(chapter, options.out, part.name, facts)
    if options.document is not None:
        write_into(options.document, chapter, facts)


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


# Chapters on disk: JSON, Markdown and pictures in the folder of results, and chapters of a document.

HEAD = """# Results

Written by `tristage evaluate --document docs/results.md`: a run replaces its own chapters, `make results` all of them.
Every chapter names the command that prints it again; finished episodes are kept, so that it goes on where it stopped.

- **Episodes.** The mini model in the simulated cell, one episode per seed from 9000 on: where things stand, light,
  colours, clutter and the arm's start follow from task and seed alone, so that every row meets the same scenes. Success
  is judged on the physical state. No success below seed 9000 is reported: 7000 to 7009 chose the calibrated
  thresholds, 7100 to 7139 the settings of robot, and speeds, errors and goals are measured on the expert's episodes of
  the former. The policy was trained on seeds from 5000000 on.
- **Doubt.** Success has Wilson's 95 % interval. Differences are those of the same episodes, with Newcombe's paired
  interval and McNemar's exact test. No p value is corrected for the number of rows.
- **Presets.** *paper*: the published settings. *robot*: budget, guard against change, age limit, rotating background.
  *calibrated*: robot, with thresholds of stage 1 that fit this model. A target rate fixes how many tokens all methods
  keep, in buckets of 16; the paper's r is nominal, its measured rates are lower. Guarded baselines have robot's guard.
- **Against the paper.** There a 7B model drives a Panda in RLBench on an A100; here a model of a few million weights
  drives a Piper on two CPU cores. Its figures stand beside ours to compare directions, not values.
"""
PICTURES = "results"  # folder of pictures beside the document


def write(chapter: Chapter, folder: Path, name: str, facts: dict[str, str]) -> None:
    """Write a chapter's figures, text and pictures into the folder of results."""
    found = {"title": chapter.title, "facts": facts, "figures": chapter.figures}
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    _save_pictures(chapter, folder)
    (folder / f"{name}.md").write_text(f"## {chapter.title}\n\n{markdown(chapter, facts, '')}", encoding="utf-8")


def write_into(document: Path, chapter: Chapter, facts: dict[str, str]) -> None:
    """Put a chapter into a document, its pictures beside it."""
    if not document.exists():
        document.parent.mkdir(parents=True, exist_ok=True)
        document.write_text(HEAD, encoding="utf-8")
    if chapter.pictures:
        (document.parent / PICTURES).mkdir(exist_ok=True)
        _save_pictures(chapter, document.parent / PICTURES)
    write_chapter(document, chapter.title, markdown(chapter, facts, f"{PICTURES}/"))


def markdown(chapter: Chapter, facts: dict[str, str], pictures: str) -> str:
    """Return a chapter's text; `pictures` is the path to them."""
    listed = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    shown = [f"![{name}]({pictures}{name})\n" for name in chapter.pictures]
    tables = [table.markdown() for table in chapter.tables]
    return "\n".join(filter(None, [listed + "\n", chapter.note and f"{chapter.note}\n", *tables, *shown]))


def _save_pictures(chapter: Chapter, folder: Path) -> None:
    with matplotlib.rc_context(STYLE):
        for name, figure in chapter.pictures.items():
            figure.savefig(folder / name, dpi=80, bbox_inches="tight")
