"""The command `tristage evaluate`: run the episodes of tables and figures, print them, write them down."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import matplotlib

from tristage_ros.bench.model.table import show, write_chapter
from tristage_ros.pruning.baselines import METHODS
from tristage_ros.reports.style import STYLE
from tristage_ros.simulation.tasks import task_called
from tristage_ros.studies.options import CORE, EVERYTHING, EYES, MORE, choice, command_line, parts_of
from tristage_ros.studies.parts import PARTS, Chapter, Part
from tristage_ros.studies.plan import announced, menu, plans_of
from tristage_ros.studies.pool import Spread
from tristage_ros.studies.protocol import CHOOSING, FIRST_SEED, MARGIN, TRAINED_FROM
from tristage_ros.studies.store import Models
from tristage_ros.studies.study import Scope, Study


def run(options: argparse.Namespace) -> int:
    """Evaluate as the options say; return the exit code.

    Raises:
        ValueError: an option names something that there is not, or nothing is asked for; the message says what there
            is.
    """
    spread, scope = Spread.of(options.processes, options.cluster), scope_of(options)
    study = Study(scope, options.out, spread, print_only=options.print_only)
    try:
        names = parts_of(options)
        if not names:
            show([menu(("matrix", "looks", *EYES, *EVERYTHING), study)])
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
    return Scope(models, tasks, options.seed, options.episodes, methods, rates)


def _listed(words: str | None) -> tuple[str, ...] | None:
    """Return what commas separate, each once; None where nothing was said."""
    return None if words is None else tuple(dict.fromkeys(word.strip() for word in words.split(",")))


def _publish(part: Part, options: argparse.Namespace) -> None:
    with matplotlib.rc_context(STYLE):
        chapter: Chapter = part.chapter()
    if chapter.note:
        print(chapter.note.replace("**", ""))
    show(chapter.tables)
    facts = _facts(options, part)
    write(chapter, options.out / CHAPTERS, part.name, facts)
    if options.document is not None:
        write_into(options.document, chapter, facts)


def _facts(options: argparse.Namespace, part: Part) -> dict[str, str]:
    rows = part.rows()
    modes = dict.fromkeys(row.mode for row in rows) or {"key frames": None}
    models = {mode: part.study.scope.models.described(mode) for mode in modes}
    facts = {
        "command": f"`{command_line(options, part.name)}`",
        "model": ", ".join(f"{model} for {mode}" if len(models) > 1 else model for mode, model in models.items()),
    }
    if rows:
        seeds = [seed for row in rows for seed in (part.seeds(row)[0], part.seeds(row)[-1])]
        facts["episodes"] = f"seeds {min(seeds)} to {max(seeds)} of {', '.join(part.tasks)}"
    if part.study.clocked:
        facts["speed"] = f"{'; '.join(part.study.clocked)}, one thread"
        part.study.clocked.clear()
    return facts


# Chapters on disk: JSON, Markdown and pictures in the folder of results, and chapters of a document.

CHAPTERS = "chapters"  # folder of them in that of the results
PICTURES = "results"  # folder of pictures beside the document
HEAD = f"""Written by `tristage evaluate --document docs/results.md`: a run replaces its own chapters, `make results`
the core (tables 2 and 3), `make results-more` all others. The episodes lie in `docs/results/episodes`; `--print-only`
writes the chapters of them again and runs nothing.

- **Episodes.** The mini model in the simulated cell, one episode per seed from {FIRST_SEED} on: where things stand,
  light, colours, clutter and the arm's start follow from task and seed alone, so that every row meets the same
  scenes. Success is judged on the physical state. Nothing below seed {CHOOSING.stop} is reported: settings were chosen
  and speeds are measured there. The policy was trained on seeds from {TRAINED_FROM} on.
- **What is pruned.** Before its first action a method looks as often as it needs to prune at all, with the arm at rest,
  so that no action of a pruned row comes from an unpruned look. Success stands over the tokens that were really pruned
  and the time that a step really takes, not over the rate that was asked for.
- **Doubt.** Success has Wilson's 95 % interval. Differences are those of the same episodes, with Newcombe's paired
  interval and McNemar's exact test. No p value is corrected for the number of rows. Non-inferior: the interval of the
  difference lies above -{100 * MARGIN:g} points; that margin stood before the episodes ran.
- **Presets.** *paper*: the published settings, literally. *carried over*: its thresholds of stage 1 in units of the
  model (scale_3d). *robot*: carried over, with budget, guard against change, age limit, rotating background. A target
  rate fixes how many tokens a step keeps, in buckets of 16.
- **Against the paper.** There a 7B model drives a Panda in RLBench on an A100; here a model of a few million weights
  drives a Piper on two CPU cores. Its figures stand beside ours to compare directions, not values.
"""


def write(chapter: Chapter, folder: Path, name: str, facts: dict[str, str]) -> None:
    """Write a chapter's figures, text and pictures into a folder."""
    folder.mkdir(exist_ok=True)
    found = {"title": chapter.title, "facts": facts, "figures": chapter.figures}
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    _save_pictures(chapter, folder)
    (folder / f"{name}.md").write_text(f"## {chapter.title}\n\n{markdown(chapter, facts, '')}", encoding="utf-8")


def write_into(document: Path, chapter: Chapter, facts: dict[str, str]) -> None:
    """Put a chapter into a document, its pictures beside it; the core's come first, and its headline ahead of all."""
    if not document.exists():
        document.parent.mkdir(parents=True, exist_ok=True)
        document.write_text(f"# Results\n\n{HEAD}", encoding="utf-8")
    if chapter.pictures:
        (document.parent / PICTURES).mkdir(exist_ok=True)
        _save_pictures(chapter, document.parent / PICTURES)
    write_chapter(document, chapter.title, markdown(chapter, facts, f"{PICTURES}/"))
    head, *chapters = re.split(r"^## ", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if chapter.headline:
        head = f"# Results\n\n{chapter.headline}\n\n{HEAD}\n"
    order = [PARTS[name].title for name in (*CORE, *MORE)]
    places = {title: place - len(CORE) for place, title in enumerate(order)}  # what is written by hand: behind the core
    chapters.sort(key=lambda text: places.get(text.partition("\n")[0].strip(), -0.5))
    body = "\n\n".join(f"## {text.strip()}" for text in chapters)
    document.write_text(f"{head.strip()}\n\n{body}\n", encoding="utf-8")


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
