"""What a run is judged by: a few numbers, and what went wrong with the arm."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE, JOINT_LIMITS
from tristage_ros.devices.arm.values import ArmMode, ChunkState
from tristage_ros.reports.run import JOINT_NAMES, Run, site_of
from tristage_ros.reports.smoothness import SMOOTHNESS, in_words

LIMITS = np.vstack([JOINT_LIMITS, GRIPPER_RANGE])  # [7, 2] rad, the gripper in m
# Encoders read a little beyond the end where a joint rests on it.
JOINT_TOLERANCE = 0.01  # rad
GRIPPER_TOLERANCE = 0.002  # m
TOLD = ("tristage_ros", "torch", "python")
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Row:
    """Hold one line of the summary table."""

    name: str
    value: str
    alarming: bool = False


def summarize(run: Run, facts: Mapping[str, object]) -> list[Row]:
    """Return the summary of a run; `facts` is what the bag cannot know, such as `checkpoint` ("": random weights)."""
    return [*_about(run, facts), *_pruning(run), *_timing(run), *_arm(run), *_smoothness(run)]


def limits_exceeded(positions: NDArray[np.float64]) -> list[str]:
    """Name the joints that left their range by more than the tolerance, and by how much, in [n, 7] positions."""
    beyond = np.maximum(LIMITS[:, 0] - positions, positions - LIMITS[:, 1]).max(axis=0)
    by_joint = zip(JOINT_NAMES[:6], beyond, strict=False)
    joints = [f"{name} by {np.degrees(by):.1f}°" for name, by in by_joint if by > JOINT_TOLERANCE]
    return joints + [f"gripper by {beyond[6] * 1e3:.1f} mm"] * bool(beyond[6] > GRIPPER_TOLERANCE)


def control_rate(run: Run) -> float:
    """Return actions per second over the whole run, NaN before the second action."""
    times = run.action_times
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else np.nan


def _about(run: Run, facts: Mapping[str, object]) -> list[Row]:
    checkpoint = str(facts.get("checkpoint", _reported_checkpoint(run)))
    random = not checkpoint or "RANDOM WEIGHTS" in checkpoint
    rows = [Row("Checkpoint", "RANDOM WEIGHTS, the actions mean nothing" if random else checkpoint, random)]
    others = {name: value for name, value in facts.items() if name != "checkpoint"}
    rows += [Row(name.replace("_", " ").capitalize(), str(value)) for name, value in others.items()]
    if sha256 := run.facts.checkpoint.get("sha256"):
        rows.append(Row("SHA-256 of the weights", str(sha256)))
    if versions := run.facts.versions:
        rows.append(Row("Versions", ", ".join(f"{name} {versions[name]}" for name in TOLD if name in versions)))
    if run.task_done:
        rows.append(_task(run))
    if run.slowest > 1.0:
        rows.append(Row("Simulated time", _slowed(run), alarming=True))
    if site := site_of(run):
        kept = ", ".join(box.name for box in site.keep_out) or "no keep-out boxes"
        rows.append(Row("Site", f"{site.path}: table {site.table_height:g} m, {kept}, tool {site.tool_speed:g} m/s"))
    cut_off = "" if run.complete else f"; {run.break_}"
    rows.append(Row("Recorded", f"{run.duration:.1f} s{cut_off}", not run.complete))
    return rows + [Row("About the bag", note) for note in run.notes]


def _task(run: Run) -> Row:
    time, done = run.task_done[-1]  # published when it changes
    told = f"yes, after {in_seconds(run, 0.0, time)}: {instruction(run)}"
    return Row("Task done", told if done else f"no: {instruction(run)}", not done)


def instruction(run: Run) -> str:
    """Return what the policy was told to do."""
    return str(run.facts.parameters.get("policy", {}).get("instruction") or "the task")


def in_seconds(run: Run, begin: float, end: float) -> str:
    """Say how long it was between two times, s since the start; simulated seconds where these were other ones."""
    clock, simulated = end - begin, run.simulated(begin, end)
    if run.slowest == 1.0:
        return f"{clock:.1f} s"
    return f"{simulated:.1f} simulated s ({clock:.1f} s of the clock)"


def _slowed(run: Run) -> str:
    return (
        f"passed up to {run.slowest:g} times more slowly than the clock, since this computer was too slow for real "
        f"time: {in_seconds(run, 0.0, run.duration)}. What the arm is judged by (speed, jerk, ages at the arm) is of "
        "simulated seconds; stamps, milliseconds of a step and rates are the clock's"
    )


def _reported_checkpoint(run: Run) -> str:
    values = (value.value for _, status in run.diagnostics for value in status.values if value.key == "checkpoint")
    path = next(values, "not known")
    return Path(path).name if path.endswith(".safetensors") else path


def _pruning(run: Run) -> list[Row]:
    steps = run.pruning
    if not steps:
        return [Row("Token pruning", NOT_RECORDED)]
    pruned = [step for step in steps if step.pruned]
    full = [index for index, step in enumerate(steps, 1) if not step.pruned]
    shown = ", ".join(map(str, full[:6])) + (", …" if len(full) > 6 else "")
    rows = [
        Row("Control steps", str(len(steps))),
        Row("Steps on all tokens", f"{len(full)} (step {shown})" if full else "none"),
        Row("First step on all tokens", "no" if steps[0].pruned else "yes", bool(steps[0].pruned)),
    ]
    for name, key in (("all", "rate"), ("2D", "rate_2d"), ("3D", "rate_3d")):
        rates = [100 * getattr(step, key) for step in pruned]
        text = f"{np.mean(rates):.0f} % ({min(rates):.0f} … {max(rates):.0f} %)" if rates else "no step was pruned"
        rows.append(Row(f"Pruned of {name} tokens, mean of pruned steps", text))
    return rows


def _timing(run: Run) -> list[Row]:
    rows = []
    if run.timings:
        rows += [
            Row("Control step", _spread(step.total_ms for step in run.timings)),
            Row("Pruning's own cost", f"{_median(step.overhead_percent for step in run.timings):.1f} % of the step"),
            Row("Camera to action", _spread(step.action_age_ms for step in run.timings)),
            Row("Wanted camera frames missed", str(run.timings[-1].frames_skipped)),
            *([Row("Looks", f"{len(run.looks)}, {_spread(look.total_ms for look in run.looks)}")] if run.looks else []),
        ]
    else:
        rows.append(Row("Timings", NOT_RECORDED))
    rate = control_rate(run)
    rows.append(Row("Control rate", NOT_RECORDED if np.isnan(rate) else f"{rate:.2f} Hz"))
    return rows


def _arm(run: Run) -> list[Row]:
    rows = []
    if run.status:
        last = run.status[-1][1]
        chunks = f"{last.chunks_accepted} accepted, {last.chunks_refused} refused"
        faults = [status.reason for _, status in run.status if status.mode == ArmMode.FAULT]
        rows += [
            Row("Action chunks", chunks, last.chunks_refused > 0),
            Row("Set-points slowed or clamped", f"{last.setpoints_limited} of {last.setpoints_sent}"),
            Row("Arm faults", faults[0] if faults else "none", bool(faults)),
        ]
    else:
        rows.append(Row("Arm status", NOT_RECORDED))
    if not len(run.joint_positions):
        return [*rows, Row("Joint limits respected", f"joint states {NOT_RECORDED}")]
    exceeded = limits_exceeded(run.joint_positions)
    return [*rows, Row("Joint limits respected", f"NO: {', '.join(exceeded)}" if exceeded else "yes", bool(exceeded))]


def _smoothness(run: Run) -> list[Row]:
    """Return how the arm moved; see `devices.arm.smoothness`."""
    if not (run.targets_moved.known or run.joints_moved.known):
        return []
    values = zip(SMOOTHNESS, in_words(run.targets_moved), in_words(run.joints_moved), strict=True)
    return [Row(f"{name} of the joints", f"targets {sent}, measured {measured}") for name, sent, measured in values]


def _median(values: Iterable[float]) -> float:
    return float(np.nanmedian(list(values)))


def _spread(values: Iterable[float]) -> str:
    known = np.array([value for value in values if np.isfinite(value)])
    return f"median {np.median(known):.0f} ms, p95 {np.percentile(known, 95):.0f} ms" if len(known) else NOT_RECORDED


# Faults, lost contact, and chunks that were refused or broken off.

FIGURE = re.compile(r"-?\d+(\.\d+)?")
BAD_MODES = {ArmMode.FAULT: "fault", ArmMode.DISCONNECTED: "disconnected"}
BAD_CHUNKS = {ChunkState.REFUSED: "chunk refused", ChunkState.ABORTED: "chunk broken off"}


@dataclass(frozen=True)
class Event:
    """Hold one kind of trouble with the times at which it began."""

    what: str
    reason: str  # of the first time; later ones may differ in their figures
    times: tuple[float, ...]  # s since the start of the run

    @property
    def alarming(self) -> bool:
        """Tell whether the arm itself was in trouble, rather than a chunk."""
        return self.what in BAD_MODES.values()

    @property
    def count(self) -> int:
        """Return how often it happened."""
        return len(self.times)

    @property
    def when(self) -> str:
        """Return when it first and last began, for a person."""
        first, last = self.times[0], self.times[-1]
        return f"{first:.1f} s" if self.count == 1 else f"{first:.1f} … {last:.1f} s"


def arm_events(run: Run) -> list[Event]:
    """Return the troubles of a run, those of the arm first, then by time."""
    found: dict[tuple[str, str], tuple[str, list[float]]] = {}
    for time, what, reason in (*_modes(run), *_chunks(run)):
        found.setdefault((what, FIGURE.sub("#", reason)), (reason, []))[1].append(time)
    events = [Event(what, reason, tuple(times)) for (what, _), (reason, times) in found.items()]
    return sorted(events, key=lambda event: (not event.alarming, event.times[0]))


def _modes(run: Run) -> Iterator[tuple[float, str, str]]:
    before = None
    for time, status in run.status:
        if status.mode != before and status.mode in BAD_MODES:
            yield time, BAD_MODES[ArmMode(status.mode)], status.reason
        before = status.mode


def _chunks(run: Run) -> Iterator[tuple[float, str, str]]:
    before = None
    for time, status in run.status:
        chunk = (status.chunk_stamp.sec, status.chunk_stamp.nanosec, status.chunk_state)
        if chunk != before and status.chunk_state in BAD_CHUNKS:
            yield time, BAD_CHUNKS[ChunkState(status.chunk_state)], status.chunk_reason
        before = chunk
