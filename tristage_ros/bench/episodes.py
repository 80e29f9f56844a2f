"""Record many episodes of the simulated cell and count: `tristage bench episodes`.

A second subscriber notes what both cameras publish; every frame between the first and the last of a bag has to be in
it, and every bag has to be whole. Where a person would lead the arm (`lead:=true`, or another `command_source`), it is
engaged for every episode. Fails when a frame is lost or a bag is not whole.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import rclpy
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo
from tristage_msgs.msg import ArmStatus, StageTimings

from tristage_ros.bags.episodes.folder import Collection, Place
from tristage_ros.bags.reader import BagReader
from tristage_ros.bags.recording import color_topic, depth_topic
from tristage_ros.bench.machine import described
from tristage_ros.graph.arguments import parse_arguments
from tristage_ros.graph.graph import environment
from tristage_ros.graph.supervisor import GraphProcess
from tristage_ros.ros.teacher import Teacher

CAMERAS = ("front", "wrist")
TASK = "put the banana on the blue plate"
START_UP, PATIENCE, ENGAGE = 90.0, 60.0, 10.0  # s


class _Counter(Teacher):
    """Note what is published."""

    def __init__(self) -> None:
        super().__init__()
        self.stamps: dict[str, set[int]] = {name: set() for name in CAMERAS}
        self.steps = 0
        for name in CAMERAS:
            self.create_subscription(CameraInfo, f"{name}/color/camera_info", self._counter(name), 200)
        self.create_subscription(StageTimings, "tristage/timings", self._on_step, 50)

    def _counter(self, name: str) -> Callable[[CameraInfo], None]:
        return lambda m: self.stamps[name].add(m.header.stamp.sec * 10**9 + m.header.stamp.nanosec)

    def _on_step(self, message: StageTimings) -> None:
        self.steps += 1


@dataclass
class Tally:
    """Count what one episode came to."""

    number: int
    whole: bool
    seconds: float
    published: dict[str, int] = field(default_factory=dict)  # by stream
    recorded: dict[str, int] = field(default_factory=dict)
    setpoints: float = 0.0  # per second
    steps: float = 0.0  # of the policy, per second
    complaints: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Return how many frames are not in the bag."""
        return sum(self.published.values()) - sum(self.recorded.values())

    def line(self) -> str:
        """Return it as a line."""
        frames = "  ".join(f"{name} {self.recorded[name]}/{count}" for name, count in self.published.items())
        control = f"{self.setpoints:.1f} set-points/s" + (f", {self.steps:.1f} steps/s" if self.steps else "")
        verdict = "; ".join(self.complaints) or "all is well"
        whole = "whole" if self.whole else "NOT WHOLE"
        return f"{self.number:4} {whole} {self.seconds:5.1f} s  recorded/published {frames}  {control}  {verdict}"


def run(options: argparse.Namespace) -> int:
    """Record as the options say, print the counts, and return the exit code.

    Raises:
        GraphError: a launch argument is wrong.
    """
    words = " ".join(
        ["tristage bench episodes", f"--episodes {options.episodes} --seconds {options.seconds:g}", *options.arguments]
    )
    print(described(words), flush=True)
    os.environ.update(environment(simulated=True))
    rclpy.init(args=[])
    counter = _Counter()
    with tempfile.TemporaryDirectory() if options.out is None else nullcontext(str(options.out)) as chosen:
        folder = Path(chosen).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        given = {"control": "rate", **parse_arguments(options.arguments), "episodes": str(folder / "episodes")}
        graph = GraphProcess("piper_pick", given, folder / "log.txt")
        try:
            _come_up(counter, graph, options.seconds)
            tallies = [_record(counter, graph, folder / "episodes", options.seconds) for _ in range(options.episodes)]
        finally:
            graph.end()
            counter.destroy_node()
            rclpy.try_shutdown()
    return _report(tallies)


def _come_up(counter: _Counter, graph: GraphProcess, seconds: float) -> None:
    def up() -> bool:
        arm = counter.arm is not None and counter.arm.mode != ArmStatus.DISCONNECTED
        return arm and counter.has_recorder and counter.offers("enable") and all(counter.stamps.values())

    if not _until(counter, graph, up, START_UP):
        sys.exit(f"error: the cell did not come up: {graph.trouble() or 'nobody publishes'}")
    _answered(counter, graph, counter.call("enable"))
    _answered(counter, graph, counter.set("episodes", {"task": TASK, "operator": "bench", "max_seconds": seconds}))


def _record(counter: _Counter, graph: GraphProcess, folder: Path, seconds: float) -> Tally:
    if counter.leading() and not counter.engaged:
        near = _until(counter, graph, lambda: counter.arm.leading == ArmStatus.READY or counter.engaged, ENGAGE)
        if near and not counter.engaged:
            _answered(counter, graph, counter.call("engage"))
    for stamps in counter.stamps.values():
        stamps.clear()
    before, steps, began = counter.arm.setpoints_sent, counter.steps, time.monotonic()
    _answered(counter, graph, counter.episodes("start"))
    _until(counter, graph, lambda: counter.recording, PATIENCE)
    _until(counter, graph, lambda: not counter.recording, seconds + PATIENCE)
    elapsed = time.monotonic() - began
    sent, stepped = counter.arm.setpoints_sent - before, counter.steps - steps
    if not _until(counter, graph, lambda: counter.idle, PATIENCE):
        sys.exit(f"error: the episode does not end: {graph.trouble() or 'the recorder is silent'}")
    place = Collection(folder).places()[-1]
    _answered(counter, graph, counter.episodes("success"))
    tally = _tally(counter, place)
    tally.setpoints, tally.steps = sent / elapsed, stepped / elapsed
    print(tally.line(), flush=True)
    return tally


def _tally(counter: _Counter, place: Place) -> Tally:
    episode = place.read()
    tally = Tally(place.number, place.is_whole, episode.seconds, complaints=episode.complaints)
    with BagReader(place.bag) as bag:
        tally.whole = tally.whole and bag.complete
        for camera in CAMERAS:
            for name, topic in ((f"{camera} colour", color_topic(camera)), (f"{camera} depth", depth_topic(camera))):
                recorded = {message.header_stamp for message in bag.messages(topic)}
                first, last = min(recorded, default=0), max(recorded, default=0)
                within = {stamp for stamp in counter.stamps[camera] if first <= stamp <= last}
                tally.published[name], tally.recorded[name] = len(within), len(recorded & within)
    return tally


def _until(counter: _Counter, graph: GraphProcess, condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end and not graph.trouble():
        rclpy.spin_once(counter, timeout_sec=0.05)
    return condition()


def _answered(counter: _Counter, graph: GraphProcess, answer: Future) -> None:
    """Wait for the answer of a service, and end where it is none or a refusal."""
    if not _until(counter, graph, answer.done, PATIENCE):
        sys.exit(f"error: no answer: {graph.trouble() or 'the node is silent'}")
    result = answer.result()
    refused = [each.reason for each in getattr(result, "results", []) if not each.successful]
    if refused or not getattr(result, "success", True):
        sys.exit(f"error: {'; '.join(refused) or result.message}")


def _report(tallies: list[Tally]) -> int:
    whole, lost = sum(tally.whole for tally in tallies), sum(tally.lost for tally in tallies)
    frames = sum(sum(tally.published.values()) for tally in tallies)
    rates = sorted(tally.setpoints for tally in tallies)
    quiet = sum(not tally.complaints for tally in tallies)
    print(
        f"{whole} of {len(tallies)} bags whole; {frames} frames published, {lost} of them not recorded; set-points per "
        f"second: median {rates[len(rates) // 2]:.1f}, least {rates[0]:.1f}; {quiet} episodes without a complaint"
    )
    return 0 if whole == len(tallies) and not lost else 1
