"""Teach in a terminal, or by lines from a pipe: `tristage teach --task "put the banana on the blue plate"`."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future
from rich.console import Console
from rich.live import Live
from tristage_msgs.msg import EpisodeStatus

from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.commands.teach.own_recorder import OwnRecorder
from tristage_ros.commands.teach.preparation import START_UP, find_recorder, give_arm, patience, tell_recorder
from tristage_ros.commands.teach.script import Script
from tristage_ros.commands.teach.view import KEYS, counted, finished, view
from tristage_ros.commands.terminal import every_key, typed
from tristage_ros.graph.middleware import one_machine, without_images
from tristage_ros.graph.namespaces import node_arguments
from tristage_ros.ros.context import begin
from tristage_ros.ros.teacher import EPISODE_SERVICES, Teacher

PERIOD = 0.25  # s between two pictures
END = 90.0  # s for the last bag to become whole
HAND = "press the arm's teach button: it goes limp, hold it; the joints that are measured are what is shown"


def run(options: argparse.Namespace) -> int:
    """Teach as the options say until the person quits; return the exit code.

    Raises:
        ValueError: there is no recorder, or it or the arm does not take what was asked for.
    """
    for name, value in without_images(one_machine(simulated=False)).items():
        os.environ.setdefault(name, value)
    begin(node_arguments(options))
    teacher, executor = Teacher(), SingleThreadedExecutor()
    executor.add_node(teacher)
    try:
        return _Lesson(teacher, executor, options).give()
    finally:
        executor.shutdown(timeout_sec=1.0)
        teacher.destroy_node()
        rclpy.try_shutdown()


class _Lesson:
    """One session at the terminal."""

    def __init__(self, teacher: Teacher, executor: SingleThreadedExecutor, options: argparse.Namespace) -> None:
        self._teacher, self._executor, self._options = teacher, executor, options
        self._console = Console()
        self._shown = self._console.is_terminal and sys.stdin.isatty()
        self._script = Script(self._say)
        self._stop = threading.Event()
        self._until = patience(executor, self._stop.is_set)
        self._own: OwnRecorder | None = None
        self._folder = Path()
        self._first = 0  # number of the last episode before this session
        self._told: list[str] = []
        self._answers: list[Future] = []
        self._newest: EpisodeStatus | None = None

    def give(self) -> int:
        """Teach; return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            give_arm(self._teacher, self._until, self._options.source)
            self._folder, self._own = find_recorder(self._teacher, self._until, self._options)
            tell_recorder(self._teacher, self._until, self._options, own=self._own is not None)
            self._first = max((place.number for place in Collection(self._folder).places()), default=0)
            self._say(f"{self._options.task}: {counted(self._folder)}")
            if self._options.source == "hand":
                self._say(HAND)
            self._watch()
            return self._leave()
        finally:
            if self._own:
                self._own.end()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _watch(self) -> None:
        display = Live(console=self._console, screen=True, auto_refresh=False) if self._shown else nullcontext()
        with every_key(), display as live:
            due = 0.0
            while not self._stop.is_set():
                self._executor.spin_once(timeout_sec=0.02)
                for command in self._commands():
                    self._do(command)
                self._take_answers()
                self._look()
                if live and time.monotonic() >= due:
                    due = time.monotonic() + PERIOD
                    live.update(
                        view(self._teacher, self._options.task, counted(self._folder), self._told), refresh=True
                    )

    def _commands(self) -> list[str]:
        if self._shown:
            return [KEYS[key][0] for key in typed().lower() if key in KEYS]
        teacher = self._teacher
        closing = not teacher.idle and not teacher.recording
        command = self._script.next(bool(self._answers) or closing)
        if not command and self._script.ended() and (teacher.idle or not self._options.max_seconds):
            return ["quit"]
        return [command] if command else []

    def _do(self, command: str) -> None:
        teacher = self._teacher
        if command == "halt":
            self._answers.append(teacher.call("stop"))
        elif command == "engage":
            wanted = "disengage" if teacher.engaged else "engage"
            if teacher.offers(wanted):
                self._answers.append(teacher.call(wanted))
            else:
                self._say(f"nobody offers arm/{wanted}")
        elif command == "quit":
            self._stop.set()
        elif command in EPISODE_SERVICES:
            self._answers.append(teacher.episodes(command))

    def _take_answers(self) -> None:
        for answer in [answer for answer in self._answers if answer.done()]:
            self._answers.remove(answer)
            self._say(answer.result().message)

    def _look(self) -> None:
        """Say what has changed since the last look, and end where all that was wanted is there."""
        if self._own and (trouble := self._own.trouble()):
            self._say(f"error: {trouble}")
            self._stop.set()
        before, status = self._newest, self._teacher.episode
        if status is None or status is before:
            return
        self._newest = status
        known = {_without_figures(line) for line in before.complaints} if before else set()
        for line in status.complaints:
            if not self._shown and _without_figures(line) not in known:
                self._say(f"! {line}")
        if before and status.state == EpisodeStatus.IDLE:
            if before.state != EpisodeStatus.IDLE:
                self._say(f"episode {status.number} ended: {status.last_outcome or 'not marked'}, {status.last_reason}")
                self._say("\n".join(f"! {line}" for line in before.complaints) or "verdict: all is well")
            wanted = self._options.episodes
            if wanted and finished(self._folder, self._first) >= wanted:
                self._stop.set()

    def _say(self, line: str) -> None:
        self._told = [*self._told[-4:], line]
        if not self._shown:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _leave(self) -> int:
        self._stop.clear()
        if self._teacher.recording:
            self._until(self._teacher.episodes("quit").done, START_UP)
            self._until(lambda: not self._teacher.recording, START_UP)
        if self._teacher.engaged:
            self._until(self._teacher.call("disengage").done, START_UP)
        self._until(lambda: self._teacher.idle, END)
        self._shown = False
        self._say(counted(self._folder))
        return 1 if self._own and self._own.trouble() else 0


def _without_figures(line: str) -> str:
    return re.sub(r"[\d.]+", "", line)
