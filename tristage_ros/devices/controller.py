"""The arm under control: action chunks in, a guarded stream of set-points out, at a steady rate."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

import numpy as np

from tristage_ros.devices import chunks
from tristage_ros.devices.chunks import ChunkLimits
from tristage_ros.devices.execution import Execution, GripperTiming
from tristage_ros.devices.feedback import ArmFeedback
from tristage_ros.devices.guard import Guard, GuardConfig, RefusedError, Setpoint
from tristage_ros.devices.history import JointHistory
from tristage_ros.devices.piper import PiperDriver, PiperError
from tristage_ros.devices.trajectory import MotionLimits
from tristage_ros.devices.values import ActionChunk, ArmMode, ArmState, ChunkState

_LONGEST_STEP = 0.02  # s of motion that one set-point may stand for, however late it is


@dataclass(frozen=True)
class ControllerConfig:
    """Hold what the operator of an arm may choose."""

    rate: float = 100.0  # set-points per second
    speed_scale: float = 1.0  # 0..1 of the velocity limits
    enable_timeout: float = 3.0  # s for the motors to switch on
    motion: MotionLimits = field(default_factory=MotionLimits)
    gripper: GripperTiming = field(default_factory=GripperTiming)
    chunks: ChunkLimits = field(default_factory=ChunkLimits)
    guard: GuardConfig = field(default_factory=GuardConfig)

    def __post_init__(self) -> None:
        """Refuse paths that the guard would have to limit.

        Raises:
            ValueError: a value is out of range or contradicts the guard's limits.
        """
        if not 20.0 <= self.rate <= 200.0:
            raise ValueError(f"rate is 20 to 200 Hz, not {self.rate}")
        _check_scale(self.speed_scale)
        if self.motion.velocity > self.guard.max_velocity:
            raise ValueError(f"paths of {self.motion.velocity} rad/s exceed the guard's {self.guard.max_velocity}")
        if self.motion.total_acceleration > self.guard.max_acceleration:
            raise ValueError(
                f"paths and feed rate together accelerate by {self.motion.total_acceleration} rad/s^2, "
                f"more than the guard's {self.guard.max_acceleration}"
            )


@dataclass
class _Chunk:
    """Follow the newest chunk."""

    stamp: float = math.nan
    state: ChunkState = ChunkState.NONE
    reason: str = ""

    def end(self, state: ChunkState, reason: str = "") -> None:
        if self.state is ChunkState.EXECUTING:
            self.state, self.reason = state, reason


class ArmController:
    """Own one arm: its set-points, its limits, its faults.

    Starts as a monitor. `enable` switches the motors on and holds; `submit` moves; `stop` slows down along the path
    and holds, refusing chunks until `enable`; a fault holds until `clear_fault`. All methods may be called from any
    thread; only the controller's own thread sends set-points.
    """

    def __init__(self, driver: PiperDriver, config: ControllerConfig | None = None) -> None:
        """Take a connected driver, which `close` will disconnect."""
        self.config = config or ControllerConfig()
        self._driver = driver
        self._guard = Guard(self.config.guard, driver.dh_is_offset)
        self._feedback = driver.read()
        self._history = JointHistory()
        self._execution: Execution | None = None  # while the motors are ours
        self._sent: Setpoint | None = None
        self._held = ""  # why chunks are refused although the motors are on
        self._halting = False  # the present path is slowed down to be dropped, even if the stop is released meanwhile
        self._chunk = _Chunk()
        self._speed_scale = self.config.speed_scale
        self._counts = dict.fromkeys(("sent", "limited", "accepted", "refused"), 0)
        self._last_tick = math.nan
        self._last_sent = math.nan
        self._lock = threading.RLock()
        self._enabling = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arm-controller", daemon=True)

    def start(self) -> None:
        """Begin to monitor the arm; nothing is sent before `enable`."""
        self._thread.start()

    def close(self) -> None:
        """Slow down along the path, hold, then stop the thread and disconnect; the motors stay on."""
        self.stop("the controller is closing")
        patience = time.monotonic() + 2.0 / self.config.motion.feed_slope
        while self._thread.is_alive() and self._moving() and time.monotonic() < patience:
            time.sleep(1.0 / self.config.rate)
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._driver.close()

    def enable(self) -> tuple[bool, str]:
        """Switch the motors on and hold the measured position, or release a stop; return success and a reason."""
        with self._enabling:
            with self._lock:
                if self._guard.fault:
                    return False, f"fault: {self._guard.fault}; clear it first"
                if cause := self._present_cause():
                    return False, cause
                if self._execution is not None:
                    released, self._held = self._held, ""
                    return True, f"released: {released}" if released else "already enabled"
            try:
                self._driver.enable(self.config.enable_timeout)
                return self._engage(self._driver.read())
            except (PiperError, RefusedError) as error:
                return False, str(error)

    def stop(self, reason: str) -> None:
        """Slow down along the path and hold; chunks are refused until `enable`."""
        with self._lock:
            self._held, self._halting = reason, True
            self._chunk.end(ChunkState.ABORTED, reason)

    def clear_fault(self) -> tuple[bool, str]:
        """Leave the fault state if its cause is gone; return success and a reason.

        The arm goes on holding its last joint target: only `enable` lets it move again.
        """
        with self._lock:
            if not self._guard.fault:
                return True, "there is no fault"
            if cause := self._present_cause():
                return False, f"still {cause}; fault: {self._guard.fault}"
            was = self._guard.fault
            self._guard.clear()
            if self._execution is not None and self._sent is not None:
                self._begin(self._sent)
                self._held = "a fault was cleared; enable the arm to go on"
            return True, f"cleared: {was}"

    def set_speed_scale(self, scale: float) -> None:
        """Change the share of the velocity limits that may be used, 0..1; takes effect within a second.

        Raises:
            ValueError: out of range.
        """
        _check_scale(scale)
        with self._lock:
            self._speed_scale = scale

    def submit(self, chunk: ActionChunk) -> tuple[bool, str]:
        """Begin a chunk instead of the present one, without a jump; return whether it was accepted, and why not."""
        with self._lock:
            try:
                self._accept(chunk)
            except ValueError as error:
                self._counts["refused"] += 1
                self._chunk = _Chunk(float(chunk.stamp), ChunkState.REFUSED, str(error))
                return False, str(error)
            self._counts["accepted"] += 1
            self._chunk = _Chunk(chunk.stamp, ChunkState.EXECUTING)
            return True, ""

    def snapshot(self) -> ArmState:
        """Return a consistent picture of the arm now."""
        with self._lock:
            feedback, sent, now = self._feedback, self._sent, time.monotonic()
            mode, reason = self._mode()
            return ArmState(
                stamp=now,
                mode=mode,
                reason=reason,
                position=feedback.position.copy(),
                velocity=feedback.velocity.copy(),
                target=(sent.position if sent else feedback.position).copy(),
                gripper=feedback.gripper,
                gripper_target=sent.gripper if sent else feedback.gripper,
                chunk_stamp=self._chunk.stamp,
                chunk_state=self._chunk.state,
                chunk_reason=self._chunk.reason,
                feedback_age=now - feedback.stamp,
                bus_frames_per_second=feedback.frames_per_second,
                firmware=self._driver.firmware,
                speed_scale=self._speed_scale,
                setpoints_sent=self._counts["sent"],
                setpoints_limited=self._counts["limited"],
                chunks_accepted=self._counts["accepted"],
                chunks_refused=self._counts["refused"],
            )

    def limits_in_words(self) -> list[str]:
        """Put the active limits in words, for the log."""
        config, guard = self.config, self.config.guard
        space = guard.workspace
        joints = ", ".join(f"{low:.2f}..{high:.2f}" for low, high in guard.joint_limits)
        return [
            f"joints {joints} rad less {guard.position_margin} rad; kinematics of firmware {self._driver.firmware}",
            f"paths up to {config.motion.velocity} rad/s, {config.motion.acceleration} rad/s^2 at speed scale "
            f"{self._speed_scale}; guard: {guard.max_velocity} rad/s, {guard.max_acceleration} rad/s^2",
            f"set-points at {config.rate:g} Hz, at most {guard.max_lead} rad ahead of the arm",
            f"workspace {space.lower} to {space.upper} m, fingertips above {space.table_height} m",
            f"chunks: observation at most {config.chunks.max_age} s old, {config.chunks.max_distance} m per action; "
            f"feedback stale after {guard.stale_after} s, lost after {guard.lost_after} s",
        ]

    def _run(self) -> None:
        period, due = 1.0 / self.config.rate, time.monotonic()
        while not self._closing.is_set():
            try:
                self._tick(time.monotonic())
            except Exception as error:
                # the thread must outlive anything, or the arm would be without a guard
                with self._lock:
                    self._guard.latch(f"control loop: {type(error).__name__}: {error}")
            missed = math.floor((time.monotonic() - due) / period)  # left out: a burst of set-points helps nobody
            due += (1 + max(0, missed)) * period
            time.sleep(max(0.0, due - time.monotonic()))

    def _tick(self, now: float) -> None:
        with self._lock:
            self._feedback = self._driver.read()
            self._history.add(self._feedback.stamp, self._feedback.position)
            setpoint = self._next_setpoint(now)
        if setpoint is None:
            return
        try:
            self._driver.send(setpoint.position, setpoint.gripper)
        except Exception as error:
            self._sending_failed(now, error)
            return
        with self._lock:
            self._sent, self._last_sent = setpoint, now
            self._counts["sent"] += 1
            self._counts["limited"] += bool(setpoint.limited)

    def _next_setpoint(self, now: float) -> Setpoint | None:
        """Return what to send now; None while the motors are not ours."""
        execution, arm, gap = self._execution, self._feedback, now - self._last_tick
        self._last_tick = now
        if execution is None:
            return None
        if complaint := arm.complaint():
            self._guard.latch(complaint)
            if not arm.follows_targets:
                self._give_up()
                return None
        if gap > self.config.guard.command_timeout:  # the arm has come to rest at the last set-point meanwhile
            self._pause(execution)
        step = min(max(gap, 1e-4), _LONGEST_STEP)
        allowance = self._guard.allowance(now, arm.stamp, arm.position)
        self._halting = self._halting or bool(self._guard.fault)
        feed = 0.0 if self._halting else self._speed_scale * allowance
        target = execution.advance(step, feed, arm.position, arm.gripper)
        setpoint = self._guard.filter(now, step, target, execution.gripper, arm.position)
        self._settle(execution)
        return setpoint

    def _settle(self, execution: Execution) -> None:
        """Note how the present chunk ended, if it did."""
        if self._guard.fault:
            self._chunk.end(ChunkState.ABORTED, self._guard.fault)
        if self._halting and (execution.trajectory.feed <= 0.0 or not execution.busy):
            execution.trajectory.drop()
            self._halting = False
        if not execution.busy:
            self._chunk.end(ChunkState.REACHED)

    def _accept(self, chunk: ActionChunk) -> None:
        now, execution, arm = time.monotonic(), self._execution, self._feedback
        chunks.check(chunk, now, self.config.chunks)
        if self._guard.fault or self._held or execution is None:
            mode, reason = self._mode()
            raise RefusedError(f"the arm is {mode.name.lower()}: {reason}")
        observed = self._history.at(chunk.stamp)
        goals = chunks.waypoints(
            chunk, now, observed, arm.position, self.config.chunks, self.config.guard, self._driver.dh_is_offset
        )
        path = execution.trajectory.plan(goals, now, self._speed_scale)
        self._guard.check_path(path.positions())
        execution.start(path)
        self._halting = False

    def _engage(self, arm: ArmFeedback) -> tuple[bool, str]:
        with self._lock:
            if complaint := arm.complaint():
                raise RefusedError(complaint)
            self._guard.engage(arm.position, arm.gripper, arm.position)
            self._begin(Setpoint(np.clip(arm.position, *np.transpose(self.config.guard.joint_limits)), arm.gripper, ""))
            self._held, self._halting = "", False
            self._last_sent = self._last_tick = time.monotonic()
        return True, "motors on; holding the measured position"

    def _begin(self, setpoint: Setpoint) -> None:
        self._sent = setpoint
        self._execution = Execution(self.config.motion, self.config.gripper, setpoint.position, setpoint.gripper)

    def _give_up(self) -> None:
        """Stop sending: a target means nothing to an arm without power, and would be a jump once that is back."""
        self._execution, self._sent = None, None
        self._guard.release()
        self._chunk.end(ChunkState.ABORTED, self._guard.fault)

    def _sending_failed(self, now: float, error: Exception) -> None:
        with self._lock:
            if self._execution is not None:
                self._pause(self._execution)
            silent = now - self._last_sent
            if silent >= self.config.guard.command_timeout:
                self._guard.latch(f"no set-point could be sent for {silent:.2f} s: {error}")

    def _pause(self, execution: Execution) -> None:
        """Go on from standstill at the last set-point that was sent, where the arm is now heading."""
        execution.trajectory.pause()
        if self._sent is not None:
            self._guard.rest(self._sent.position)

    def _present_cause(self) -> str:
        """Return what makes a fault of an arm whose motors are on, "" when nothing does."""
        if self._silence() > self.config.guard.lost_after:
            return self._no_feedback()
        return self._feedback.complaint(motors_off=False)

    def _mode(self) -> tuple[ArmMode, str]:
        if self._guard.fault:
            return ArmMode.FAULT, self._guard.fault
        if self._silence() > self.config.guard.lost_after:
            return ArmMode.DISCONNECTED, self._no_feedback()
        if self._execution is None:
            return ArmMode.DISABLED, self._feedback.complaint() or "waiting to be enabled by an operator"
        if self._moving():
            return ArmMode.MOVING, f"slowing down {self._held}".rstrip() if self._halting else "carrying out a chunk"
        return ArmMode.HOLDING, self._held or "waiting for a chunk"

    def _moving(self) -> bool:
        return self._execution is not None and self._execution.busy

    def _silence(self) -> float:
        return time.monotonic() - self._feedback.stamp

    def _no_feedback(self) -> str:
        return f"no joint feedback for {self._silence():.2f} s {self._driver.bus_error}".rstrip()


def _check_scale(scale: float) -> None:
    if not 0.0 < scale <= 1.0:
        raise ValueError(f"speed_scale is above 0 and at most 1, not {scale}")
