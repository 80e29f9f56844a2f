"""Random operations on the ROS surface of a real arm node, by a seed, judged frame by frame at the bus.

The node is a process of its own; the arm is emulated, and its bus served, in this one. Every round has an arm and a
node of its own and is judged when it is over.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import rclpy

from tristage_ros.bench.arm.judge import Judge
from tristage_ros.bench.arm.operations import OPERATIONS
from tristage_ros.bench.arm.surface import Surface
from tristage_ros.graph.middleware import one_machine

ROUND = (25.0, 50.0)  # s
TOLD_EVERY = 30.0  # s
PAUSE = 0.25  # s, at most, between two operations


class Attack:
    """Do random things to one arm node after the other, and count."""

    def __init__(self, seed: int) -> None:
        """Begin with the same things for the same seed, as far as an arm in real time repeats itself."""
        self._luck = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.findings: list[str] = []
        self.rounds = self.frames = self.setpoints = self.moving = self.calls = 0
        self.ends = self.after_end = self.faults = self.stops = 0
        self.stalled = self.judged = 0.0  # s

    def run(self, seconds: float, tell: Callable[[str], None]) -> None:
        """Go on for so long; `tell` hears a line every half minute, and one for every finding.

        Raises:
            ValueError: another arm node is in this ROS domain.
        """
        os.environ.update(one_machine(simulated=True))
        rclpy.init(args=[])
        try:
            begun = time.monotonic()
            while (left := begun + seconds - time.monotonic()) > 0.0:
                self._round(min(left, self._luck.uniform(*ROUND)), tell)
        finally:
            rclpy.try_shutdown()
        if not self.moving:
            self.findings.append("the arm never moved: nothing was judged")

    def _round(self, seconds: float, tell: Callable[[str], None]) -> None:
        luck = self._luck
        names = list(OPERATIONS)
        weights = [OPERATIONS[name][1] for name in names]
        with tempfile.TemporaryDirectory() as folder:
            surface = Surface(luck.choice((1.0, 1.0, 0.5, 0.1)), Path(folder), led=True)
            begun = time.monotonic()
            done: list[tuple[float, str]] = []
            try:
                told, name = begun, "heal"
                while time.monotonic() < begun + seconds and surface.runs():
                    self.counts[name] += 1
                    done.append((time.monotonic(), name))
                    OPERATIONS[name][0](surface, luck)
                    name = luck.choices(names, weights)[0]
                    time.sleep(luck.uniform(0.0, PAUSE))
                    if time.monotonic() > told + TOLD_EVERY:
                        told = time.monotonic()
                        tell(self.line())
            finally:
                until = time.monotonic()
                surface.close()
        self._judge(surface, until, done, tell)
        self.judged += until - begun

    def _judge(
        self, surface: Surface, until: float, done: list[tuple[float, str]], tell: Callable[[str], None]
    ) -> None:
        judge = Judge(surface.log, until)
        self.rounds += 1
        self.frames += len(surface.log.up)
        self.setpoints += len(judge.stream.stamps)
        self.moving += judge.stream.moving
        self.calls += len(surface.log.calls)
        self.stalled += surface.log.stalled(0.0, until)
        for finding in judge.findings():
            when = float(finding.split(":")[0]) if finding[0].isdigit() else until
            last = ", ".join(f"{name} {when - stamp:.2f} s" for stamp, name in done[::-1] if 0.0 <= when - stamp < 5.0)
            told = "; then ".join(what for stamp, what in surface.log.told if stamp <= when + 0.1)[-400:]
            self.findings.append(f"round {self.rounds}, {finding} (before: {last}; it told: {told})")
            tell(f"FINDING: {self.findings[-1]}")
        self.after_end = max(self.after_end, judge.after_end)
        self.ends += judge.ends
        self.stops += judge.rest.stops
        self.faults += len(judge.rest.faults())
        tell(self.line())

    def line(self) -> str:
        """Tell how far it is."""
        return (
            f"{sum(self.counts.values())} operations, {self.frames} frames, {self.setpoints} set-points, "
            f"{self.moving} of them moving, {len(self.findings)} findings"
        )

    def told(self) -> Iterator[str]:
        """Yield what there is to tell at the end."""
        yield ", ".join(f"{name} {count}" for name, count in self.counts.most_common())
        yield (
            f"{self.rounds} rounds, {self.calls} calls; judged: {self.stops} stops in motion, {self.faults} faults, "
            f"{self.ends} times that set-points had to end, after which came {self.after_end} at most"
        )
        yield f"this process stood still for {self.stalled:.1f} of {self.judged:.0f} s, of which nothing is known"
        yield self.line()
        yield from (f"FINDING: {finding}" for finding in self.findings)
