"""The policy as a node: observations in, one action chunk per control step out, pruning state kept across steps."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import torch
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from tristage_msgs.msg import ActionChunk, ArmStatus, PruningStats, StageTimings

from tristage_ros.bags.facts import OWN_SCALE
from tristage_ros.devices.arm.clock import ArmClock
from tristage_ros.devices.arm.values import BASE_FRAME
from tristage_ros.mla.approach import Pace
from tristage_ros.mla.policy import MlaPolicy, ModelOutputError
from tristage_ros.mla.values import Observation, StepReport
from tristage_ros.nodes.policy.loading import in_words, loaded, tristage_pruner
from tristage_ros.nodes.policy.messages import (
    StepTiming,
    chunk_message,
    kept_cloud_message,
    pruning_message,
    pruning_part,
    step_part,
    timings_message,
)
from tristage_ros.nodes.policy.parameters import PARAMETERS
from tristage_ros.nodes.policy.readiness import KeyFramePacing, Pacing, RatePacing, pacing_of
from tristage_ros.nodes.policy.rehearsal import Rehearsal, rehearse
from tristage_ros.nodes.policy.tunable import TunableNode
from tristage_ros.observing.buffer import Limits, NotReadyError, ObservationBuffer
from tristage_ros.perception.color import draw_overlay
from tristage_ros.perception.extrinsics import mount_of
from tristage_ros.resources import resource
from tristage_ros.ros import qos
from tristage_ros.ros.convert import image_message, seconds
from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Diagnostics, Part, Stream, limits_of
from tristage_ros.ros.dilation import follow_dilation
from tristage_ros.ros.image_transport import subscribe_image
from tristage_ros.ros.joints import zero_of
from tristage_ros.ros.qos import sending
from tristage_ros.ros.runner import run, unless_stopped
from tristage_ros.ros.subscriptions import Subscriptions

TURN = 6.0  # rad/m, how much a tool turns on its way to a key frame, at most
AS_IT_SHOULD = (KeyFramePacing.MOVING, RatePacing.PERIOD, ObservationBuffer.NEXT_FRAME)  # to wait for


class PolicyNode(TunableNode):
    """Infer on the newest complete observation in a thread of its own; frames that pass meanwhile are skipped."""

    def __init__(self) -> None:
        """Declare parameters and topics; the weights are loaded in configure."""
        super().__init__("policy", PARAMETERS)
        self.policy: MlaPolicy | None = None
        self.pacing: Pacing | None = None
        self._replayed = bool(self.get_parameter("use_sim_time").value)
        self._arms_clock = ArmClock(self._now if self._replayed else time.monotonic)
        self._rehearsal: Rehearsal | None = None
        self._thread: threading.Thread | None = None
        self._inputs = Subscriptions(self)
        self._stop = threading.Event()
        self._lock = threading.Lock()  # the policy is used by its thread and reset by callbacks
        self._waiting_for = "not active"
        self._last_stamp = 0.0
        self._answer: list[tuple[Publisher, object]] = []  # what was published on the observation of that stamp
        self._wanted_since: float | None = None  # s, ROS time; None while the pacing waits for something
        self._finished: deque[float] = deque(maxlen=11)  # s, ROS time
        self.sequence = self._frames_skipped = 0
        self._newest: StageTimings | None = None
        self._report: StepReport | None = None
        self._looked, self._look_ms = 0, math.nan  # looks since the start, and what the newest took
        self._looks_only = False  # in a replay in lockstep: whether the recorded run only looked at the next frame
        self._actions = self.create_publisher(ActionChunk, "tristage/action", 10)
        self._pruning = self.create_publisher(PruningStats, "tristage/pruning", 10)
        self._timings = self.create_publisher(StageTimings, "tristage/timings", 10)
        self._heartbeats = self.create_publisher(Header, qos.HEARTBEAT_TOPIC, qos.HEARTBEAT)
        self._overlays = self.create_publisher(Image, "tristage/overlay", qos.IMAGES)
        self._kept_clouds = self.create_publisher(PointCloud2, "tristage/kept_cloud", qos.IMAGES)
        self._front_color = Stream(limits_of(self.settings, self.settings.max_age))
        follow_dilation(self, self._dilate)
        self._undecodable, self._complaint = 0, ""  # front images, and why the newest of them since it was last told
        self.create_service(Trigger, "policy/reset", self._on_reset)
        if self._replayed:
            self.create_service(SetBool, "policy/look", self._on_look)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics = Diagnostics(self, f"torch device {self.settings.device}")
        self._diagnostics.add("policy", self._policy_part)
        self._diagnostics.add("pruning", self._pruning_part)
        self._diagnostics.add("front color", self._color_part, "camera front")
        self._diagnostics.add("inputs", self._inputs.part)
        if self.settings.autostart:
            self.bring_up()

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the weights and subscribe."""
        s = self.settings
        if not s.checkpoint and not s.allow_random_weights:
            return self.refuse(
                "no checkpoint given: random weights are for simulation only; set the parameter checkpoint"
            )
        if s.looks != "off" and not self._key_frames:
            return self.refuse(f"looks:={s.looks} needs control:=keyframe: at a rate every step looks anew")
        torch.set_num_threads(s.threads)
        try:
            self.get_logger().info(f"loading {s.checkpoint or 'random weights'} on {s.device} ...")
            self.policy = unless_stopped(self, partial(loaded, s, self.tuning.config))
            mount = mount_of("front", s.cameras_file or resource("config", "cameras.yaml"))
        except (OSError, ValueError) as error:
            return self.refuse(str(error))
        except Exception as error:  # the lifecycle would swallow it without a word
            return self.refuse(f"{type(error).__name__}: {error}")
        self.buffer = ObservationBuffer(mount, Limits(s.max_age, s.sync_tolerance))
        self.buffer.dilate(self._arms_clock.dilation)
        self._subscribe()
        self._tell_scales()
        if self.policy.random_weights:
            self.get_logger().warning(
                "RANDOM WEIGHTS: no checkpoint was given, the actions mean nothing; simulation only"
            )
        return super().on_configure(state)

    def _subscribe(self) -> None:
        buffer, transport = self.buffer, self.settings.image_transport
        color, depth = "front/color/image_raw", "front/aligned_depth_to_color/image_raw"
        subscribe_image(self._inputs, color, self._on_image, transport, self._refuse_image)
        subscribe_image(self._inputs, depth, buffer.add_depth, transport, self._refuse_image)
        self._inputs.add(CameraInfo, "front/color/camera_info", self._on_info, qos.NEWEST)
        self._inputs.add(PointCloud2, "tristage/cloud", self._on_cloud, qos.NEWEST)
        self._inputs.add(JointState, "joint_states", self._on_joints, 10)
        self._inputs.add(ArmStatus, "arm/status", self._on_arm_status, 10)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to infer, as if nothing had been seen: the scene may be another one."""
        assert self.policy is not None
        self.policy.reset(self.settings.instruction)
        self._last_stamp, self._answer, self.pacing = 0.0, [], self._new_pacing()
        self._stop = threading.Event()  # of this thread alone: one that is late to end must not come back to life
        if self.settings.rehearse and not self._replayed and self._rehearsal is None:
            self._rehearsal = Rehearsal(self)
        self._thread = threading.Thread(target=self._work, args=(self._stop,), name="policy", daemon=True)
        self._thread.start()
        self.get_logger().info(f"ready: {in_words(self.policy, self.settings, self.tuning)}")
        self._diagnostics.publish()  # somebody waits for it, perhaps, to enable the arm
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to infer; the arm ends the chunk that it has."""
        self._end_thread()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the weights and of what was heard."""
        self._inputs.destroy()
        self.policy = None
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop to infer."""
        self._end_thread()
        return super().on_shutdown(state)

    def close(self) -> None:
        """End the inference thread; a step that takes longer than a moment ends with the process."""
        self._end_thread(patience=1.0)

    def _end_thread(self, patience: float = 5.0) -> None:
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread:
            thread.join(patience)

    # Callbacks

    def _on_image(self, message: Image) -> None:
        self._front_color.add(seconds(message.header.stamp))
        self.buffer.add_image(message)

    def _refuse_image(self, reason: str) -> None:
        self._undecodable += 1
        self._complaint = reason

    def _on_cloud(self, message: PointCloud2) -> None:
        if self._replayed and seconds(message.header.stamp) == self._last_stamp:
            with sending(self, "answer"):
                for publisher, said in self._answer:  # who shows a frame again has missed some of it
                    publisher.publish(said)
        self.buffer.add_cloud(message)

    def _on_info(self, message: CameraInfo) -> None:
        try:
            self.buffer.add_info(message, self.resolve_topic_name("front/color/image_raw"))
        except ValueError as error:
            self.get_logger().warning(f"front: {error}", throttle_duration_sec=5.0)

    def _on_joints(self, message: JointState) -> None:
        try:
            self.buffer.add_joints(message)
        except ValueError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_arm_status(self, message: ArmStatus) -> None:
        if not self._replayed:  # what a bag tells is no sign of life for an arm
            with sending(self, "heartbeat"):
                self._heartbeats.publish(message.header)
        self.buffer.dh_is_offset = zero_of(self, message, self.buffer.dh_is_offset)
        if self.pacing:
            self.pacing.on_arm_status(message, self._steady())

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.policy is None:
            response.success, response.message = False, "the policy is not configured"
            return response
        with self._lock:
            self.policy.reset(self.settings.instruction)
        response.success, response.message = True, "pruning state cleared; the next step sees every token"
        return response

    def _on_look(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Only look at the frames to come, or act on them again."""
        self._looks_only = request.data
        response.success = True
        return response

    def _on_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == "instruction":
                reason = self._instruct(str(parameter.value))
                if reason:
                    return SetParametersResult(successful=False, reason=reason)
            elif parameter.name.startswith(OWN_SCALE) and not self._is_told(parameter):
                reason = f"{parameter.name} is what was found of the model: set pruner.scale_3d"
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def _is_told(self, parameter: RosParameter) -> bool:
        scales = tristage_pruner(self.policy).scales if self.policy else {}
        return parameter.value in (
            scales.get(parameter.name.removeprefix(OWN_SCALE)),
            self.get_parameter(parameter.name).value,
        )

    def _instruct(self, instruction: str) -> str:
        """Give the policy another task; return why it cannot have it, empty when it has."""
        if not instruction.strip():
            return "the instruction is empty"
        try:
            with self._lock:
                if self.policy:
                    self.policy.reset(instruction)
                self.settings.instruction = instruction
        except ValueError as error:
            return str(error)
        self.get_logger().info(f"instruction: {instruction!r}; pruning state cleared")
        return ""

    # The control loop

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _steady(self) -> float:
        """Return the arm's seconds, for the pacing: by the replayed clock, else by one that nobody sets."""
        return self._arms_clock.now()

    def _dilate(self, dilation: float) -> None:
        """Keep the beat of an arm whose time is slower, and judge ages by it."""
        self._arms_clock.dilate(dilation)
        self._front_color.dilation = dilation
        if hasattr(self, "buffer"):  # else once it is configured
            self.buffer.dilate(dilation)

    @property
    def _key_frames(self) -> bool:
        """Tell whether key frames are sent, and not steps on the way to them."""
        s = self.settings
        return bool((s.frame_sends if s.control == "frame" else s.control) == "keyframe")

    def _new_pacing(self) -> Pacing:
        s = self.settings
        pace = Pace(s.approach_speed, TURN * s.approach_speed) if s.approach_speed else None
        return pacing_of(s.control, s.frame_sends, s.rate_hz, pace)

    def _work(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._forget_the_future()
                self._try_step()
        except Exception as error:
            if stop.is_set():  # what it publishes on is gone
                return
            self.failure = f"policy: {type(error).__name__}: {error}"
            self.get_logger().error(self.failure)

    def _forget_the_future(self) -> None:
        """Begin anew where time went back: a bag was restarted, or the clock was set."""
        assert self.policy is not None and self.pacing is not None
        if max(self._last_stamp, self.pacing.newer_than) > self._now() + self.settings.max_age:
            self.get_logger().warning("time went back; pruning state cleared")
            self._last_stamp, self.pacing = 0.0, self._new_pacing()
            self._finished.clear()
            with self._lock:
                self.policy.reset(self.settings.instruction)

    def _try_step(self) -> None:
        assert self.pacing is not None
        self.pacing.set_rate(self.settings.rate_hz)
        monotonic, now = self._steady(), self._now()
        hold = self.pacing.waits_for(monotonic, now)
        if hold:
            self._waiting_for, self._wanted_since = hold, None
            if not self._look_on_the_way() and not self._rehearse():
                self._stop.wait(0.005)
            return
        if self._wanted_since is None:
            self._wanted_since = self.pacing.wanted_since(monotonic, now)
        try:
            observation = self.buffer.observation(self._now(), max(self._last_stamp, self.pacing.newer_than))
            self._waiting_for = ""
            if self._looks_only:
                self._look(observation)
            else:
                self._step(observation)
        except NotReadyError as reason:
            self._waiting_for = str(reason)
            self.buffer.wait(0.05)
        except ModelOutputError as error:
            self._waiting_for = str(error)
            self.get_logger().error(self._waiting_for, throttle_duration_sec=5.0)
            self.buffer.wait(0.05)
        except ValueError as error:
            self._waiting_for = f"bad input: {error}"
            self.get_logger().warning(self._waiting_for, throttle_duration_sec=5.0)
            self.buffer.wait(0.05)

    def _step(self, observation: Observation) -> None:
        assert self.policy is not None and self.pacing is not None
        with self.beginning:
            pruning, rate = self.tuning.config, self.settings.rate_hz
            age = self._now() - observation.stamp
        self.pacing.set_rate(rate)
        if self._wanted_since is not None:
            since = max(self._wanted_since, self._last_stamp)
            self._frames_skipped += self.buffer.clouds_between(since, observation.stamp)
        self._wanted_since = None
        with self._lock:
            since_last = (observation.stamp - self._last_stamp) / self._arms_clock.dilation
            if self._last_stamp and since_last > self.settings.reset_after:
                self.policy.reset(self.settings.instruction)
            if pruning != self.policy.pruner.config and self.policy.pruner.configure(pruning):
                self.policy.reset(self.settings.instruction)
            look = self.policy.look(observation) if self.settings.looks == "arrival" else None
            action, report = self.policy.act(observation)
        for feature, scale in self._tell_scales().items():
            first = f"own_scale.{feature} = {scale:.3g}, from this first look; tristage calibrate measures it on more"
            self.get_logger().info(f"no scale is kept beside the checkpoint: {first}")
        self.sequence += 1
        self._answer, self._last_stamp = [], observation.stamp
        if look is not None:
            self._publish_look(look, observation, age)
        steps, time_step = self.pacing.steps(action, observation)
        chunk = chunk_message(steps, observation.stamp, BASE_FRAME, self.sequence, time_step)
        self.pacing.on_sent(chunk, self._steady())
        self._say(self._actions, chunk)
        now = self._now()
        self._finished.append(now)
        self._publish_report(
            observation, report, StepTiming(age, now - observation.stamp, self._rate(), self._frames_skipped)
        )

    def _rehearse(self) -> bool:
        """Work on the next observation as if the arm could move; return whether there was one."""
        assert self.policy is not None
        if self._rehearsal is None or self._rehearsal.over or self.sequence:
            return False
        try:
            observation = self.buffer.observation(self._now(), self._rehearsal.after)
            with self._lock:
                rehearse(self.policy, observation, self.settings.instruction)
        except (NotReadyError, ModelOutputError, ValueError):  # a step says what is wrong
            return False
        self._rehearsal.say(self._now() - observation.stamp, self._now())
        return True

    def _look_on_the_way(self) -> bool:
        """Look at a new frame while the arm moves, `rate_hz` times a second; return whether there was one.

        Nothing waits for it: it is given up when the arm arrives. It takes over no settings, and the first after a
        reset is a step: what a step says of itself then tells a replay of both.
        """
        assert self.policy is not None
        if self.settings.looks != "moving" or not self._moves() or not self.policy.steps:
            return False
        try:
            dilation = self._arms_clock.dilation
            observation = self.buffer.observation(self._now(), self._last_stamp + dilation / self.settings.rate_hz)
            if observation.stamp - self._last_stamp > dilation * self.settings.reset_after:
                return False
            return self._look(observation, unless=lambda: not self._moves())
        except (NotReadyError, ModelOutputError, ValueError):  # a step says what is wrong
            return False

    def _look(self, observation: Observation, unless: Callable[[], bool] | None = None) -> bool:
        """Look at an observation and tell what that cost; return whether it was not given up."""
        assert self.policy is not None
        age = self._now() - observation.stamp
        with self._lock:
            look = self.policy.look(observation, unless)
        if look is None:
            return False
        self._answer, self._last_stamp = [], observation.stamp
        self._publish_look(look, observation, age)
        return True

    def _moves(self) -> bool:
        """Tell whether the arm is on its way to a key frame."""
        assert self.pacing is not None
        return self.pacing.waits_for(self._steady(), self._now()) == KeyFramePacing.MOVING

    def _tell_scales(self) -> dict[str, float]:
        """Have the parameters say which scales are known of the model; return those that they did not know."""
        assert self.policy is not None
        scales = tristage_pruner(self.policy).scales
        new = {f: scale for f, scale in scales.items() if scale != self.get_parameter(OWN_SCALE + f).value}
        if new:
            self.set_parameters([RosParameter(OWN_SCALE + f, value=scale) for f, scale in new.items()])
        return new

    def _say(self, publisher: Publisher, message: object) -> None:
        self._answer.append((publisher, message))
        with sending(self, publisher.topic_name):
            publisher.publish(message)

    def _publish_report(self, observation: Observation, report: StepReport, timing: StepTiming) -> None:
        self._report = report
        self._newest = timings_message(report, observation.stamp, timing)
        self._say(self._timings, self._newest)
        self._say(self._pruning, pruning_message(report, observation.stamp))
        if self._overlays.get_subscription_count():
            keep_2d, keep_3d = (keep.cpu().numpy() for keep in (report.masks.keep_2d, report.masks.keep_3d))
            overlay = draw_overlay(observation.image, keep_2d, keep_3d, report.patch_of_point)
            with sending(self, "overlay"):
                self._overlays.publish(image_message(overlay, "rgb8", observation.stamp, observation.camera.frame_id))
        if self._kept_clouds.get_subscription_count():
            with sending(self, "kept cloud"):
                self._kept_clouds.publish(kept_cloud_message(observation, report, BASE_FRAME))

    def _publish_look(self, look: StepReport, observation: Observation, age: float) -> None:
        self._looked += 1
        self._look_ms = look.milliseconds["total"]
        timing = StepTiming(age, math.nan, self._rate(), self._frames_skipped)
        self._say(self._timings, timings_message(look, observation.stamp, timing))

    def _rate(self) -> float:
        if len(self._finished) < 2 or self._finished[-1] <= self._finished[0]:
            return 0.0
        return (len(self._finished) - 1) / (self._finished[-1] - self._finished[0])

    # Diagnostics

    def _color_part(self) -> Part:
        complaint, self._complaint = self._complaint, ""
        refused = {"refused, undecodable": self._undecodable} if self._undecodable else {}
        return self._front_color.part(self._now(), complaint, **refused)

    def _pruning_part(self) -> Part:
        return pruning_part(self._report and self._report.pruning, self.settings, self.tuning)

    def _policy_part(self) -> Part:
        policy = self.policy
        values: dict[str, object] = {"steps": self.sequence, "instruction": self.settings.instruction}
        if policy:
            values["checkpoint"] = self.settings.checkpoint or "none: RANDOM WEIGHTS"
        if self._looked:
            values |= {"looks": self._looked, "look [ms]": self._look_ms}
        part = step_part(self._newest, values, self.settings, self._arms_clock.dilation)
        if self.failure:
            return Part(ERROR, self.failure, part.values)
        if policy is None or self._thread is None:
            return Part(WARN, "not configured" if policy is None else "not active", part.values)
        if self._waiting_for and self._waiting_for not in AS_IT_SHOULD:
            return Part(WARN, self._waiting_for, part.values)
        return Part(WARN, "RANDOM WEIGHTS", part.values) if policy.random_weights and part.level == OK else part


def main() -> int:
    """Run the node until a signal ends it; return the exit code."""
    return run(PolicyNode, niceness=5)
