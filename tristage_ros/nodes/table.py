"""The live terminal table of a run."""

from __future__ import annotations

from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from tristage_msgs.msg import ArmStatus, PruningStats, StageTimings

from tristage_ros.nodes.operator import Operator

MODES = {
    ArmStatus.DISCONNECTED: ("disconnected", "bold red"),
    ArmStatus.DISABLED: ("disabled", "yellow"),
    ArmStatus.HOLDING: ("holding", "green"),
    ArmStatus.MOVING: ("moving", "bold green"),
    ArmStatus.FAULT: ("FAULT", "bold red"),
}
WIDTH = 12  # characters of a full bar


def status_table(operator: Operator, remaining: float) -> Group:
    """Return the whole display; `remaining` seconds are left."""
    step = operator.timings.step if operator.timings else 0
    tables = Columns([_pruning(operator.pruning), _timings(operator.timings)], padding=(0, 4))
    panel = Panel(tables, title=f"step {step}", subtitle=f"{remaining:.0f} s left", expand=False)
    return Group(panel, _arm(operator.arm), *(Text(line, style="yellow") for line in operator.trouble()))


def _bar(share: float, style: str) -> Text:
    filled = round(min(max(share, 0.0), 1.0) * WIDTH)
    return Text("█" * filled, style=style) + Text("░" * (WIDTH - filled), style="bright_black")


def _pruning(message: PruningStats | None) -> Table:
    table = Table(title="tokens pruned", title_justify="left", box=None)
    for column in ("", "2D", "", "3D", ""):
        table.add_column(column, no_wrap=True)
    rows = ("stage 1", "stage 2", "fused", "applied")
    rates = zip(message.stage_rates_2d, message.stage_rates_3d, strict=True) if message else [(0.0, 0.0)] * 4
    for name, (rate_2d, rate_3d) in zip(rows, rates, strict=True):
        table.add_row(
            name, f"{rate_2d:4.0%}", _bar(rate_2d, "bright_blue"), f"{rate_3d:4.0%}", _bar(rate_3d, "orange3")
        )
    if message:
        table.caption_justify = "left"
        table.caption = (
            f"kept {message.tokens_2d} + {message.tokens_3d}" if message.pruned else "kept all: unpruned step"
        )
    return table


def _timings(message: StageTimings | None) -> Table:
    table = Table(title="ms per step", title_justify="left", box=None, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    m = message or StageTimings()
    for name, value in (
        ("preprocess", m.preprocess_ms),
        ("tokens", m.image_tokens_ms + m.point_tokens_ms),
        ("stage 1 + 2 + 3, fusion", m.stage1_ms + m.stage2_ms + m.stage3_ms + m.fusion_ms),
        ("prefill", m.prefill_ms),
        ("denoise", m.denoise_ms),
        ("total", m.total_ms),
        ("camera to action", m.action_age_ms),
    ):
        table.add_row(name, f"{value:6.1f}")
    table.add_row("pruning overhead", f"{m.overhead_percent:5.1f} %")
    table.add_row("control rate", f"{m.control_rate_hz:4.1f} Hz")
    table.add_row("frames skipped", f"{m.frames_skipped}")
    return table


def _arm(message: ArmStatus | None) -> Text:
    if message is None:
        return Text("arm: no status", style="red")
    mode, style = MODES.get(message.mode, (str(message.mode), ""))
    text = Text("arm: ") + Text(mode, style=style) + Text(f"  {message.reason}", style="dim")
    text += Text(
        f"\nchunks {message.chunks_accepted} accepted, {message.chunks_refused} refused {message.chunk_reason}",
        style="dim",
    )
    joints = " ".join(f"{value:6.2f}" for value in message.joint_position)
    return text + Text(f"\njoints [rad] {joints}   gripper {message.gripper_opening * 1e3:.0f} mm", style="dim")
