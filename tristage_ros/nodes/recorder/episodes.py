"""Record episodes that a person shows: one whole bag each, judged while it runs.

The action `~/record` and the services `~/start`, `~/stop`, `~/success`, `~/failure`, `~/redo` and `~/quit` do the same
for programs and for people; `~/status` and `/diagnostics` say what is wrong with an episode as soon as it is.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.clock import Clock, ClockType
from rclpy.parameter import Parameter as RosParameter
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from tristage_msgs.action import RecordEpisode
from tristage_msgs.msg import EpisodeStatus

from tristage_ros.bags import facts
from tristage_ros.bags.episodes.episode import (
    CAMERAS_FILE,
    FAILURE,
    KEPT,
    REDONE,
    SITE_FILE,
    SUCCESS,
    UNMARKED,
    Episode,
    EpisodeError,
)
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.bags.episodes.judging import FALLBACK, Judge, nominal_rates
from tristage_ros.bags.episodes.pictures import write_picture
from tristage_ros.bags.recording import VIEW, color_topic
from tristage_ros.bags.writer import PATIENCE
from tristage_ros.devices.arm.site import load_site
from tristage_ros.nodes.recorder.hearing import CAMERAS, COLOR, INPUTS, QUEUE, Hearing
from tristage_ros.nodes.recorder.running import Running, Wish
from tristage_ros.nodes.recorder.start_overlay import StartOverlay, image_of
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.convert import header
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Part
from tristage_ros.ros.parameters import Parameter
from tristage_ros.ros.runner import ConfigurationError, run

PARAMETERS = (
    Parameter("folder", "episodes", "where episodes go, each in a folder of its number", read_only=False),
    Parameter("task", "", "what is shown, as the policy is to be told; empty: its instruction", read_only=False),
    Parameter("operator", "", "who shows it", read_only=False),
    Parameter("max_seconds", 0.0, "an episode ends by itself after that; 0: it does not", "s", 0.0, 3600.0,
              read_only=False),
    CAMERAS,
    Parameter("camera_rate", FALLBACK, "of cameras whose node does not tell its own", "Hz", 1.0, 90.0),
    COLOR,
    QUEUE,
    Parameter("also", ["/arm/", "/tf", "/robot_description"], "topics that begin like this are recorded, too"),
    Parameter("keep_free_mb", 1000, "of the disk; an episode ends before less is left", "MB", 1, 10**6),
    Parameter("overlay_episode", 0, "whose start picture is laid over the live one; 0: the newest", "", 0, 10**6,
              read_only=False),
    Parameter("cameras_file", "", "calibration, kept beside each bag; empty: config/cameras.yaml"),
    Parameter("site_file", "", "where the arm stands, kept beside each bag; empty: config/site.yaml"),
)  # fmt: skip
ENDS = {  # services that end an episode: its outcome, and why it ended
    "stop": (UNMARKED, "the operator stopped it"),
    "success": (SUCCESS, "the operator ended it"),
    "failure": (FAILURE, "the operator ended it"),
    "quit": (UNMARKED, "the session was ended"),
}
TICK, TOLD = 0.1, 0.5  # s between looks, and between two words on how it goes
LOOK_AT_DISK = 1.0  # s
GLANCE = 5.0  # s that a look at the streams takes while nothing is recorded
TYPICAL_RATE, TYPICAL_SECONDS = 2.5e6, 60.0  # bytes/s of two cameras at 15 Hz, s: what has to be free before the first


class EpisodesNode(Hearing):
    """Idle, recording, or making the last episode whole; then the next may begin."""

    def __init__(self) -> None:
        """Offer everything; nothing is recorded yet."""
        super().__init__("episodes", PARAMETERS, INPUTS)
        s = self.settings
        try:
            self._limits = load_site(s.site_file, s.cameras_file).joint_limits
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"episodes: {error}") from error
        self._view = color_topic(VIEW if VIEW in s.cameras else s.cameras[0])
        self._running: Running | None = None  # until its bag is whole
        self._last: Running | None = None
        self._goal: Any = None
        self._closing: threading.Thread | None = None
        self._afterwards: list[Callable[[], object]] = []
        self._anchor = (0, 0)  # ns, ROS time and monotonic
        self._due = self._disk_due = 0.0
        self._rate = TYPICAL_RATE
        self._seen: list[str] = []  # of the streams, while nothing is recorded
        self._idle = self._judge(pictures=False)
        self._overlay = StartOverlay(self, lambda: self._collection().start_picture(self.settings.overlay_episode))
        self._status = self.create_publisher(EpisodeStatus, "~/status", qos.LATCHED)
        for name, (outcome, reason) in ENDS.items():
            self._serve(name, partial(self._end_or_mark, name, outcome, reason))
        self._serve("start", lambda: self._start(self._wish()))
        self._serve("redo", self._redo)
        self._server = ActionServer(
            self,
            RecordEpisode,
            "~/record",
            execute_callback=self._result,
            goal_callback=lambda goal: GoalResponse.ACCEPT,  # a refusal has no room for its reason; a result has
            handle_accepted_callback=self._on_goal,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )
        self.add_on_set_parameters_callback(self._on_parameters)
        self.create_timer(TICK, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._diagnostics = Diagnostics(self)
        self._diagnostics.add("episode", self._part)
        self._diagnostics.add("inputs", self._inputs.part)
        self.get_logger().info(f"episodes go to {self._collection().path.resolve()}")

    # What is heard

    def heard(self, topic: str, kind: str, data: bytes) -> None:
        """Judge a message, and take the start picture of it if it is the first of the view."""
        running = self._running if self._running and self._running.ended is None else None
        (running.judge if running else self._idle).take(topic, kind, data, time.monotonic())
        if topic != self._view:
            return
        try:
            if running and running.wants_picture:
                running.wants_picture = False
                write_picture(running.picture, image_of(deserialize_message(data, Image)))
            if self._overlay.wanted():
                self._overlay.show(data)
        except (OSError, ValueError) as error:
            self.get_logger().warning(f"no start picture: {error}", throttle_duration_sec=5.0)

    def now(self) -> int:
        """Return a stamp that goes on evenly throughout an episode, whatever is done to this machine's clock, ns."""
        ros, monotonic = self._anchor
        return ros + time.monotonic_ns() - monotonic

    def own_parameters(self) -> dict[str, Any]:
        """Return all of them: with the files that they name, they are among the facts of the bag."""
        return vars(self.settings)

    def _judge(self, *, pictures: bool = True) -> Judge:
        s = self.settings
        rates = nominal_rates(self._survey.parameters, s.cameras, s.camera_rate)
        return Judge(rates, self._limits, time.monotonic(), pictures=pictures)

    # What is asked for

    def _serve(self, name: str, action: Callable[[], tuple[bool, str]]) -> None:
        def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = action()
            self._tell()
            return response

        self.create_service(Trigger, f"~/{name}", answer)

    def _wish(self) -> Wish:
        s = self.settings
        return Wish(s.task, s.operator, s.max_seconds)

    def _start(self, wish: Wish) -> tuple[bool, str]:
        """Begin an episode; return whether that was possible, and why not or where it is."""
        if self._running:
            doing = "still being made whole" if self._running.ended else "being recorded"
            return False, f"episode {self._running.place.number} is {doing}"
        wish = replace(wish, task=wish.task or str(self._survey.parameters.get("policy", {}).get("instruction", "")))
        if not wish.task:
            return False, "nobody says what the task is: set the parameter task of this node"
        try:
            self._require_room(wish)
            running = self._begin(wish)
        except (OSError, ValueError) as error:
            return False, f"cannot record in {self._collection().path}: {error}"
        self._running = running
        self.get_logger().info(f"episode {running.place.number}: {wish.task}")
        return True, f"recording episode {running.place.number} in {running.place.path}"

    def _require_room(self, wish: Wish) -> None:
        """Raise OSError where the disk would be full before the end."""
        needed = self._rate * (wish.max_seconds or TYPICAL_SECONDS)
        if self._free() < needed:
            raise OSError(
                f"the disk has {self._free() / 1e6:.0f} MB beside the {self.settings.keep_free_mb} MB that stay free, "
                f"an episode takes {needed / 1e6:.0f} MB; make room, or give another folder"
            )

    def _begin(self, wish: Wish) -> Running:
        clock, s = self.get_clock().now().nanoseconds, self.settings
        self._anchor = int(clock), time.monotonic_ns()
        collection = self._collection()
        place = collection.begin()
        episode = Episode(
            task=wish.task,
            operator=wish.operator,
            began=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(clock * 1e-9)),
            stamp=clock * 1e-9,
            command_source=list(self._idle.sources[-1:]),
            firmware=self._idle.firmware,
            versions=facts.versions(),
        )
        episode.written(place.path)
        for given, name in ((s.cameras_file, CAMERAS_FILE), (s.site_file, SITE_FILE)):
            shutil.copyfile(given or resource("config", name), place.path / name)
        self._gather_facts()
        return Running(wish, collection, place, self.open(place.bag), self._judge(), episode)

    def _end(self, outcome: str, reason: str, standing: str = KEPT) -> tuple[bool, str]:
        running = self._running
        assert running is not None
        self.writer = None
        running.end(outcome, reason, standing)
        self._closing = threading.Thread(target=running.close, name="closing", daemon=True)
        self._closing.start()
        return True, f"episode {running.place.number}: {reason}"

    def _end_or_mark(self, name: str, outcome: str, reason: str) -> tuple[bool, str]:
        if self._running and self._running.ended is None:
            return self._end(outcome, reason)
        if not outcome:
            return False, "no episode is being recorded"
        return self._mark(name)

    def _mark(self, mark: str) -> tuple[bool, str]:
        """Mark the last episode, as soon as it is whole."""
        if self._running:
            self._afterwards.append(partial(self._mark, mark))
            return True, f"episode {self._running.place.number} is marked {mark} as soon as it is whole"
        if self._last is None:
            return False, "no episode was recorded yet"
        last = self._last
        try:
            if mark == REDONE:
                last.episode = replace(last.place.read(), standing=REDONE)
            else:
                last.episode = last.place.read().marked(mark)
            last.episode.written(last.place.path)
        except (OSError, EpisodeError) as error:
            return False, str(error)
        return True, f"episode {last.place.number} is marked {mark}"

    def _redo(self) -> tuple[bool, str]:
        """Begin the same anew; the one before stays on the disk, marked."""
        before = self._running or self._last
        if before is None:
            return False, "there is nothing to do again: no episode was recorded yet"
        again = partial(self._start, before.wish)
        if self._running is None:
            done, told = self._mark(REDONE)
            return again() if done else (done, told)
        if self._running.ended is None:
            self._end(UNMARKED, "the operator does it again", REDONE)
        else:
            self._afterwards.append(partial(self._mark, REDONE))
        self._afterwards.append(again)
        return True, f"episode {before.place.number} is marked redone, the next begins as soon as it is whole"

    # How it goes

    def _tick(self) -> None:
        running, now = self._running, time.monotonic()
        if running is None:
            if now > self._idle.verdict.begin + GLANCE:
                self._seen, self._idle = self._idle.verdict.complaints(now), self._judge(pictures=False)
        elif running.ended is None:
            self._watch(running, now)
        elif self._closing and not self._closing.is_alive():
            self._closed(running)
        if now >= self._due:
            self._tell()

    def _watch(self, running: Running, now: float) -> None:
        """End an episode that has to end."""
        limit = running.wish.max_seconds
        if running.writer.failure:
            self._end(UNMARKED, f"the bag cannot be written: {running.writer.failure}")
        elif self._goal and self._goal.is_cancel_requested:
            self._end(UNMARKED, "cancelled")
        elif limit and running.seconds >= limit:
            self._end(UNMARKED, f"{limit:g} s are over")
        elif now >= self._disk_due:
            self._disk_due = now + LOOK_AT_DISK
            free = self._free()
            if running.seconds > 2.0 and running.size():
                self._rate = running.size() / running.seconds
            running.judge.verdict.disk(free, self._rate)
            if free <= 0.0:
                left = free / 1e6 + self.settings.keep_free_mb
                self._end(UNMARKED, f"the disk is nearly full: {left:.0f} MB left of {self._collection().path.resolve()}")

    def _closed(self, running: Running) -> None:
        self._running, self._last, self._closing = None, running, None
        self._seen, self._idle = [], self._judge(pictures=False)
        self._idle.sources, self._idle.firmware = running.judge.sources[-1:], running.judge.firmware
        if running.trouble:
            self.get_logger().error(f"episode {running.place.number} is not whole: {running.trouble}")
        else:
            self.get_logger().info(self._summary(running))
        if self._goal:
            self._goal.execute()
        waiting, self._afterwards = self._afterwards, []
        for action in waiting:
            action()
        self._tell()

    def _summary(self, running: Running) -> str:
        episode = running.episode
        frames = ", ".join(f"{camera} {count}" for camera, count in episode.frames.items())
        verdict = "; ".join(episode.complaints) or "nothing to complain of"
        return (
            f"episode {running.place.number}: {episode.seconds:.1f} s, {episode.messages} messages, {frames} frames; "
            f"{episode.outcome or 'not marked'}, {episode.reason}; {verdict}"
        )

    def _collection(self) -> Collection:
        return Collection(Path(self.settings.folder))

    def _free(self) -> float:
        """Return the bytes that may still be written."""
        folder = self._collection().path.resolve()
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        return float(shutil.disk_usage(existing).free - self.settings.keep_free_mb * 10**6)

    def _complaints(self) -> list[str]:
        return self._running.complaints() if self._running else self._seen

    def _tell(self) -> None:
        self._due = time.monotonic() + TOLD
        shown, last = self._running or self._last, self._last
        status = EpisodeStatus(header=header(self.get_clock().now().nanoseconds * 1e-9, ""))
        status.complaints = self._complaints()
        if self._running:
            status.state = EpisodeStatus.CLOSING if self._running.ended else EpisodeStatus.RECORDING
        if shown:
            status.number, status.task, status.operator = shown.place.number, shown.wish.task, shown.wish.operator
            status.folder, status.seconds = str(shown.place.path), shown.seconds
            status.messages, status.bytes = shown.messages, shown.size()
        else:
            status.folder = str(self._collection().path)
        if last:
            status.last_outcome, status.last_reason = last.episode.outcome, last.trouble or last.episode.reason
        self._status.publish(status)
        if self._goal and self._running and self._running.ended is None:
            self._goal.publish_feedback(
                RecordEpisode.Feedback(seconds=status.seconds, messages=status.messages, complaints=status.complaints)
            )

    def _part(self) -> Part:
        complaints, running = self._complaints(), self._running
        values: dict[str, object] = {"folder": self._collection().path, "MB per minute": self._rate * 60e-6}
        if running:
            values |= {"episode": running.place.number, "seconds": running.seconds, "messages": running.messages}
        elif self._last and self._last.trouble:
            return Part(ERROR, f"episode {self._last.place.number} is not whole: {self._last.trouble}", values)
        if complaints:
            return Part(WARN, "; ".join(complaints), values)
        return Part(OK, f"recording episode {running.place.number}" if running else "nothing is recorded", values)

    # The action: a goal is carried out by the tick, and executed, as rclpy calls it, when its result is known.

    def _on_goal(self, goal: Any) -> None:
        wish = Wish(goal.request.task or self.settings.task, goal.request.operator or self.settings.operator,
                    max(goal.request.max_seconds, 0.0) or self.settings.max_seconds)  # fmt: skip
        begun, told = self._start(wish)
        if begun:
            self._goal = goal
        else:
            goal.execute(lambda handle: self._refused(handle, told))
        self._tell()

    def _refused(self, goal: Any, told: str) -> Any:
        goal.abort()
        return RecordEpisode.Result(success=False, message=told)

    def _result(self, goal: Any) -> Any:
        self._goal, running = None, self._last
        assert running is not None
        episode, whole = running.episode, not running.trouble
        if goal.is_cancel_requested:
            goal.canceled()
        elif whole:
            goal.succeed()
        else:
            goal.abort()
        return RecordEpisode.Result(
            success=whole,
            message=running.trouble or str(running.place.path),
            folder=str(running.place.path),
            outcome=episode.outcome,
            reason=episode.reason,
            seconds=episode.seconds,
            messages=episode.messages,
            complaints=episode.complaints,
        )

    def _on_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        if self._running and any(parameter.name == "folder" for parameter in parameters):
            return SetParametersResult(successful=False, reason="an episode is being recorded; end it first")
        for parameter in parameters:
            if hasattr(self.settings, parameter.name):
                setattr(self.settings, parameter.name, parameter.value)
        return SetParametersResult(successful=True)

    def close(self) -> None:
        """End the episode that runs, as whole as a short while allows."""
        running = self._running
        if running and running.ended is None:
            self.writer = None
            running.end(UNMARKED, "the recorder was stopped", KEPT)
            running.close(PATIENCE)
        elif running and self._closing:
            self._closing.join(PATIENCE)
        if running and running.trouble:
            self.get_logger().error(f"episode {running.place.number} is not whole: {running.trouble}")
        self._running, self._last = None, running or self._last


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(EpisodesNode, niceness=10)
