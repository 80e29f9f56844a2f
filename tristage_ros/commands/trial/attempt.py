"""One run of a trial: the whole graph is started, one episode is recorded while its policy acts, and it is ended.

The recorder is one of our own: where the graph records episodes, its simulated cell keeps real time on any computer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future
from rich.text import Text

from tristage_ros.bags.episodes.episode import FAILURE, SUCCESS, EpisodeError
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.commands.monitor import arm_text
from tristage_ros.commands.teach.own_recorder import OwnRecorder
from tristage_ros.graph import graph
from tristage_ros.graph.supervisor import GraphProcess, remove_unused, shared_memory
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.reports.trial.file import EPISODES, LOGS
from tristage_ros.resources import resource
from tristage_ros.ros.examiner import Examiner

ANSWER = 30.0  # s for a service
SETTLED = 3.0  # s from the answer of arm/enable to a status that has it
WHOLE = 90.0  # s for a bag to be closed


class AttemptError(RuntimeError):
    """Say why a run could not begin; the message is one line for a person."""


class QuitError(Exception):
    """Say that the operator leaves, or a signal came, before a run had ended."""


@dataclass(frozen=True)
class Ended:
    """Hold how a run ended."""

    outcome: str
    reason: str  # why it ended
    seconds: float  # since the arm could move; of a success, until the task was done


class Attempt:
    """Run the graph once."""

    def __init__(self, folder: Path, name: str, arguments: Mapping[str, str]) -> None:
        """Start the nodes; the arm does not move yet.

        Args:
            folder: of the trial.
            name: of the run; its log is called so.
            arguments: those of the graph.

        Raises:
            GraphError: the graph cannot be started any more.
            OSError: the log cannot be written.
        """
        self._described = graph.build("piper_pick", arguments)
        self._collection = Collection(folder / EPISODES)
        self.number = 0  # of its episode; 0: there is none yet
        self._began: float | None = None
        self._obeyed = False  # as far as the arm's status told
        self._before = shared_memory()
        log = folder / LOGS / f"{name}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        self._node, self._executor = Examiner(), SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._graph = GraphProcess("piper_pick", arguments, log)
        self._recorder = OwnRecorder(self._collection.path, _recording(self._described))

    # What is seen

    def spin(self, seconds: float = 0.02) -> None:
        """Hear what is said, for so long at most."""
        self._executor.spin_once(timeout_sec=seconds)

    @property
    def seconds(self) -> float:
        """Return for how long the arm could move, s of the arm's."""
        return 0.0 if self._began is None else self._node.clock.now() - self._began

    @property
    def done_after(self) -> float | None:
        """Return after how many s the task was done, None where it is not or nobody tells."""
        since = self._node.done_since
        return None if since is None or self._began is None else since - self._began

    @property
    def start_picture(self) -> Path | None:
        """Return the newest image that a run began with."""
        return self._collection.start_picture()

    @property
    def overlay(self) -> str:
        """Return the topic that lays it over the live image."""
        return f"{self._described.namespace}/episodes/start_overlay"

    def missing(self) -> str:
        """Return what is not up yet, for a person; empty when the run may begin."""
        return self._node.missing()

    def trouble(self) -> str:
        """Return why the graph, or before the run the recorder, has ended; empty while both run."""
        return self._graph.trouble() or ("" if self._began is not None else self._recorder.trouble())

    def over(self) -> str:
        """Return why the run is over by itself, empty while it is not."""
        trouble = self._node.arm_trouble()
        self._obeyed |= not trouble
        return self.trouble() or (trouble if self._obeyed or self.seconds > SETTLED else "")

    def arm(self) -> Text:
        """Return some lines about the arm."""
        return arm_text(self._node.arm, self._node.silence("arm/status"))

    # What is done

    def begin(self) -> None:
        """Record, have the policy forget what it has seen meanwhile, and let the arm move.

        Raises:
            AttemptError: somebody refuses; the arm does not move.
        """
        instruction = next(node.parameters["instruction"] for node in self._described.nodes if node.name == "policy")
        told = self._result(self._node.set("episodes", {"task": str(instruction)}), "the recorder")
        if refused := [result.reason for result in told.results if not result.successful]:
            raise AttemptError(f"the recorder: {'; '.join(refused)}")
        self._asked(self._node.episodes("start"), "the recorder")
        self._until(lambda: self._node.recording, ANSWER)
        self.number = self._node.episode.number if self._node.episode else 0
        try:
            self._asked(self._node.reset(), "policy/reset")
            self._asked(self._node.call("enable"), "arm/enable")
        except AttemptError:
            self._node.episodes("stop")
            raise
        self._began = self._node.clock.now()

    def conclude(self, outcome: str) -> None:
        """Stop the arm, and end the episode with its outcome; an abort is a failure."""
        mark = SUCCESS if outcome == SUCCESS else FAILURE
        answers = [self._node.call("stop"), self._node.episodes(mark)]
        self._until(lambda: all(answer.done() for answer in answers), ANSWER)

    def halt(self) -> None:
        """Slow the arm down and hold it."""
        self._node.call("stop")

    def end(self, ended: Ended | None) -> None:
        """End the graph once the episode is whole, and write into its file how it ended, where somebody said so."""
        try:
            self._leave()
        finally:
            self._executor.shutdown(timeout_sec=1.0)
            self._node.destroy_node()
            self._recorder.end()
            self._graph.end()
            remove_unused(shared_memory() - self._before)
        if ended and self.number:
            mark = SUCCESS if ended.outcome == SUCCESS else FAILURE
            with suppress(EpisodeError, OSError):
                place = self._collection.place(self.number)
                replace(place.read(), outcome=mark, reason=ended.reason).written(place.path)

    def _leave(self) -> None:
        if self.trouble():
            return
        if self._node.recording:  # nobody has said how it ended
            answers = [self._node.call("stop"), self._node.episodes("quit")]
            self._until(lambda: all(answer.done() for answer in answers) and not self._node.recording, ANSWER)
        self._until(lambda: self._node.idle, WHOLE)

    def _asked(self, answer: Future, who: str) -> None:
        result = self._result(answer, who)
        if not result.success:
            raise AttemptError(f"{who}: {result.message}")

    def _result(self, answer: Future, who: str) -> Any:
        self._until(answer.done, ANSWER)
        if trouble := self.trouble():
            raise AttemptError(trouble)
        if not answer.done():
            raise AttemptError(f"{who} does not answer within {ANSWER:.0f} s")
        return answer.result()

    def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end and not self.trouble():
            self.spin(0.05)


def _recording(described: graph.Graph) -> argparse.Namespace:
    """Return what a recorder beside a graph is to be told."""
    given = {name: value for node in described.nodes for name, value in node.parameters.items()}
    cameras = load_extrinsics(given.get("cameras_file") or resource("config", "cameras.yaml"))
    return argparse.Namespace(
        color="jpeg",
        cameras=list(cameras),
        cameras_file=given.get("cameras_file"),
        site=given.get("site_file"),
        namespace=described.namespace,
        ros_args=[],
    )
