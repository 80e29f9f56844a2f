"""Before the first episode: a recorder, and what recorder and arm are to be told."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rclpy.executors import SingleThreadedExecutor

from tristage_ros.commands.teach.own_recorder import OwnRecorder
from tristage_ros.ros.teacher import SOURCES, Teacher

LOOK = 3.0  # s for a node of the graph to be found
START_UP = 30.0  # s for a recorder of our own, and for answers
Until = Callable[[Callable[[], bool], float], bool]


def patience(executor: SingleThreadedExecutor, given_up: Callable[[], bool]) -> Until:
    """Return what spins until a condition holds, for so many s at most, and returns whether it does."""

    def until(condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or given_up():
                return condition()
            executor.spin_once(timeout_sec=0.05)
        return True

    return until


def find_recorder(teacher: Teacher, until: Until, options: argparse.Namespace) -> tuple[Path, OwnRecorder | None]:
    """Return where episodes go, and the recorder that was started where the graph has none.

    Raises:
        ValueError: there is none, and none could be started.
    """

    def there() -> bool:
        return teacher.has_recorder and teacher.episode is not None

    if until(there, LOOK):
        assert teacher.episode is not None
        told = Path(teacher.episode.folder)
        folder = options.out or (told.parent if teacher.episode.number else told)
        return folder.resolve(), None
    folder = (options.out or Path("episodes")).resolve()
    own = OwnRecorder(folder, options)
    if not until(lambda: there() or bool(own.trouble()), START_UP) or own.trouble():
        trouble = own.trouble() or f"the recorder did not come up in {START_UP:.0f} s; see {own.log}"
        own.end()
        raise ValueError(trouble)
    return folder, own


def give_arm(teacher: Teacher, until: Until, source: str | None) -> None:
    """Give the arm to what leads it, where that is something that the arm follows.

    Raises:
        ValueError: there is no arm, or it refuses.
    """
    if source in SOURCES:
        if not until(lambda: teacher.can_set("arm"), LOOK):
            raise ValueError(f"no arm node in ROS domain {teacher.domain}: start the graph first")
        _set(teacher, until, "arm", {"command_source": source})


def tell_recorder(teacher: Teacher, until: Until, options: argparse.Namespace, *, own: bool) -> None:
    """Tell the recorder what is to be recorded; one of our `own` knows its folder.

    Raises:
        ValueError: it refuses, or does not answer.
    """
    wanted: dict[str, Any] = {"task": options.task, "operator": options.operator, "max_seconds": options.max_seconds}
    if options.out and not own:
        wanted["folder"] = str(options.out.resolve())
    _set(teacher, until, "episodes", wanted)


def _set(teacher: Teacher, until: Until, node: str, values: Mapping[str, Any]) -> None:
    answer = teacher.set(node, values)
    if not until(answer.done, START_UP):
        raise ValueError(f"the node {node} does not answer")
    if refused := [result.reason for result in answer.result().results if not result.successful]:
        raise ValueError(f"{node}: {'; '.join(refused)}")
