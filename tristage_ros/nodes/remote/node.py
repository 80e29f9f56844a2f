"""A policy of somebody else as a node: observations to its server, its answers as action chunks to the arm."""

from __future__ import annotations

import math
import threading
import time
from collections import deque

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.publisher import Publisher
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from tristage_msgs.msg import ActionChunk, ArmStatus, StageTimings

from tristage_ros.devices.arm.site import load_site
from tristage_ros.nodes.policy.readiness import KeyFramePacing
from tristage_ros.nodes.remote.asking import Asking
from tristage_ros.nodes.remote.inputs import Inputs
from tristage_ros.nodes.remote.messages import (
    Took,
    chunk_message,
    server_message,
    server_milliseconds,
    timings_message,
)
from tristage_ros.nodes.remote.pacing import ChunkPacing, Pacing, pacing_of
from tristage_ros.nodes.remote.parameters import PARAMETERS
from tristage_ros.observing.buffer import NotReadyError, ObservationBuffer
from tristage_ros.openpi.address import address
from tristage_ros.openpi.answers import AnswerError, chunk
from tristage_ros.openpi.mapping import map_file, read_map
from tristage_ros.openpi.questions import Moment, question
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Part
from tristage_ros.ros.parameters import declare
from tristage_ros.ros.qos import sending
from tristage_ros.ros.runner import ManagedNode, run

AS_IT_SHOULD = ("", KeyFramePacing.MOVING, ChunkPacing.RUNS, ObservationBuffer.NEXT_FRAME)  # to wait for
AGAIN = 0.5  # s from an answer that was refused to the next question
SERVER_TOPIC = "tristage/server"


class RemotePolicyNode(ManagedNode):
    """Ask about the newest complete moment in a thread of its own; a new connection is a new beginning."""

    def __init__(self) -> None:
        """Declare parameters and topics; the map is read in configure."""
        super().__init__("policy")
        self.settings = declare(self, PARAMETERS)
        self.asking: Asking | None = None
        self.inputs: Inputs | None = None
        self._replayed = bool(self.get_parameter("use_sim_time").value)
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._waiting_for, self._refusal = "not active", ""
        self._last_stamp, self._wanted_since = 0.0, math.nan  # s, ROS time
        self._answer: list[tuple[Publisher, object]] = []  # what was published on the observation of that stamp
        self._finished: deque[float] = deque(maxlen=11)  # s, ROS time
        self._known = 0  # connections that were begun with
        self.sequence = self.step = self.refused = self._missed = 0
        self._newest: StageTimings | None = None
        self._server_took: dict[str, object] = {}
        self._actions = self.create_publisher(ActionChunk, "tristage/action", 10)
        self._timings = self.create_publisher(StageTimings, "tristage/timings", 10)
        self._servers = self.create_publisher(String, SERVER_TOPIC, qos.LATCHED)
        self._heartbeats = self.create_publisher(Header, qos.HEARTBEAT_TOPIC, qos.HEARTBEAT)
        self.create_service(Trigger, "policy/reset", self._on_reset)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics = Diagnostics(self, self.settings.server)
        self._diagnostics.add("policy", self._policy_part)
        self._diagnostics.add("server", self._server_part)
        self._diagnostics.add("pruning", lambda: Part(OK, "what a server prunes, it does not say"))
        if self.settings.autostart:
            self.bring_up()

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the map, and hear what it needs."""
        s = self.settings
        try:
            self.mapped, self._url = read_map(map_file(s.map)), address(s.server)
            mounts = load_extrinsics(s.cameras_file or resource("config", "cameras.yaml"))
            guard = load_site(s.site_file, s.cameras_file).guard(mounts.values())
            self._tcp, self._limits = guard.body.tool.tcp, guard.joint_limits
            self.pacing: Pacing = pacing_of(self.mapped, s.control)
            self.inputs = Inputs(self, s, self.mapped, mounts, self._on_cloud, self._on_arm_status)
        except (OSError, ValueError) as error:
            return self.refuse(str(error))
        self._diagnostics.add("front color", self.inputs.color_part, "camera front")
        self._diagnostics.add("inputs", self.inputs.part)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to ask."""
        s, self._known = self.settings, 0
        self.asking = Asking(self._url, self.mapped, s.answer_within, s.first_within)
        self._stop = threading.Event()  # of this thread alone: one that is late to end must not come back to life
        self._thread = threading.Thread(target=self._work, args=(self._stop, self.asking), name="policy", daemon=True)
        self._thread.start()
        self.get_logger().info(f"asks {self._url} by {self.mapped.path}: {s.instruction!r}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ask no more; the arm ends the chunk that it has."""
        self._end_thread()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of what was heard."""
        assert self.inputs is not None
        self.inputs.close()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ask no more."""
        self._end_thread()
        return super().on_shutdown(state)

    def close(self) -> None:
        """End the thread and the connection."""
        self._end_thread()

    def _end_thread(self) -> None:
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread and self.asking:
            self.asking.close()
            thread.join(2.0)

    # Callbacks

    def _on_cloud(self, stamp: float) -> None:
        if self._replayed and stamp == self._last_stamp:
            with sending(self, "answer"):
                for publisher, said in self._answer:  # who shows a frame again has missed some of it
                    publisher.publish(said)

    def _on_arm_status(self, message: ArmStatus) -> None:
        """Have the arm hear what of its words came back from the server; what a bag tells is no sign of life."""
        if not self._replayed and self.asking and (returned := self.asking.echoed(message.header)):
            with sending(self, "heartbeat"):
                self._heartbeats.publish(returned)
        self.pacing.on_arm_status(message, self._steady())

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._thread is not None
        response.message = "a new connection begins" if response.success else "the policy is not active"
        if self.asking:
            self.asking.begin_anew()
        return response

    def _on_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == "instruction":
                if not str(parameter.value).strip():
                    return SetParametersResult(successful=False, reason="the instruction is empty")
                self.settings.instruction = str(parameter.value)
                if self.asking:
                    self.asking.begin_anew()
                self.get_logger().info(f"instruction: {self.settings.instruction!r}; a new connection begins")
        return SetParametersResult(successful=True)

    # The control loop

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _steady(self) -> float:
        """Return seconds for the pacing: those of the replayed clock, else of one that nobody sets."""
        return self._now() if self._replayed else time.monotonic()

    def _work(self, stop: threading.Event, asking: Asking) -> None:
        try:
            while not stop.is_set():
                before = asking.trouble
                if not asking.connected():
                    self._tell_trouble(asking, before)
                    stop.wait(0.05)
                    continue
                if self._known != asking.connections:
                    self._begin(asking)
                self._try_step(stop, asking)
        except Exception as error:
            if stop.is_set():  # what it publishes on is gone
                return
            self.failure = f"policy: {type(error).__name__}: {error}"
            self.get_logger().error(self.failure)

    def _tell_trouble(self, asking: Asking, before: str) -> None:
        if asking.trouble != before and asking.trouble:
            self.get_logger().warning("; ".join(filter(None, (asking.trouble, asking.traceback))))

    def _begin(self, asking: Asking) -> None:
        """Begin as if nothing had been seen, with what a new connection says of its server."""
        self._known, self.step, self._refusal, self._answer = asking.connections, 0, "", []
        self.pacing = pacing_of(self.mapped, self.settings.control)
        self.pacing.newer_than = 0.0 if self._replayed else self._now()
        self._finished.clear()
        said = server_message(asking.url, self.mapped, asking.metadata)
        self.get_logger().info(f"connected: {said.data}")
        with sending(self, SERVER_TOPIC):
            self._servers.publish(said)

    def _try_step(self, stop: threading.Event, asking: Asking) -> None:
        assert self.inputs is not None
        now = self._now()
        if self._last_stamp > now + self.settings.max_age:  # time went back: a bag was restarted, or the clock was set
            self._last_stamp = 0.0
            self.pacing = pacing_of(self.mapped, self.settings.control)
        if hold := self.pacing.waits_for(self._steady(), now):
            self._waiting_for, self._wanted_since = hold, math.nan
            stop.wait(0.005)
            return
        if math.isnan(self._wanted_since):
            self._wanted_since = self.pacing.wanted_since(self._steady(), now)
        try:
            moment = self.inputs.moment(now, max(self._last_stamp, self.pacing.newer_than), self._tcp)
        except NotReadyError as reason:
            self._waiting_for = str(reason)
            self.inputs.buffer.wait(0.05)
        except ValueError as error:
            self._waiting_for = f"bad input: {error}"
            self.get_logger().warning(self._waiting_for, throttle_duration_sec=5.0)
            self.inputs.buffer.wait(0.05)
        else:
            self._waiting_for = ""
            self._step(moment, stop, asking)

    def _step(self, moment: Moment, stop: threading.Event, asking: Asking) -> None:
        assert self.inputs is not None
        begun, age = time.perf_counter(), self._now() - moment.stamp
        asked = question(self.mapped, moment, self.settings.instruction)
        put = time.perf_counter() - begun
        self._missed += self.inputs.buffer.clouds_between(max(self._wanted_since, self._last_stamp), moment.stamp)
        self._last_stamp, self._wanted_since, before = moment.stamp, math.nan, asking.trouble
        answer = asking.ask(asked)
        if answer is None:
            self._tell_trouble(asking, before)
            return
        try:
            wanted = chunk(self.mapped, answer, moment, self._limits)
        except AnswerError as error:
            self._refuse(str(error), stop)
            return
        self._refusal, self.sequence, self.step = "", self.sequence + 1, self.step + 1
        self._server_took = server_milliseconds(answer)
        message = chunk_message(wanted, self.sequence)
        self.pacing.on_sent(message, self._steady())
        total, self._answer = time.perf_counter() - begun, []
        self._say(self._actions, message)
        self._finished.append(self._now())
        took = Took(put, total, age, self._now() - moment.stamp, self._rate(), self._missed)
        self._newest = timings_message(moment.stamp, self.step, took)
        self._say(self._timings, self._newest)

    def _refuse(self, reason: str, stop: threading.Event) -> None:
        """Tell why an answer is not sent to the arm, which holds at the end of what it has; ask again in a moment."""
        self.refused += 1
        self._refusal = reason
        self.get_logger().warning(f"answer refused: {reason}", throttle_duration_sec=5.0)
        stop.wait(AGAIN)

    def _say(self, publisher: Publisher, message: object) -> None:
        self._answer.append((publisher, message))
        with sending(self, publisher.topic_name):
            publisher.publish(message)

    def _rate(self) -> float:
        if len(self._finished) < 2 or self._finished[-1] <= self._finished[0]:
            return 0.0
        return (len(self._finished) - 1) / (self._finished[-1] - self._finished[0])

    # Diagnostics

    def _server_part(self) -> Part:
        return self.asking.part(self._server_took) if self.asking else Part(WARN, "not active")

    def _policy_part(self) -> Part:
        s, newest = self.settings, self._newest
        values: dict[str, object] = {
            "steps": self.sequence,
            "instruction": s.instruction,
            "answers refused": self.refused,
        }
        values["checkpoint"] = f"the policy server at {s.server}, by {s.map}"
        if newest is not None:
            values |= {"control rate [Hz]": newest.control_rate_hz, "total [ms]": newest.total_ms}
            values |= {"action age [ms]": newest.action_age_ms, "wanted frames missed": newest.frames_skipped}
        if self.failure:
            return Part(ERROR, self.failure, values)
        if self._thread is None or self.asking is None:
            return Part(WARN, "not active", values)
        if trouble := self.asking.trouble or self._refusal:
            return Part(ERROR, trouble, values)
        if self._waiting_for not in AS_IT_SHOULD:
            return Part(WARN, self._waiting_for, values)
        if newest is None:
            return Part(OK, "no step yet", values)
        if newest.total_ms > s.slow_step:
            return Part(WARN, f"the answer took {newest.total_ms:.0f} ms, more than slow_step", values)
        return Part(OK, f"{newest.total_ms:.0f} ms per step, {newest.control_rate_hz:.1f} Hz", values)


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(RemotePolicyNode, niceness=5)
