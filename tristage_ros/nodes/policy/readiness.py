"""What a control step waits for: that the arm, the beat or a frame lets it begin.

The pacing says when the policy may infer: when the arm has reached the last key frame, at a rate, or on every frame. It
also says what is sent, key frames or steps towards them. `observing.buffer` puts together what it infers on.
"""

from __future__ import annotations

import math
from typing import Protocol

from tristage_msgs.msg import ActionChunk, ArmStatus

from tristage_ros.devices.arm.kinematics import GRIPPER_RANGE
from tristage_ros.mla.approach import Pace, paced
from tristage_ros.mla.values import Action, Observation
from tristage_ros.ros.convert import seconds

FINISHED = (ArmStatus.CHUNK_REACHED, ArmStatus.CHUNK_REFUSED, ArmStatus.CHUNK_ABORTED)
ABLE = (ArmStatus.HOLDING, ArmStatus.MOVING)


class Pacing(Protocol):
    """Decide when the next control step may begin."""

    newer_than: float  # s, ROS time: observations made before this are of no use

    def waits_for(self, monotonic: float, now: float) -> str:
        """Return what the next step waits for, empty when it may begin (`monotonic`: s; `now`: s, ROS time)."""

    def wanted_since(self, monotonic: float, now: float) -> float:
        """Return since when a step is wanted (s, ROS time), once nothing is waited for."""

    def steps(self, action: Action, observation: Observation) -> tuple[Action, float]:
        """Return what the arm is to do about the model's `action`, and the s between its parts, 0 for key frames."""

    def set_rate(self, rate: float) -> None:
        """Keep another rate, Hz, from now on."""

    def on_sent(self, chunk: ActionChunk, monotonic: float) -> None:
        """Take note of a chunk that was published."""

    def on_arm_status(self, status: ArmStatus, monotonic: float) -> None:
        """Take note of what the arm says."""


class KeyFramePacing:
    """Infer when the arm has reached, refused or aborted the last chunk, on a frame made after that."""

    MOVING = "the arm is moving to the last action"
    SILENT_AFTER = 1.0  # s without an arm status
    LOST_AFTER = 1.0  # s after which a chunk that the arm never mentions is taken for lost

    def __init__(self) -> None:
        """Wait for the first arm status."""
        self.newer_than = 0.0
        self._sent: ActionChunk | None = None
        self._sent_at = 0.0
        self._status: ArmStatus | None = None
        self._status_at = 0.0

    def set_rate(self, rate: float) -> None:
        """Ignore the rate: the arm sets the pace."""

    def on_sent(self, chunk: ActionChunk, monotonic: float) -> None:
        """Wait from now on until the arm is done with `chunk`."""
        self._sent, self._sent_at = chunk, monotonic

    def on_arm_status(self, status: ArmStatus, monotonic: float) -> None:
        """Take note of what the arm says; a finished chunk asks for an observation made after now."""
        self._status, self._status_at = status, monotonic
        sent = self._sent
        if sent is not None and status.chunk_stamp == sent.header.stamp and status.chunk_state in FINISHED:
            self._sent = None
            self.newer_than = seconds(status.header.stamp)

    def waits_for(self, monotonic: float, now: float) -> str:
        """Return what the next step waits for, empty when it may begin."""
        status, sent = self._status, self._sent
        if status is None or monotonic - self._status_at > self.SILENT_AFTER:
            return "no status from the arm"
        if status.mode not in ABLE:
            return f"the arm is not able to move: {status.reason}"
        if sent is None:
            return ""
        if status.chunk_stamp != sent.header.stamp and monotonic - self._sent_at > self.LOST_AFTER:
            self._sent = None
            return ""
        return self.MOVING

    def wanted_since(self, monotonic: float, now: float) -> float:
        """Return since when a step is wanted: nobody waited while the arm was moving."""
        return now

    def steps(self, action: Action, observation: Observation) -> tuple[Action, float]:
        """Return the action: its key frames are for the arm to reach."""
        return action, 0.0


class RatePacing:
    """Infer at a fixed rate, whatever the arm does, and go towards each key frame until the next one is known."""

    PERIOD = "waiting for the next control period"

    def __init__(self, rate: float, pace: Pace | None) -> None:
        """Take the rate in Hz, and the pace; None: the model says steps of 1 / rate itself."""
        self._period, self._pace, self._gripper = 1.0 / rate, pace, math.nan
        self.newer_than = 0.0
        self._due = self._wanted = -math.inf  # s, monotonic clock: when the next step may begin, and should have begun

    def set_rate(self, rate: float) -> None:
        """Keep another rate, Hz; the step that is waited for comes that much sooner or later."""
        before, self._period = self._period, 1.0 / rate
        self._due += self._period - before
        self._wanted += self._period - before

    def on_sent(self, chunk: ActionChunk, monotonic: float) -> None:
        """Keep the beat; what was missed is skipped."""
        self._wanted = self._due + self._period
        self._due = max(self._wanted, monotonic)

    def on_arm_status(self, status: ArmStatus, monotonic: float) -> None:
        """Remember what the gripper was last asked for: what it holds, it is to hold on to."""
        if math.isfinite(status.gripper_target):
            self._gripper = min(1.0, max(0.0, status.gripper_target / GRIPPER_RANGE[1]))

    def steps(self, action: Action, observation: Observation) -> tuple[Action, float]:
        """Return the first steps on the way to the model's key frame; several actions at once are steps already."""
        if self._pace is None or len(action.gripper) > 1:
            return action, self._period
        gripper = float(observation.state[6]) if math.isnan(self._gripper) else self._gripper
        return paced(action, observation.state[3:6], gripper, self._pace), self._pace.time_step

    def waits_for(self, monotonic: float, now: float) -> str:
        """Return what the next step waits for, empty when it may begin."""
        return self.PERIOD if monotonic < self._due else ""

    def wanted_since(self, monotonic: float, now: float) -> float:
        """Return since when a step is wanted: it may have been due while the one before was still computed."""
        return now - (monotonic - self._wanted) if math.isfinite(self._wanted) else now


class FramePacing:
    """Infer on every frame, as soon as the one before is done: whoever sends them sets the pace."""

    def __init__(self, like: Pacing) -> None:
        """Wait for nothing, and send what `like` would."""
        self.newer_than, self._like = 0.0, like

    def steps(self, action: Action, observation: Observation) -> tuple[Action, float]:
        """Return key frames or the first steps towards them."""
        return self._like.steps(action, observation)

    def set_rate(self, rate: float) -> None:
        """Send at this rate, where what is sent depends on it."""
        self._like.set_rate(rate)

    def on_sent(self, chunk: ActionChunk, monotonic: float) -> None:
        """Ignore what was sent."""

    def on_arm_status(self, status: ArmStatus, monotonic: float) -> None:
        """Take note of what the arm says."""
        self._like.on_arm_status(status, monotonic)

    def waits_for(self, monotonic: float, now: float) -> str:
        """Return an empty text: a step may always begin."""
        return ""

    def wanted_since(self, monotonic: float, now: float) -> float:
        """Return since when a step is wanted: now, so that no frame counts as missed."""
        return now


def pacing_of(control: str, frame_sends: str, rate: float, pace: Pace | None) -> Pacing:
    """Return the pacing that the policy's parameters ask for."""
    sends = frame_sends if control == "frame" else control
    pacing: Pacing = RatePacing(rate, pace) if sends == "rate" else KeyFramePacing()
    return FramePacing(pacing) if control == "frame" else pacing
