"""The command `tristage monitor`: the newest of a run in a terminal, also over ssh; the space bar stops the arm."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.style import Style
from rich.table import Table
from rich.text import Text
from tristage_msgs.msg import ArmStatus, PruningStats, StageTimings

from tristage_ros.commands.terminal import every_key, typed
from tristage_ros.graph.middleware import one_machine, without_images
from tristage_ros.perception.color import KEPT_COLORS
from tristage_ros.ros.context import begin
from tristage_ros.ros.operator import Operator

PERIOD = 0.25  # s between two pictures
PATIENCE = 10.0  # s that a single picture waits for the first control step
SETTLED = 2.0  # s without a new part after which all have spoken, which every node does once a second


def monitor(once: bool, ros_arguments: Sequence[str] = (), console: Console | None = None) -> int:
    """Show the run until a signal; `once`: print one picture as soon as there is one.

    Args:
        once: print one picture.
        ros_arguments: those of the node, such as its namespace.
        console: where it is shown, default this terminal.

    Returns:
        0, with `once` 1 when nothing was published.

    Raises:
        OSError: the output is no terminal, and not one picture only was asked for.
    """
    console = console or Console()
    if not once and not console.is_terminal:
        raise OSError("the monitor needs a terminal; --once prints one picture into a file or a pipe")
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    for name, value in without_images(one_machine(simulated=False)).items():
        os.environ.setdefault(name, value)
    begin(ros_arguments)
    operator, executor = Operator("monitor"), SingleThreadedExecutor()
    executor.add_node(operator)
    try:
        return _print_once(operator, executor, console, stop) if once else _watch(operator, executor, console, stop)
    finally:
        executor.shutdown(timeout_sec=1.0)
        operator.destroy_node()
        rclpy.try_shutdown()


def _watch(operator: Operator, executor: SingleThreadedExecutor, console: Console, stop: threading.Event) -> int:
    # The alternate screen: what was in the terminal before is there again afterwards.
    with every_key(), Live(console=console, screen=True, auto_refresh=False) as live:
        due = 0.0
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.02)
            if " " in typed():
                operator.call("stop")
            if time.monotonic() >= due:
                due = time.monotonic() + PERIOD
                live.update(view(operator, *console.size), refresh=True)
    return 0


def _print_once(operator: Operator, executor: SingleThreadedExecutor, console: Console, stop: threading.Event) -> int:
    end = time.monotonic() + PATIENCE
    parts, since = operator.parts(), time.monotonic()
    while not stop.is_set() and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
        if operator.parts() != parts:
            parts, since = operator.parts(), time.monotonic()
        if operator.complete() and time.monotonic() > since + SETTLED:
            break
    width, height = max(console.width, 80), max(console.height, 24)
    colored = console.color_system is not None
    console.print(view(operator, width, height, colored), width=width, height=height)
    return 0 if operator.heard else 1


# The whole picture of a run in one terminal window, from 80x24 on.

CELL_WIDTH = 2  # characters of a patch: about a square
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
    with_mask = width >= CELL_WIDTH * grid + 46 and height >= grid + 8
    middle = Layout(name="step", size=grid if with_mask else 16)
    numbers = [
        Layout(pruning_table(operator.pruning), size=5),
        Layout(salience_table(operator.pruning), size=5),
        Layout(timings_table(operator.timings), size=6),
    ]
    right = Layout(name="numbers")
    right.split_column(*numbers)
    middle.split_row(
        *([Layout(mask(operator.pruning, grid, colored), size=CELL_WIDTH * grid + 1)] if with_mask else []), right
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
    silence = operator.silence("tristage/pruning") / operator.dilation
    text = Text(f"step {step.step}", style="bold")
    if step.pruned:
        shares = f"2D {step.rate_2d:.0%}, 3D {step.rate_3d:.0%}"
        text += Text(f": {step.rate:.0%} pruned ({shares}), kept {step.tokens_2d} + {step.tokens_3d}", style="not bold")
    else:
        text += Text(": on all tokens", style="not bold")
    if operator.dilation > 1.0:
        text += Text(f"   time {operator.dilation:g} times slower", style="yellow")
    return text + Text(f"   no step for {silence:.0f} s" if silence > QUIET else "", style="bold yellow")


def mask(message: PruningStats | None, grid: int, colored: bool) -> Text:
    """Return the patch grid of the front image in the colours of the overlay."""
    if message is None:
        return Text("\n" * (grid // 2) + "no mask yet".center(CELL_WIDTH * grid), style="dim")
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
        return [Text(LETTERS[kind] * CELL_WIDTH) for kind in KEPT_COLORS]
    return [Text(" " * CELL_WIDTH, Style(bgcolor=f"#{bytes(color).hex()}")) for color in KEPT_COLORS.values()]


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


# The tables, from the newest messages; 46 columns wide at most. The demo shows them, too.

QUIET = 5.0  # s without a message before it is said
MODES = {
    ArmStatus.DISCONNECTED: ("disconnected", "bold red"),
    ArmStatus.DISABLED: ("disabled", "yellow"),
    ArmStatus.HOLDING: ("holding", "green"),
    ArmStatus.MOVING: ("moving", "bold green"),
    ArmStatus.FAULT: ("FAULT", "bold red"),
}
BAR_WIDTH = 10  # characters of a full bar
BAR_COLORS = tuple(f"#{bytes(KEPT_COLORS[kind]).hex()}" for kind in ("2D only", "3D only"))  # as in the overlay
STAGES = ("stage 1", "stage 2", "fused", "applied")
SETS = ("background", "robot", "object")


def status_table(operator: Operator, remaining: float) -> Group:
    """Return the display of a run of which `remaining` seconds are left."""
    step = operator.timings.step if operator.timings else 0
    if operator.led:
        head: RenderableType = Text(f"led by hand, {remaining:.0f} s left", style="bold")
    else:
        tables = Group(pruning_table(operator.pruning), Text(), timings_table(operator.timings))
        slowed = f", {operator.dilation:g} times slower" if operator.dilation > 1.0 else ""
        head = Panel(tables, title=f"step {step}", subtitle=f"{remaining:.0f} s left{slowed}", expand=False)
    return Group(head, arm_text(operator.arm), *(Text(line, style="yellow") for line in operator.trouble()))


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
    text += Text(f"\n{_asks(message)}", style="dim")
    joints = " ".join(f"{value:6.2f}" for value in message.joint_position)
    return text + Text(f"\njoints [rad] {joints}   gripper {message.gripper_opening * 1e3:.0f} mm", style="dim")


LEADS = {ArmStatus.LEADER: "leader", ArmStatus.JOINTS: "joint states", ArmStatus.TWIST: "tool velocities"}
LEADING = {
    ArmStatus.TOO_FAR: "too far",
    ArmStatus.READY: "ready",
    ArmStatus.CATCHING_UP: "the arm catches up",
    ArmStatus.LEADING: "the arm follows",
}


def _asks(message: ArmStatus) -> str:
    """Return what becomes of what is asked of the arm, by who owns it."""
    if message.command_source in LEADS:
        state = LEADING.get(message.leading, "does not lead")
        return f"{LEADS[message.command_source]}: {state}. {message.leading_reason}".rstrip(". ")
    return f"chunks {message.chunks_accepted} accepted, {message.chunks_refused} refused {message.chunk_reason}"


def _bars(title: str, left: str, right: str, rows: dict[str, tuple[float, float]], form: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for name in (title, left, "", right, ""):
        table.add_column(name, no_wrap=True)
    for name, (value_2d, value_3d) in rows.items():
        bars = _bar(value_2d, BAR_COLORS[0]), _bar(value_3d, BAR_COLORS[1])
        table.add_row(name, form.format(value_2d), bars[0], form.format(value_3d), bars[1])
    return table


def _bar(share: float, style: str) -> Text:
    filled = round(min(max(share, 0.0), 1.0) * BAR_WIDTH) if math.isfinite(share) else 0
    return Text("█" * filled, style=style) + Text("░" * (BAR_WIDTH - filled), style="bright_black")
