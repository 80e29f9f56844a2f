"""The command `tristage compare`, and what `tristage replay` ends with: a table, JSON, curves and an exit code."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib
from rich.console import Console

from tristage_ros.reports.compare.compare import compare, read_steps
from tristage_ros.reports.compare.figure import comparison_figure
from tristage_ros.reports.compare.table import print_comparison
from tristage_ros.reports.figures import STYLE

EXIT_DIFFERENT = 1


def run(options: argparse.Namespace) -> int:
    """Compare as the options say; return the exit code.

    Raises:
        BagError: a bag cannot be read, or has no control step.
        OSError: the folder cannot be written.
    """
    out = options.out or (options.second if (options.second / "bag").is_dir() else options.second.parent)
    return compare_and_tell(options.first, options.second, out, dict(options.limit), options.identical, Console())


def compare_and_tell(
    first: Path, second: Path, out: Path, limits: Mapping[str, float], identical: bool, console: Console
) -> int:
    """Compare two bags, print a table and write `comparison.json` and `comparison.png` into `out`.

    Returns:
        0, or 1 when the runs are further apart than `limits` allow.

    Raises:
        BagError: a bag cannot be read, or has no control step.
        OSError: the folder cannot be written.
    """
    result = compare(read_steps(first), read_steps(second))
    print_comparison(result, console)
    out.mkdir(parents=True, exist_ok=True)
    (out / "comparison.json").write_text(json.dumps(result.as_json(), indent=1), encoding="utf-8")
    with matplotlib.rc_context(STYLE):
        comparison_figure(result).savefig(out / "comparison.png")
    console.print(f"written: comparison.json and comparison.png in {out}", soft_wrap=True)
    if not result.steps:
        console.print("the runs have no step in common: in real time they fall on other frames; see --lockstep")
        return EXIT_DIFFERENT if limits or identical else 0
    violations = result.violations(limits, identical)
    for line in violations:
        console.print(f"[bold red]too different:[/bold red] {line}", soft_wrap=True, highlight=False)
    return EXIT_DIFFERENT if violations else 0
