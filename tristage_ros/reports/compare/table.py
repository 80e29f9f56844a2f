"""A comparison of two runs as a table in the terminal."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table

from tristage_ros.reports.compare.compare import AXES, UNITS, Comparison


def print_comparison(result: Comparison, console: Console) -> None:
    """Print what changed, how far the actions are apart, and rates, masks and times of both runs."""
    console.print(_head(result), soft_wrap=True)
    for line in result.settings:
        console.print(f"  changed: {line}", soft_wrap=True, highlight=False)
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
    return table
