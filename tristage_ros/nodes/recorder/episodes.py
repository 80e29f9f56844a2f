"""Record episodes that a person shows: one whole bag each, judged while it runs.

The action `~/record` and the services `~/start`, `~/stop`, `~/success`, `~/failure`, `~/redo` and `~/quit` do the same
for programs and for people; `~/status` and `/diagnostics` say what is wrong with an episode as soon as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.parameter import Parameter as RosParameter
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from tristage_msgs.action import RecordEpisode
from tristage_msgs.msg import EpisodeStatus

from tristage_ros.bags.episodes.episode import FAILURE, SUCCESS, UNMARKED
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.bags.episodes.judging import FALLBACK, Judge, nominal_rates
from tristage_ros.bags.episodes.pictures import write_picture
from tristage_ros.bags.episodes.room import Room
from tristage_ros.bags.recording import VIEW, color_topic
from tristage_ros.bags.writer import BagWriter
from tristage_ros.devices.arm.site import load_site
from tristage_ros.nodes.recorder.episode_action import EpisodeAction
from tristage_ros.nodes.recorder.hearing import CAMERAS, COLOR, INPUTS, QUEUE, Hearing
from tristage_ros.nodes.recorder.running import Running, Wish
from tristage_ros.nodes.recorder.session import Answer, Session, Tools
from tristage_ros.nodes.recorder.start_overlay import StartOverlay, image_of
from tristage_ros.ros import qos
from tristage_ros.ros.convert import header
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Part
from tristage_ros.ros.parameters import Parameter
from tristage_ros.ros.runner import ConfigurationError, run

PARAMETERS = (
    Parameter("folder", "episodes", "where episodes go, each in a folder of its number", read_only=False),
    Parameter("task", "", "what is shown, as the policy is to be told; empty: its instruction", read_only=False),
    Parameter("operator", "", "who shows it", read_only=False),
    Parameter(
        "max_seconds", 0.0, "an episode ends by itself after that; 0: it does not", "s", 0.0, 3600.0, read_only=False
    ),
    CAMERAS,
    Parameter("camera_rate", FALLBACK, "of cameras whose node does not tell its own", "Hz", 1.0, 90.0),
    COLOR,
    QUEUE,
    Parameter("also", ["/arm/", "/tf", "/robot_description"], "topics that begin like this are recorded, too"),
    Parameter("keep_free_mb", 1000, "of the disk; an episode ends before less is left", "MB", 1, 10**6),
    Parameter(
        "overlay_episode", 0, "whose start picture is laid over the live one; 0: the newest", "", 0, 10**6,
        read_only=False,
    ),
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


class EpisodesNode(Hearing):
    """Offer a session of episodes."""

    def __init__(self) -> None:
        """Offer everything; nothing is recorded yet."""
        super().__init__("episodes", PARAMETERS, INPUTS)
        s = self.settings
        try:
            self._limits = load_site(s.site_file, s.cameras_file).joint_limits
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"episodes: {error}") from error
        self._view = color_topic(VIEW if VIEW in s.cameras else s.cameras[0])
        self._anchor = (0, 0)  # ns, ROS time and monotonic
        self._due = 0.0  # s, monotonic
        clock = self.get_clock()
        tools = Tools(
            self._open_bag,
            self._close_bag,
            self._judge,
            lambda: int(clock.now().nanoseconds),
            (s.cameras_file, s.site_file),
            self._on_closed,
        )
        self.session = Session(Path(s.folder).resolve(), Room(s.keep_free_mb * 10**6), tools)
        self._overlay = StartOverlay(self, lambda: self.session.collection.start_picture(self.settings.overlay_episode))
        self._status = self.create_publisher(EpisodeStatus, "~/status", qos.LATCHED)
        for name, (outcome, reason) in ENDS.items():
            self._serve(name, partial(self._end_or_mark, outcome, reason))
        self._serve("start", lambda: self._start(s.task, s.operator, s.max_seconds))
        self._serve("redo", self.session.redo)
        self._action = EpisodeAction(self, self.session, self._start_goal)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.create_timer(TICK, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._diagnostics = Diagnostics(self)
        self._diagnostics.add("episode", self._part)
        self._diagnostics.add("inputs", self._inputs.part)
        self.get_logger().info(f"episodes go to {self.session.collection.path}")

    # What is heard

    def heard(self, topic: str, kind: str, data: bytes) -> None:
        """Judge a message, and take the start picture of it if it is the first of the view."""
        self.session.judge.take(topic, kind, data, time.monotonic())
        if topic != self._view:
            return
        try:
            if (running := self.session.recording) and running.wants_picture:
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
        return dict(vars(self.settings))

    def _open_bag(self, path: Path) -> BagWriter:
        self._anchor = int(self.get_clock().now().nanoseconds), time.monotonic_ns()
        self._gather_facts()
        return self.open(path)

    def _close_bag(self) -> None:
        self.writer = None

    def parameters_told(self) -> None:
        """Take the parameters into the facts, and the cameras' rates from them."""
        super().parameters_told()
        self.session.judge.expect(self._rates())

    def _rates(self) -> dict[str, float]:
        return nominal_rates(self._survey.parameters, self.settings.cameras, self.settings.camera_rate)

    def _judge(self, pictures: bool) -> Judge:
        return Judge(self._rates(), self._limits, time.monotonic(), pictures=pictures)

    # What is asked for

    def _serve(self, name: str, action: Callable[[], Answer]) -> None:
        def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = action()
            self._tell()
            return response

        self.create_service(Trigger, f"~/{name}", answer)

    def _start(self, task: str, operator: str, max_seconds: float) -> Answer:
        told = str(self._survey.parameters.get("policy", {}).get("instruction", ""))
        answer = self.session.start(Wish(task or told, operator, max_seconds))
        self.get_logger().info(answer[1])
        return answer

    def _start_goal(self, goal: RecordEpisode.Goal) -> Answer:
        s, limit = self.settings, max(goal.max_seconds, 0.0)
        return self._start(goal.task or s.task, goal.led_by or s.operator, limit or s.max_seconds)

    def _end_or_mark(self, outcome: str, reason: str) -> Answer:
        if outcome and not self.session.recording:
            return self.session.mark(outcome)
        return self.session.end(outcome, reason)

    def _on_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == "folder":
                if self.session.running:
                    return SetParametersResult(successful=False, reason="an episode is being recorded; end it first")
                self.session.collection = Collection(Path(parameter.value).resolve())
            if hasattr(self.settings, parameter.name):
                setattr(self.settings, parameter.name, parameter.value)
        return SetParametersResult(successful=True)

    # How it goes

    def _tick(self) -> None:
        self._action.tick()
        before = self.session.running
        self.session.tick()
        if time.monotonic() >= self._due or before is not self.session.running:
            self._tell()

    def _on_closed(self, running: Running) -> None:
        if running.trouble:
            self.get_logger().error(f"episode {running.place.number} is not whole: {running.trouble}")
        else:
            self.get_logger().info(running.summary())
        self._action.closed(running)

    def _tell(self) -> None:
        self._due = time.monotonic() + TOLD
        session = self.session
        shown, last = session.running or session.last, session.last
        status = EpisodeStatus(header=header(self.get_clock().now().nanoseconds * 1e-9, ""))
        status.complaints = session.complaints()
        status.folder = str(shown.place.path if shown else session.collection.path)
        if session.running:
            status.state = EpisodeStatus.RECORDING if session.recording else EpisodeStatus.CLOSING
        if shown:
            status.number, status.task, status.led_by = shown.place.number, shown.wish.task, shown.wish.operator
            status.seconds, status.messages, status.bytes = shown.seconds, shown.messages, shown.size()
        if last:
            status.last_outcome, status.last_reason = last.episode.outcome, last.trouble or last.episode.reason
        self._status.publish(status)
        self._action.tell(status)

    def _part(self) -> Part:
        session = self.session
        running, complaints = session.running, session.complaints()
        values: dict[str, object] = {"folder": session.collection.path, "MB per minute": session.room.rate * 60e-6}
        with suppress(OSError):
            values["MB to write"] = session.room.free(session.collection.path) * 1e-6
        if running:
            values |= {"episode": running.place.number, "seconds": running.seconds, "messages": running.messages}
        elif session.last and session.last.trouble:
            return Part(ERROR, f"episode {session.last.place.number} is not whole: {session.last.trouble}", values)
        if complaints:
            return Part(WARN, "; ".join(complaints), values)
        return Part(OK, f"recording episode {running.place.number}" if running else "nothing is recorded", values)

    def close(self) -> None:
        """End the episode that runs, as whole as a short while allows."""
        self.session.close()


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(EpisodesNode, niceness=10)
