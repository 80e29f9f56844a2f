"""Measure how old an observation is when it moves the arm: `tristage bench latency`.

Runs the simulated cell as `tristage run piper_pick` does, one process per node, and listens beside them: to the
policy's timings and chunks over ROS, and to the set-points on the CAN bus that the arm node writes. Times count from
the stamp of the front camera's frame. The last one is that of the first set-point on the bus after the chunk was there;
it is measured apart, since to hear the 3040 frames a second of the emulated bus costs a good part of a core.
The machine must have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import can
import numpy as np
import rclpy
from numpy.typing import NDArray
from tristage_msgs.msg import ActionChunk, StageTimings

from tristage_ros.graph.arguments import parse_arguments
from tristage_ros.graph.graph import environment
from tristage_ros.graph.supervisor import GraphProcess
from tristage_ros.ros.convert import seconds
from tristage_ros.ros.operator import Operator

START_UP, SETTLE = 90.0, 5.0  # s
SETPOINT = 0x155  # targets of the first two joints
LAST = "arm to CAN"
PARTS = ("preprocess", "tokens", "pruning", "prefill", "denoise")
SHARES = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
SLOW = 0.01  # share of the steps whose cause is named


@dataclass
class Step:
    """Hold what is known of one control step."""

    timings: StageTimings | None = None
    arrived: float | None = None  # s, wall clock, of its chunk

    def spans(self, stamp: float, sent: float | None) -> dict[str, float]:
        """Return its spans in ms, one after the other, given when the set-point was `sent`, if that was heard."""
        t = self.timings
        assert t is not None
        assert self.arrived is not None
        parts = dict(zip(PARTS, map(float, t.parts_ms), strict=True))
        return {
            "camera to policy": t.observation_age_ms,
            **parts,
            "rest of the step": t.total_ms - sum(parts.values()),
            "to publishing": t.action_age_ms - t.observation_age_ms - t.total_ms,
            "chunk on its way": 1e3 * (self.arrived - stamp) - t.action_age_ms,
            **({} if sent is None else {LAST: 1e3 * (sent - self.arrived)}),
        }


@dataclass
class Notes:
    """Hold what was heard."""

    steps: dict[float, Step] = field(default_factory=dict)  # by stamp, s
    setpoints: list[float] = field(default_factory=list)  # s, wall clock

    def of(self, stamp: float) -> Step:
        """Return the step of an observation."""
        return self.steps.setdefault(stamp, Step())


class Listener(Operator):
    """Note the policy's timings and when its chunks arrive."""

    def __init__(self, notes: Notes) -> None:
        """Subscribe."""
        super().__init__("latency")
        self._notes = notes
        self.create_subscription(StageTimings, "/tristage/timings", self._on_step, 100)
        self.create_subscription(ActionChunk, "/tristage/action", self._on_chunk, 100)

    def _on_step(self, message: StageTimings) -> None:
        self._notes.of(seconds(message.header.stamp)).timings = message

    def _on_chunk(self, message: ActionChunk) -> None:
        self._notes.of(seconds(message.header.stamp)).arrived = time.time()


def run(options: argparse.Namespace) -> int:
    """Measure and print; return the exit code.

    Raises:
        GraphError: a launch argument is wrong.
    """
    fixed = {"control": "frame", "can_channel": "127.0.0.1:54701", "real_time": "true"}
    given = fixed | parse_arguments(options.arguments)
    os.environ.update(environment(simulated=True))
    rclpy.init(args=[])
    notes = Notes()
    listener = Listener(notes)
    with tempfile.TemporaryDirectory() as folder:
        graph = GraphProcess("piper_pick", given | {"run_dir": folder}, Path(folder, "log.txt"))
        try:
            _enable(listener, graph)
            found = {"over ROS": _measure(listener, notes, options.seconds)}
            with can.Bus(interface="remote", channel=given["can_channel"]) as bus:
                hear = can.Notifier(bus, [lambda m: _on_frame(notes, m)])
                found["to the bus"] = _measure(listener, notes, options.seconds)
                hear.stop()
        finally:
            graph.end()
            listener.destroy_node()
            rclpy.try_shutdown()
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


def _measure(listener: Listener, notes: Notes, span: float) -> dict[str, Any]:
    """Listen for a while; print and return what was found."""
    _spin(listener, SETTLE)
    begin = time.time()
    _spin(listener, span)
    return report(notes, begin, time.time() - 1.0)


def report(notes: Notes, begin: float, end: float) -> dict[str, Any]:
    """Print the percentiles of every span and what made the slowest steps slow, and return them."""
    sent, rows, skipped = np.array(notes.setpoints), [], []
    for stamp, step in sorted(notes.steps.items()):
        if begin <= stamp < end and step.timings is not None and step.arrived is not None:
            later = sent[sent > step.arrived]
            if len(later) or not len(sent):
                rows.append(step.spans(stamp, float(later[0]) if len(later) else None))
                skipped.append(step.timings.frames_skipped)
    if not rows:
        sys.exit("error: no control step was heard; is something else on this ROS domain or CAN channel?")
    names = list(rows[0])
    spans = np.array([[row[name] for name in names] for row in rows])
    table = {name: spans[:, i] for i, name in enumerate(names)}
    table["camera to action"] = spans[:, : names.index("to publishing") + 1].sum(1)
    if LAST in names:
        table["camera to CAN"] = spans.sum(1)
    figures = {name: dict(zip(SHARES, _percentiles(values), strict=True)) for name, values in table.items()}
    rate, causes = len(rows) / (end - begin), slowest(spans, names)
    print(f"\n{len(rows)} control steps, {rate:.1f} Hz, {skipped[-1] - skipped[0]} frames skipped for a newer one")
    print(f"{'ms':20}" + "".join(f"{share:>8}" for share in SHARES))
    for name, values in figures.items():
        print(f"{name:20}" + "".join(f"{value:8.1f}" for value in values.values()))
    told = ", ".join(f"{name} ({count})" for name, count in causes.most_common())
    print(f"the slowest {causes.total()}, by what was furthest above its median: {told}")
    print(f"load of the machine: {', '.join(f'{load:.2f}' for load in os.getloadavg())} on {os.cpu_count()} cores")
    return {"steps": len(rows), "hz": rate, "ms": figures, "slowest": causes}


def slowest(spans: NDArray[np.float64], names: list[str]) -> Counter[str]:
    """Count, over the slowest steps (rows of `spans`), which span was furthest above its median."""
    slow = np.argsort(spans.sum(1))[int(len(spans) * (1 - SLOW)) :]
    return Counter(names[i] for i in (spans[slow] - np.median(spans, 0)).argmax(1))


def _percentiles(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 2) for value in np.percentile(values, list(SHARES.values()))]


def _on_frame(notes: Notes, message: can.Message) -> None:
    if message.arbitration_id == SETPOINT:
        notes.setpoints.append(time.time())


def _enable(listener: Listener, graph: GraphProcess) -> None:
    """Enable the arm, once everything is up, as an operator would."""
    end = time.monotonic() + START_UP
    while not listener.ready():
        rclpy.spin_once(listener, timeout_sec=0.1)
        if time.monotonic() > end or graph.trouble():
            sys.exit(f"error: the cell did not come up: {graph.trouble() or 'no ' + listener.missing()}")
    answer = listener.call("enable")
    rclpy.spin_until_future_complete(listener, answer, timeout_sec=10.0)
    if not answer.done() or not answer.result().success:
        sys.exit(f"error: the arm was not enabled: {answer.result().message if answer.done() else 'no answer'}")


def _spin(listener: Listener, span: float) -> None:
    end = time.monotonic() + span
    while time.monotonic() < end:
        rclpy.spin_once(listener, timeout_sec=0.05)
