"""The command `tristage compare`, and what `tristage replay` ends with: a table, JSON, curves and an exit code."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from tristage_ros.reports.compare.compare import AXES, UNITS, Comparison, compare, read_steps
from tristage_ros.reports.smoothness import SMOOTHNESS, in_words
from tristage_ros.reports.style import BLACK, BLUE, GREEN, ORANGE, RED, SKY, STYLE

EXIT_DIFFERENT = 1
LOSSY = (
    "  pictures: recorded as JPEG, with loss. The replay saw them so, the policy of the live run did not, and actions "
    "differ by that alone, whatever was changed. record_color:=png loses nothing; two replays of a bag see the same."
)


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
    runs = [read_steps(first), read_steps(second)]
    for run in runs:
        for note in run.notes:
            console.print(f"[yellow]note:[/yellow] {run.path}: {note}", soft_wrap=True, highlight=False)
    result = compare(*runs)
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


def print_comparison(result: Comparison, console: Console) -> None:
    """Print what changed, how far the actions are apart, and rates, masks and times of both runs."""
    console.print(_head(result), soft_wrap=True)
    for line in result.settings:
        console.print(f"  changed: {line}", soft_wrap=True, highlight=False)
    if result.lossy and not result.identical:
        console.print(LOSSY, soft_wrap=True, highlight=False)
    if result.steps:
        console.print(_actions(result), _others(result))


def _head(result: Comparison) -> str:
    text = f"{result.steps} control steps in both runs"
    if result.only_first or result.only_second:
        text += f", {result.only_first} only in the first, {result.only_second} only in the second"
    if result.identical:
        return f"{text}: masks and actions are identical, bit by bit"
    if result.first_difference is not None:
        return f"{text}; the first that differs is step {result.first_difference}"
    return text


def _actions(result: Comparison) -> Table:
    table = Table("difference of the actions", "", *(name for name in ("mean", "p95", "max")), title_justify="left")
    for axis, unit in zip(AXES, UNITS, strict=True):
        spread = result.action[axis]
        table.add_row(axis, unit, *(f"{value:.2f}" for value in (spread.mean, spread.p95, spread.max)))
    return table


def _others(result: Comparison) -> Table:
    table = Table("", "first run", "second run", "difference")
    for name, (first, second) in result.rates.items():
        largest = np.abs(np.subtract(first, second)).max()
        label = {"rate": "tokens pruned", "rate_2d": "2D tokens pruned", "rate_3d": "3D tokens pruned"}[name]
        table.add_row(label, f"{np.mean(first):.1%}", f"{np.mean(second):.1%}", f"at most {largest:.1%} in a step")
    for name, shares in (("2D", result.masks_2d), ("3D", result.masks_3d)):
        table.add_row(f"same fate of {name} tokens", "", "", f"{np.mean(shares):.1%}, at least {min(shares):.1%}")
    first, second = result.milliseconds
    if first and second:
        for name, share in (("median", 50), ("p95", 95)):
            times = [np.percentile(run, share) for run in (first, second)]
            row = [f"{value:.0f} ms" for value in times]
            table.add_row(f"control step, {name}", *row, f"{times[1] - times[0]:+.0f} ms")
    for name, runs in result.moved.items():
        for figure, *values in zip(SMOOTHNESS, *map(in_words, runs), strict=True):
            table.add_row(f"{figure}, {name}", *values, "")
    return table


RUNS = (("first run", "-", 2.4), ("second run", "--", 1.4))
COLORS = {"rate": BLACK, "rate_2d": BLUE, "rate_3d": ORANGE}
NAMES = {"rate": "all tokens", "rate_2d": "2D", "rate_3d": "3D"}


def comparison_figure(result: Comparison) -> Figure:
    """Draw pruning rates of both runs, the agreement of their masks, the differences of their actions, and times."""
    figure = Figure(figsize=(10, 10))
    rates, masks, actions, times = figure.subplots(4, 1, sharex=True)
    steps = np.arange(1, result.steps + 1)
    dots = {"marker": "o", "ms": 3} if len(steps) < 60 else {}
    for name, pair in result.rates.items():
        for values, (run, dashes, width) in zip(pair, RUNS, strict=True):
            label = f"{NAMES[name]}, {run}"
            rates.plot(steps, 100 * np.array(values), dashes, color=COLORS[name], lw=width, label=label)
    rates.set(title="Tokens pruned", ylabel="%", ylim=(-3, 103))
    for name, shares, color in (("2D", result.masks_2d, BLUE), ("3D", result.masks_3d, ORANGE)):
        masks.plot(steps, 100 * np.array(shares), color=color, label=f"{name} tokens", **dots)
    masks.set(title="Tokens kept or pruned in both runs", ylabel="%", ylim=(None, 101))
    errors = np.abs(np.array(result.errors).reshape(-1, 7))
    per_step = errors.reshape(len(steps), -1, 7).max(axis=1) if len(steps) else np.zeros((0, 7))
    for name, columns, color in (("mm", slice(0, 3), GREEN), ("degrees", slice(3, 6), RED), ("% gripper", [6], SKY)):
        actions.plot(steps, per_step[:, columns].max(axis=1, initial=0.0), color=color, label=name, **dots)
    actions.set(title="Difference of the actions, largest axis", ylim=(0, None))
    for values, (run, dashes, width) in zip(result.milliseconds, RUNS, strict=True):
        times.plot(np.arange(1, len(values) + 1), values, dashes, color=BLACK, lw=width, label=run)
    times.set(title="Control step", ylabel="ms", xlabel="control step", ylim=(0, None))
    for ax in (rates, masks, actions, times):
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
