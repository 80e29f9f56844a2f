"""The arm's black box: what was said at its ROS surface in the last minute, and when all of it is written down.

At every fault, once, and when `arm/black_box` (std_srvs/Trigger) asks. Copying is this process's part, in small pieces;
converting, compressing and waiting for the disk is another one's (`bags/black_box`).
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.serialization import serialize_message
from std_srvs.srv import Trigger
from tristage_msgs.msg import ArmStatus

from tristage_ros.bags.black_box import contents
from tristage_ros.bags.black_box.contents import ERROR, FAULT, INFO, REQUEST, STATUS, WARN, Contents, Event, Kept
from tristage_ros.devices.arm.black_box import SPAN, BusRecord, Fault, LoopRecord
from tristage_ros.devices.arm.controller import ArmController
from tristage_ros.devices.arm.values import ArmMode
from tristage_ros.resources import user_path
from tristage_ros.ros.parameters import Parameter

PARAMETERS = (
    Parameter("black_box_dir", "", "where black boxes are written; empty: black_box in $ROS_HOME or ~/.ros"),
    Parameter("black_box_keep", 20, "black boxes of this arm that are kept; the oldest are removed", "", 1, 10000),
)
AFTER = 1.5  # s after a fault, so that what followed is in it
_PATIENCE = 60.0  # s for the file to be written
_AT_THE_END = 2.0  # s for what is under way when the node ends
_MOST = 32 << 20  # bytes of messages


class BlackBox:
    """Keep what the node hears and says, and have it written with what bus and loop kept."""

    def __init__(self, node: Node, folder: str, keep: int) -> None:
        """Offer the service; nothing is kept of a bus before `watch`."""
        home = user_path(os.environ.get("ROS_HOME") or Path.home() / ".ros")
        self.folder = user_path(folder) if folder else home / "black_box"
        self._node, self._keep = node, keep
        self._frames: BusRecord | None = None
        self._loop: LoopRecord | None = None
        self._channel = ""
        self._events: deque[Event] = deque()
        self._messages: deque[Kept] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._fault: Fault | None = None  # the newest that is known
        self._due: float | None = None  # s, monotonic clock, when it is written
        self._words = ""  # what the status says of it
        self._path = Path()
        self._mode: ArmMode | None = None
        self._jobs: deque[Path] = deque()
        self._under_way = 0  # files that no other process has been given yet
        node.create_service(Trigger, "arm/black_box", self._serve, callback_group=MutuallyExclusiveCallbackGroup())

    def watch(self, controller: ArmController, channel: str) -> None:
        """Take the records of an arm's bus and of the loop that moves it."""
        self._frames, self._loop, self._channel = controller.frames, controller.record, channel

    # What is kept

    def say(self, kind: str, text: str, level: int = INFO) -> None:
        """Keep a line of text; `kind`: see `Event`."""
        self._keep_event(Event(time.monotonic(), time.time(), level, kind, text))

    def answered(self, kind: str, what: str, accepted: bool, words: str) -> None:
        """Keep what became of something that was asked for."""
        outcome = "accepted" if accepted else "refused"
        self.say(kind, f"{what} {outcome}: {words}".rstrip(": "), INFO if accepted else WARN)

    def served(self, service: str, success: bool, words: str) -> None:
        """Keep the answer of a service, and which nodes have a client of it, as far as the middleware tells."""
        topic = f"rq{self._node.resolve_service_name(service)}Request"
        clients = set()
        with suppress(Exception):  # a middleware may not have such a topic; the answer does not wait for that
            for info in self._node.get_publishers_info_by_topic(topic, no_mangle=True):
                clients.add(f"{info.node_namespace.rstrip('/')}/{info.node_name}")
        asked = f"{service} (clients: {', '.join(sorted(clients)) or 'not known'})"
        self.answered("service", asked, success, words)

    def message(self, topic: str, message: Any) -> None:
        """Keep a message, which `topic` would have in a recording."""
        kind = type(message)
        name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        data = serialize_message(message)
        with self._lock:
            self._messages.append(Kept(time.monotonic(), topic, name, data))
            self._bytes += len(data)
            while self._bytes > _MOST or self._messages[0].monotonic < time.monotonic() - SPAN - AFTER:
                self._bytes -= len(self._messages.popleft().data)

    def parameters(
        self, decide: Callable[[list[RosParameter]], SetParametersResult]
    ) -> Callable[[list[RosParameter]], SetParametersResult]:
        """Return what decides about parameters as `decide` does, and keeps what it decided."""

        def decided(parameters: list[RosParameter]) -> SetParametersResult:
            result = decide(parameters)
            for parameter in parameters:
                self.answered("parameter", f"{parameter.name} = {parameter.value!r}", result.successful, result.reason)
            return result

        return decided

    def _keep_event(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)
            while self._events[0].monotonic < event.monotonic - SPAN - AFTER:
                self._events.popleft()

    # When it is written

    def look(self, mode: ArmMode, status: ArmStatus) -> None:
        """Keep the arm's status, which then names the newest fault's file, and see to a fault; several times a second.

        A fault is one for as long as the arm is in it, whatever its words.
        """
        if mode != self._mode:
            self.say("mode", f"{mode.name.lower()}: {status.reason}", WARN if mode is ArmMode.FAULT else INFO)
            self._mode = mode
        fault = self._loop.fault if self._loop else None
        if fault is not None and fault is not self._fault:
            if self._due is not None:  # the one before was short
                self._write_fault()
            self._begin(fault)
        if mode is ArmMode.FAULT and self._words:
            status.reason = f"{status.reason}; {self._words}"
        self.message(STATUS, status)
        if self._due is not None and time.monotonic() > self._due:
            self._write_fault()

    def _begin(self, fault: Fault) -> None:
        self._fault = fault
        self._keep_event(Event(fault.monotonic, fault.wall, ERROR, FAULT, fault.text))
        if objection := contents.trouble(self.folder):
            self._failed(objection)
        else:
            self._path, self._due = self._new_path(fault.wall), fault.monotonic + AFTER
            self._words = f"black box: {self._path}"
        self._node.get_logger().error(f"fault: {fault.text}; {self._words}")

    def _write_fault(self) -> None:
        self._due = None
        self._write(self._path)

    def _write(self, path: Path) -> None:
        with self._lock:
            self._under_way += 1
            self._jobs.append(path)
            if len(self._jobs) == 1:
                threading.Thread(target=self._work, name="black box", daemon=True).start()

    def request(self) -> tuple[Path | None, str]:
        """Have all that is kept now written; return where, or None and why not."""
        if objection := contents.trouble(self.folder):
            return None, f"no black box: {objection}; set black_box_dir"
        path = self._new_path(time.time())
        self.say(REQUEST, f"written at a person's call: {path}")
        self._write(path)
        return path, f"writing {path}; a line of the log follows when it is there"

    def _serve(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        path, response.message = self.request()
        response.success = path is not None
        return response

    def _new_path(self, wall: float) -> Path:
        return self.folder.resolve() / contents.name(wall, self._node.get_namespace())

    def flush(self) -> None:
        """Have written what waits for it; the other process may go on after this one."""
        if self._due is not None:
            self._write_fault()
        end = time.monotonic() + _AT_THE_END
        while self._under_way and time.monotonic() < end:
            time.sleep(0.01)

    # How it is written

    def _work(self) -> None:
        """Write what waits, then end: a thread that goes on would keep the node and its place in the domain."""
        while True:
            path = self._jobs[0]
            try:
                objection = self._have_written(path)
            except Exception as error:  # what records an arm is never a reason for anything
                objection = f"{type(error).__name__}: {error}"
            if objection:
                self._failed(f"{path} was not written: {objection}", path)
                self._node.get_logger().warning(self._words)
            else:
                self._node.get_logger().info(f"black box written: {path}; tristage report {path}")
            with self._lock:
                self._jobs.popleft()
                if not self._jobs:
                    return

    def _failed(self, why: str, path: Path | None = None) -> None:
        if path is None or path == self._path:
            self._words = f"no black box: {why}"

    def _have_written(self, path: Path) -> str:
        """Give all that is kept to a process that writes it; return why it could not, "" when it could."""
        kept = self._contents(path)
        program = [sys.executable, "-m", "tristage_ros.bags.black_box"]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stderr is not None
            with suppress(BrokenPipeError), process.stdin:  # it says itself why it ended
                pickle.dump(kept, process.stdin)
            with self._lock:
                self._under_way -= 1
            try:
                code = process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                return f"not within {_PATIENCE:.0f} s"
            lines = process.stderr.read().decode(errors="replace").strip().splitlines()
        return (lines or [f"exit code {code}"])[-1] if code else ""

    def _contents(self, path: Path) -> Contents:
        frames, loop = self._frames, self._loop
        with self._lock:
            events, messages = list(self._events), list(self._messages)
        values = {name: p.value for name, p in self._node.get_parameters_by_prefix("").items()}
        return Contents(
            path,
            self._keep,
            time.monotonic(),
            time.time(),
            self._channel,
            frames.pieces() if frames else (),
            loop.pieces() if loop else (),
            events,
            messages,
            values,
        )
