"""Chapters on disk: JSON, Markdown and pictures in the folder of results, and chapters of a document."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

from tristage_ros.bench.model.table import write_chapter
from tristage_ros.reports.figures import STYLE
from tristage_ros.studies.parts import Chapter

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
