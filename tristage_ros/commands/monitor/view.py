"""The whole picture of a run in one terminal window, from 80x24 on."""

from __future__ import annotations

import math

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rich.layout import Layout
from rich.style import Style
from rich.text import Text
from tristage_msgs.msg import PruningStats

from tristage_ros.commands.monitor.table import QUIET, arm_text, pruning_table, salience_table, timings_table
from tristage_ros.perception.overlay import KEPT_COLORS
from tristage_ros.ros.operator import Operator

CELL = 2  # characters of a patch: about a square
LABELS = {"both": "2D+3D kept", "2D only": "2D", "3D only": "3D", "neither": "pruned"}
LETTERS = {"both": "#", "2D only": "-", "3D only": "o", "neither": "."}  # where there are no colours
LEVELS = {
    DiagnosticStatus.ERROR: ("ERROR", "bold red"),
    DiagnosticStatus.WARN: ("WARN", "yellow"),
    DiagnosticStatus.STALE: ("STALE", "magenta"),
}


def view(operator: Operator, width: int, height: int, colored: bool = True) -> Layout:
    """Return the picture for a terminal of `width` x `height` characters; a small one goes without the mask."""
    grid = math.isqrt(len(operator.pruning.keep_2d)) if operator.pruning else 16
    with_mask = width >= CELL * grid + 46 and height >= grid + 8
    middle = Layout(name="step", size=grid if with_mask else 16)
    numbers = [
        Layout(pruning_table(operator.pruning), size=5),
        Layout(salience_table(operator.pruning), size=5),
        Layout(timings_table(operator.timings), size=6),
    ]
    right = Layout(name="numbers")
    right.split_column(*numbers)
    middle.split_row(
        *([Layout(mask(operator.pruning, grid, colored), size=CELL * grid + 1)] if with_mask else []), right
    )
    whole = Layout()
    whole.split_column(
        Layout(headline(operator), size=1),
        middle,
        *([Layout(legend(colored), size=1)] if with_mask else []),
        Layout(arm_text(operator.arm, operator.silence("arm/status")), size=3),
        Layout(diagnostics(operator, max(1, height - 20 - with_mask)), name="diagnostics"),
    )
    return whole


def headline(operator: Operator) -> Text:
    """Return one line: what the newest step did, or what is silent."""
    step = operator.pruning
    if not operator.heard:
        return Text(
            f"Nothing is published (ROS_DOMAIN_ID {operator.domain}). Is the graph running? tristage run piper_pick",
            style="bold yellow",
        )
    if step is None:
        return Text("No control step yet: nothing on /tristage/pruning", style="bold yellow")
    silence = operator.silence("tristage/pruning")
    text = Text(f"step {step.step}", style="bold")
    if step.pruned:
        shares = f"2D {step.rate_2d:.0%}, 3D {step.rate_3d:.0%}"
        text += Text(f": {step.rate:.0%} pruned ({shares}), kept {step.tokens_2d} + {step.tokens_3d}", style="not bold")
    else:
        text += Text(": on all tokens", style="not bold")
    return text + Text(f"   no step for {silence:.0f} s" if silence > QUIET else "", style="bold yellow")


def mask(message: PruningStats | None, grid: int, colored: bool) -> Text:
    """Return the patch grid of the front image in the colours of the overlay."""
    if message is None:
        return Text("\n" * (grid // 2) + "no mask yet".center(CELL * grid), style="dim")
    patch = np.array(message.patch_of_point)
    keep_3d = np.zeros(len(message.keep_2d), bool)
    keep_3d[patch[(patch >= 0) & np.array(message.keep_3d, bool)]] = True
    kinds = np.array(message.keep_2d, np.int64) + 2 * keep_3d  # in the order of KEPT_COLORS
    cells = _cells(colored)
    text = Text(no_wrap=True)
    for row in kinds.reshape(grid, grid):
        for kind in row:
            text.append_text(cells[kind])
        text.append("\n")
    return text


def legend(colored: bool) -> Text:
    """Return what the colours of the mask mean."""
    text, cells = Text(), dict(zip(KEPT_COLORS, _cells(colored), strict=True))
    for kind, label in LABELS.items():
        text.append_text(cells[kind])
        text.append(f" {label}   ")
    return text


def _cells(colored: bool) -> list[Text]:
    """Return how a patch is shown, in the order of `KEPT_COLORS`."""
    if not colored:
        return [Text(LETTERS[kind] * CELL) for kind in KEPT_COLORS]
    return [Text(" " * CELL, Style(bgcolor=f"#{bytes(color).hex()}")) for color in KEPT_COLORS.values()]


def diagnostics(operator: Operator, lines: int) -> Text:
    """Return what is wrong, the worst first, in at most `lines` lines, and how many parts are well."""
    parts = [(operator.level(name), name, status.message) for name, status in operator.diagnostics.items()]
    wrong = sorted((part for part in parts if part[0] in LEVELS), key=lambda part: list(LEVELS).index(part[0]))
    hidden = max(0, len(wrong) - lines + 1) if len(wrong) >= lines else 0
    text = Text(no_wrap=True, overflow="ellipsis")
    for level, name, message in wrong[: len(wrong) - hidden]:
        text.append(*LEVELS[level])
        text.append(f"  {name}: {message}\n")
    more = f"{hidden} more in trouble, " if hidden else ""
    return text.append(f"{more}{len(parts) - len(wrong)} of {len(parts)} parts OK", "dim")
