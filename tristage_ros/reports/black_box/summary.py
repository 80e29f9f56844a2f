"""A black box in words: what the fault was, how fast things went, what was asked for."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from tristage_ros.bags.black_box.contents import RECEIVED, SENT
from tristage_ros.devices.arm.values import ArmMode, CommandSource
from tristage_ros.reports.black_box.record import BEFORE, BlackBox, Floats, rate
from tristage_ros.reports.summary import Row

ASKED = ("service", "parameter", "trajectory")


def summarize(box: BlackBox) -> list[Row]:
    """Return the summary of a black box."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(box.moment))
    rows = [
        Row("Fault", box.fault or "none: written at a person's call", bool(box.fault)),
        Row("When", f"{when}, this computer's time"),
        Row("Recorded", f"{-box.start:.1f} s before, {box.end:.1f} s after it"),
    ]
    if box.dilation > 1.0:
        slowed = f"an emulated arm's passed {box.dilation:g} times more slowly; speeds here are of the clock's seconds"
        rows.append(Row("Simulated time", slowed, alarming=True))
    if before := [status for at, status in box.status if at < 0.0]:
        last = before[-1]
        owner = CommandSource(last.command_source).name.lower()
        doing = f"{ArmMode(last.mode).name.lower()}: {last.reason}"
        rows.append(Row("Before it", f"{doing}; the arm belonged to the {owner}"))
        rows.append(Row("Speed scale", f"{last.speed_scale:g}"))
    return [*rows, *_speeds(box), *_forces(box), *_bus(box), *_asked(box)]


def _speeds(box: BlackBox) -> list[Row]:
    until = box.steps.times <= 0.0
    times, target = box.steps.times[until], np.abs(rate(box.steps.target[until, :6]))
    lines = [
        Row("Fastest joint in the last second", _peak(np.abs(box.steps.velocity[until]), times)),
        Row("Fastest target in the last second", _peak(target, times)),
    ]
    speed = box.tool_speed[until] * 1e3
    if np.isfinite(speed).any():
        now = f", {speed[-1]:.0f} mm/s at the fault" if np.isfinite(speed[-1]) else ""
        lines.append(Row("Tool in the last second", f"at most {np.nanmax(speed):.0f} mm/s{now}"))
    return lines


def _peak(values: Floats, times: Floats) -> str:
    if not np.isfinite(values).any():
        return "none"
    step, joint = np.unravel_index(np.nanargmax(values), values.shape)
    last = values[-1]
    now = f", {np.nanmax(last):.2f} rad/s at the fault" if np.isfinite(last).any() else ""
    return f"J{joint + 1} {values[step, joint]:.2f} rad/s, {-times[step]:.2f} s before{now}"


def _forces(box: BlackBox) -> list[Row]:
    steps, at = box.steps, box.steps.at(0.0)
    lead, effort = (steps.target - steps.measured)[at, :6], steps.effort[:, :6]
    rows = []
    if np.isfinite(lead).any():
        joint = int(np.nanargmax(np.abs(lead)))
        rows.append(Row("Target ahead of the arm at the fault", f"J{joint + 1} {lead[joint]:+.3f} rad"))
    for when, part in (("in the last second", effort[: at + 1]), ("afterwards", effort[at + 1 :])):
        if np.isfinite(part).any():
            _, joint = np.unravel_index(np.nanargmax(np.abs(part)), part.shape)
            rows.append(Row(f"Largest effort {when}", f"J{joint + 1} {np.nanmax(np.abs(part)):.1f} N m"))
    return rows


def _bus(box: BlackBox) -> list[Row]:
    heard, sent = (box.frames.get(topic, 0) / BEFORE for topic in (RECEIVED, SENT))
    gap = f", longest gap of the joints {box.longest_gap * 1e3:.0f} ms" if np.isfinite(box.longest_gap) else ""
    return [Row("Bus in the last second", f"{heard:.0f} frames heard and {sent:.0f} sent{gap}")]


def _asked(box: BlackBox) -> list[Row]:
    chunks = Counter(
        "refused" if "refused" in event.text else "accepted" for event in box.events if event.kind == "chunk"
    )
    rows = [Row("Chunks", ", ".join(f"{count} {what}" for what, count in sorted(chunks.items())) or "none")]
    asked = [event for event in box.events if event.kind in ASKED and event.time <= 0.0]
    told = "; ".join(f"{-event.time:.1f} s before: {event.text}" for event in asked[-3:])
    return [*rows, Row("Last calls and changes", told or "none")]
