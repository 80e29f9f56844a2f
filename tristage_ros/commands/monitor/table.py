"""The tables of a run in a terminal, from the newest messages; 46 columns wide at most."""

from __future__ import annotations

import math

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from tristage_msgs.msg import ArmStatus, PruningStats, StageTimings

from tristage_ros.perception.overlay import KEPT_COLORS
from tristage_ros.ros.operator import Operator

QUIET = 5.0  # s without a message before it is said
MODES = {
    ArmStatus.DISCONNECTED: ("disconnected", "bold red"),
    ArmStatus.DISABLED: ("disabled", "yellow"),
    ArmStatus.HOLDING: ("holding", "green"),
    ArmStatus.MOVING: ("moving", "bold green"),
    ArmStatus.FAULT: ("FAULT", "bold red"),
}
WIDTH = 10  # characters of a full bar
COLORS = tuple(f"#{bytes(KEPT_COLORS[kind]).hex()}" for kind in ("2D only", "3D only"))  # as in the overlay
STAGES = ("stage 1", "stage 2", "fused", "applied")
SETS = ("background", "robot", "object")


def status_table(operator: Operator, remaining: float) -> Group:
    """Return the display of a run of which `remaining` seconds are left."""
    step = operator.timings.step if operator.timings else 0
    tables = Group(pruning_table(operator.pruning), Text(), timings_table(operator.timings))
    panel = Panel(tables, title=f"step {step}", subtitle=f"{remaining:.0f} s left", expand=False)
    return Group(panel, arm_text(operator.arm), *(Text(line, style="yellow") for line in operator.trouble()))


def pruning_table(message: PruningStats | None) -> Table:
    """Return the share of tokens that each stage would prune, and that was pruned."""
    rates = zip(message.stage_rates_2d, message.stage_rates_3d, strict=True) if message else [(0.0, 0.0)] * 4
    return _bars("tokens pruned", "2D", "3D", dict(zip(STAGES, rates, strict=True)), "{:4.0%}")


def salience_table(message: PruningStats | None) -> Table:
    """Return the mean salience of both modalities: over all patches in stage 1, by semantic set in stage 2."""
    m = message or PruningStats()
    sets = zip(m.salience_2d_by_set, m.salience_3d_by_set, strict=True)
    rows = {"S1 all": (m.salience_2d_stage1, m.salience_3d_stage1)}
    rows |= {f"S2 {name}": pair for name, pair in zip(SETS, sets, strict=True)}
    return _bars("salience", "M_2d", "M_3d", rows, "{:4.2f}")


def timings_table(message: StageTimings | None) -> Table:
    """Return the milliseconds of each part of a step, and what the step amounts to."""
    m = message or StageTimings()
    cells = (
        ("preprocess", f"{m.preprocess_ms:.1f}", "prefill", f"{m.prefill_ms:.1f}"),
        ("tokens", f"{m.image_tokens_ms + m.point_tokens_ms:.1f}", "denoise", f"{m.denoise_ms:.1f}"),
        ("pruning", f"{m.pruning_ms:.1f}", "total", f"{m.total_ms:.1f}"),
        ("camera to action", f"{m.action_age_ms:.1f}", "overhead", f"{m.overhead_percent:.1f} %"),
        ("frames missed", f"{m.frames_skipped}", "rate", f"{m.control_rate_hz:.1f} Hz"),
    )
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for name, justify in (("ms per step", "left"), ("", "right"), ("", "left"), ("", "right")):
        table.add_column(name, justify=justify, no_wrap=True, min_width=8)  # type: ignore[arg-type]
    for row in cells:
        table.add_row(*row)
    return table


def arm_text(message: ArmStatus | None, silence: float = 0.0) -> Text:
    """Return three lines about the arm, of which nothing was heard for `silence` s."""
    if message is None:
        return Text("arm: no status", style="red")
    if silence > QUIET:
        return Text(f"arm: no status for {silence:.0f} s", style="red")
    mode, style = MODES.get(message.mode, (str(message.mode), ""))
    text = Text("arm: ") + Text(mode, style=style) + Text(f"  {message.reason}", style="dim")
    text += Text(
        f"\nchunks {message.chunks_accepted} accepted, {message.chunks_refused} refused {message.chunk_reason}",
        style="dim",
    )
    joints = " ".join(f"{value:6.2f}" for value in message.joint_position)
    return text + Text(f"\njoints [rad] {joints}   gripper {message.gripper_opening * 1e3:.0f} mm", style="dim")


def _bars(title: str, left: str, right: str, rows: dict[str, tuple[float, float]], form: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for name in (title, left, "", right, ""):
        table.add_column(name, no_wrap=True)
    for name, (value_2d, value_3d) in rows.items():
        bars = _bar(value_2d, COLORS[0]), _bar(value_3d, COLORS[1])
        table.add_row(name, form.format(value_2d), bars[0], form.format(value_3d), bars[1])
    return table


def _bar(share: float, style: str) -> Text:
    filled = round(min(max(share, 0.0), 1.0) * WIDTH) if math.isfinite(share) else 0
    return Text("█" * filled, style=style) + Text("░" * (WIDTH - filled), style="bright_black")
