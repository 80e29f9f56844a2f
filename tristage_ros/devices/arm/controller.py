"""The arm under control: commands in, a guarded stream of set-points out, at a steady rate."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from tristage_ros.devices.arm import flash, traffic
from tristage_ros.devices.arm.black_box import BusRecord, LoopRecord
from tristage_ros.devices.arm.clock import ArmClock
from tristage_ros.devices.arm.config import ControllerConfig, check_scale
from tristage_ros.devices.arm.following import Following
from tristage_ros.devices.arm.guard import RefusedError
from tristage_ros.devices.arm.joint_path import JointPath
from tristage_ros.devices.arm.leader import PiperLeader
from tristage_ros.devices.arm.motion import OWNERS, Motion
from tristage_ros.devices.arm.piper import PiperDriver, PiperError
from tristage_ros.devices.arm.smoothness import SmoothnessWindow
from tristage_ros.devices.arm.values import LEADING, LET_GO, ActionChunk, ArmMode, ArmState, CommandSource, Led

_QUIET = 1.0  # s in which nobody else may have commanded the arm before it is enabled
__all__ = ["ArmController", "ControllerConfig"]


class ArmController:
    """Own one arm: its set-points, its limits, its faults.

    Starts as a monitor, or as a dry run that works everything out and sends nothing. `enable` switches the motors on
    and holds. The command source that owns the arm moves it (`submit` chunks, `follow` joint paths); a person always
    may (`move_home`). `stop` slows down along the path and holds, refusing both sources until `enable`; a fault holds
    until `clear_fault`. All methods may be called from any thread; only the controller's own thread sends set-points.
    """

    def __init__(
        self, driver: PiperDriver, config: ControllerConfig | None = None, leader: PiperLeader | None = None
    ) -> None:
        """Take a connected driver, and perhaps a leader that listens; `close` will disconnect both."""
        self.config = config or ControllerConfig()
        self._driver, self._leader, self._clock = driver, leader, driver.clock
        self._led: Led | None = None  # the newest of the leader's that was taken
        self._motion = Motion(self.config, driver.dh_is_offset, driver.read())
        self._counts = dict.fromkeys(("sent", "limited", "accepted", "refused"), 0)
        self._last_sent = math.nan
        self.record = LoopRecord()
        self._sent, self._measured = SmoothnessWindow(), SmoothnessWindow()
        self._lock = threading.RLock()
        self._planning = threading.Lock()
        self._enabling = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arm-controller", daemon=True)

    @property
    def dh_is_offset(self) -> bool:
        """Tell which zero J2 and J3 have; see `kinematics.dh_is_offset`."""
        return self._driver.dh_is_offset

    @property
    def clock(self) -> ArmClock:
        """Return what all stamps and times here are seconds of; a leader's are of the monotonic clock."""
        return self._clock

    @property
    def frames(self) -> BusRecord:
        """Return the frames of the last minute on the arm's bus."""
        return self._driver.frames

    def start(self) -> None:
        """Begin to monitor the arm; nothing is sent before `enable`."""
        self._thread.start()

    def close(self) -> None:
        """Slow down along the path, hold, then stop the thread and disconnect; the motors stay on."""
        self.stop("the controller is closing")
        patience = self._clock.now() + 2.0 / self.config.motion.feed_slope
        while self._thread.is_alive() and self._motion.moving and self._clock.now() < patience:
            time.sleep(1.0 / self.config.rate)
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._driver.close()
        if self._leader:
            self._leader.close()

    def enable(self) -> tuple[bool, str]:
        """Switch the motors on and hold the measured position, or release a stop; return success and a reason.

        Commands of somebody else that were heard refuse it, and so do limits in the arm's flash that are none; who only
        has the channel open, another arm on the bus and limits that are narrower are named.
        """
        done, words = self._enable()
        return done, "; ".join([words, *(self._remarks() if done else ())])

    def _remarks(self) -> list[str]:
        """Return what a person should know who has enabled the arm."""
        narrower = flash.unusual(self._driver.limits)
        remarks = (
            self._driver.listeners(),
            traffic.beside(self._driver.traffic.rates),
            f"limits in flash are narrower than the manufacturer's: {narrower}" if narrower else "",
        )
        return [remark for remark in remarks if remark]

    def _unfit(self) -> str:
        """Return what of the arm's own settings forbids to enable it, by what is known of them, "" if nothing."""
        if impostor := self._driver.impostor():
            return impostor
        if self._motion.feedback.control_mode == LEADING:
            return f"the arm is in the role of a leader; {traffic.MAKE_FOLLOWER}"
        if wrong := flash.corrupt(self._driver.limits):
            return f"limits in the arm's flash are wrong: {wrong}; {flash.RESTORE}"
        return ""

    def _enable(self) -> tuple[bool, str]:
        motion = self._motion
        with self._enabling:
            with self._lock:
                if motion.guard.fault:
                    return False, f"fault: {motion.guard.fault}; once that is over: /arm/clear_fault, then /arm/enable"
                if cause := self._unfit() or self._present_cause():
                    return False, cause
                if motion.execution is not None and not motion.dry:
                    released, motion.held = motion.held, ""
                    return True, f"released: {released}" if released else "already enabled"
                if other := self._driver.other_master(self._clock.now() - _QUIET):
                    return False, other
                arm = motion.feedback
                try:  # all that is asked once the motors are on is asked before, too
                    motion.guard.check_start(arm.position, arm.gripper, arm.position)
                except RefusedError as error:
                    return False, f"{error}; the motors stay off"
                was_dry, motion.dry = motion.dry, False
                released, motion.held = motion.held, ""  # a stop from here on counts
                motion.release("the dry run ended")
            on, asked = False, self._clock.now()
            try:
                self._driver.set_speed(motion.percent)
                self._driver.enable(self.config.enable_timeout)
                on = True
                if other := self._driver.other_master(asked):
                    raise PiperError(other)
                with self._lock:
                    motion.take(self._driver.read())
                    motion.engage(self._clock.now())
                    self._last_sent = self._clock.now()
            except (PiperError, RefusedError) as error:
                with self._lock:
                    motion.dry, motion.held = was_dry, motion.held or released
                return False, f"{error}; the motors are on, and the arm holds by itself" if on else str(error)
            if motion.held:
                return True, f"motors on; stopped meanwhile: {motion.held}"
            return True, "motors on; holding the measured position"

    def stop(self, reason: str) -> None:
        """Slow down along the path and hold; commands are refused until `enable`."""
        with self._lock:
            self._motion.held = reason
            self._motion.hold(reason)

    def hold(self, reason: str) -> None:
        """Slow down and end the present path, as when its source cannot be trusted; the next command may go on."""
        with self._lock:
            self._motion.hold(reason)

    def clear_fault(self) -> tuple[bool, str]:
        """Leave the fault state if its cause is gone; return success and a reason.

        The arm goes on holding its last joint target: only `enable` lets it move again.
        """
        with self._lock:
            was = self._motion.guard.fault
            if not was:
                return True, "there is no fault"
            if cause := self._present_cause():
                return False, f"still {cause}; fault: {was}"
            self._motion.restart()
            self._last_sent = self._clock.now()  # a sending that fails from now on is a new fault
            return True, f"cleared: {was}"

    def set_speed_scale(self, scale: float) -> None:
        """Change the share of the velocity limits that may be used, 0..1; takes effect within a second.

        Raises:
            ValueError: out of range.
        """
        check_scale(scale)
        with self._lock:
            self._motion.set_speed_scale(scale)

    def set_source(self, source: CommandSource) -> None:
        """Give the arm to another command source; the present path is slowed down and dropped."""
        with self._lock:
            if source is not self._motion.source:
                self._motion.give_to(source)
                self._motion.hold("")

    def policy_heard(self, stamp: float) -> None:
        """Take a stamp of the arm's, s of its clock, that the policy has repeated."""
        with self._lock:
            self._motion.link.heard(stamp, self._clock.now())

    def submit(self, chunk: ActionChunk, objection: str = "") -> tuple[bool, str]:
        """Begin a chunk instead of the present path, without a jump; return whether it was accepted, and why not.

        `objection`: why no chunk may be trusted now; then the arm slows down and holds. The lock is not held while a
        path is planned: neither set-points nor a stop wait for that.
        """
        motion = self._motion
        with self._planning:
            try:
                with self._lock:
                    job = motion.open_chunk(chunk, self._clock.now(), objection)
                path = motion.plan(job)
                with self._lock:
                    motion.begin_chunk(chunk, path, self._clock.now())
            except ValueError as error:
                with self._lock:
                    motion.refuse(chunk, str(error))
                    self._counts["refused"] += 1
                return False, str(error)
            with self._lock:
                self._counts["accepted"] += 1
            return True, ""

    def follow(self, path: JointPath) -> tuple[bool, str]:
        """Begin a joint path instead of the present path, without a jump; return success and a reason."""
        try:
            return True, f"{self.begin(path).points} points to go"
        except ValueError as error:
            return False, str(error)

    def begin(self, path: JointPath) -> Following:
        """Begin a joint path as `follow` does, and return its progress, which goes on by itself.

        Raises:
            LateError: it was to begin too long ago.
            ValueError: it cannot be begun for another reason, which the words say.
        """
        motion = self._motion
        with self._planning:
            with self._lock:
                job = motion.open_path(path, self._clock.now())
            planned = motion.plan(job)
            with self._lock:
                return motion.begin_path(path, planned, self._clock.now())

    def objection(self, source: CommandSource) -> str:
        """Return why nothing that `source` commands would be begun now, "" when it may be."""
        with self._lock:
            return self._motion.objection(source, self._clock.now())

    def give_up(self, following: Following, reason: str) -> None:
        """Slow down and hold, if the arm is still on that joint path."""
        with self._lock:
            if following is self._motion.following and following.ended is None:
                self._motion.hold(reason)

    def move_home(self) -> tuple[bool, str]:
        """Take the arm from whatever moves it and go to the home position; return success and a reason.

        After a stop only once the arm was enabled again. The arm belongs to the operator from then on.
        """
        with self._lock:
            try:
                self._motion.go_home(self._clock.now())
            except ValueError as error:
                return False, str(error)
            return True, "going home; set command_source to give the arm back"

    def back_off(self) -> tuple[bool, str]:
        """Go back, slowly, along the way that led into a fault, at a person's call; return success and a reason."""
        with self._lock:
            try:
                self._motion.back_off()
            except ValueError as error:
                return False, str(error)
            return True, "going back along the way that led here; /arm/stop ends it"

    @property
    def source(self) -> CommandSource:
        """Return who may move the arm."""
        return self._motion.source

    def hear(self, source: CommandSource, led: Led) -> None:
        """Take what a leader asks for, if that is the command source."""
        with self._lock:
            motion = self._motion
            if source is motion.source:
                motion.leading.hear(self._by_arms_clock(led))

    def object_to(self, source: CommandSource, reason: str) -> None:
        """Let a leader, if that is the command source, lead nothing until something else is heard of it."""
        with self._lock:
            if source is self._motion.source:
                self._motion.leading.object(reason)

    def engage_leader(self) -> tuple[bool, str]:
        """Let the leader lead the arm from now on, if it is near enough; return success and a reason."""
        with self._lock:
            try:
                self._motion.engage_leader(self._clock.now())
            except ValueError as error:
                return False, str(error)
            return True, f"the arm belongs to {OWNERS[self._motion.source]}: it catches up, and follows"

    def disengage_leader(self) -> tuple[bool, str]:
        """Slow down and hold, if a leader leads the arm; return success and a reason."""
        with self._lock:
            if not self._motion.leading.engaged:
                return True, "nothing leads the arm"
            self._motion.hold(LET_GO)
            return True, "slowing down; the arm holds"

    def complaint(self) -> str:
        """Return what the arm itself reports and only a reset may end, "" when it reports nothing."""
        with self._lock:
            return self._motion.feedback.complaint(motors_off=False)

    def at_rest(self, action: Callable[[PiperDriver], None], reset: bool = False) -> tuple[bool, str]:
        """Do with the driver what a person asked for, while no set-points are sent; return success and a reason.

        `reset`: stop sending for good first, since the motors will lose their power.
        """
        motion = self._motion
        with self._enabling:
            with self._lock:
                if reset and not motion.dry:
                    motion.guard.latch("reset by an operator")
                    motion.release(motion.guard.fault)
                if motion.execution is not None and not motion.dry:
                    return False, "the motors are on; this can be done before the arm is enabled only"
            try:
                action(self._driver)
            except PiperError as error:
                return False, str(error)
        return True, ""

    def snapshot(self) -> ArmState:
        """Return a consistent picture of the arm now."""
        lately = [window.over(self._clock.now()) for window in (self._sent, self._measured)]
        with self._lock:
            motion, now = self._motion, self._clock.now()
            feedback, sent = motion.feedback, motion.sent
            mode, reason = self._mode()
            return ArmState(
                stamp=now,
                mode=mode,
                reason=f"dry run, nothing is sent: {reason}" if motion.dry and motion.execution else reason,
                dry_run=motion.dry,
                source=motion.source,
                position=feedback.position.copy(),
                velocity=feedback.velocity.copy(),
                target=(sent.position if sent else feedback.position).copy(),
                gripper=feedback.gripper,
                gripper_target=sent.gripper if sent else feedback.gripper,
                chunk_stamp=motion.chunk.stamp,
                chunk_state=motion.chunk.state,
                chunk_reason=motion.chunk.reason,
                feedback_age=now - feedback.stamp,
                feedback=feedback,
                firmware=self._driver.firmware,
                speed_scale=motion.speed_scale,
                target_smoothness=lately[0],
                measured_smoothness=lately[1],
                setpoints_sent=self._counts["sent"],
                setpoints_limited=self._counts["limited"],
                chunks_accepted=self._counts["accepted"],
                chunks_refused=self._counts["refused"],
                lead=motion.lead_status(now),
                dilation=self._clock.dilation,
            )

    def limits_in_words(self) -> list[str]:
        """Put the active limits in words, for the log."""
        return self.config.in_words(self._driver.firmware, self._motion.speed_scale)

    def _run(self) -> None:
        period, due = 1.0 / self.config.rate, time.monotonic()
        while not self._closing.is_set():
            try:
                self._tick(self._clock.now())
            except Exception as error:
                # the thread must outlive anything, or the arm would be without a guard
                with self._lock:
                    self._motion.guard.latch(f"control loop: {type(error).__name__}: {error}")
            with suppress(Exception):  # a record is no reason for anything
                self._note()
            missed = math.floor((time.monotonic() - due) / period)  # left out: a burst of set-points helps nobody
            due += (1 + max(0, missed)) * period
            time.sleep(max(0.0, due - time.monotonic()))

    def _tick(self, now: float) -> None:
        motion = self._motion
        with self._lock:
            motion.take(self._driver.read())
            self._measured.add(motion.feedback.stamp, motion.feedback.position)
            self._watch_others()
            self._listen_to_leader()
            setpoint = motion.next_setpoint(now)
            if setpoint is None:
                return
            if motion.dry:
                motion.sent = setpoint
                self._sent.add(now, setpoint.position)
                return
        try:
            if (stood := self._clock.now() - now) > self.config.guard.command_timeout:
                raise TimeoutError(f"this computer stood still for {stood:.2f} s")  # as old as that is the set-point
            self._driver.set_speed(motion.percent)
            self._driver.send(setpoint.position, setpoint.gripper)
        except Exception as error:
            self._sending_failed(now, error)
            return
        with self._lock:
            self._last_sent = now
            motion.sent = setpoint if motion.execution else None  # a reset may have come in between
            self._sent.add(now, setpoint.position)
            self._counts["sent"] += 1
            self._counts["limited"] += bool(setpoint.limited)

    def _note(self) -> None:
        """Keep this tick in the record."""
        with self._lock:
            motion = self._motion
            arm = replace(motion.feedback, stamp=self._clock.monotonic(motion.feedback.stamp))  # as the frames' stamps
            self.record.tick(self._mode()[0], motion.sent, arm, self._counts["sent"], motion.guard.fault)

    def _watch_others(self) -> None:
        """Fall silent as soon as somebody else commands the arm: never fight, never pull it back."""
        motion = self._motion
        if motion.dry or motion.execution is None:
            return
        if other := self._driver.other_master(motion.obedience.asked_at):
            motion.guard.latch(other)
            motion.release(other)

    def _listen_to_leader(self) -> None:
        """Take what a second arm asks for."""
        motion, leader = self._motion, self._leader
        if motion.source is not CommandSource.LEADER:
            return
        if leader is None:
            motion.leading.object("no second arm is known: leader_can names its adapter, when the arm node is started")
        elif complaint := leader.complaint():
            motion.leading.object(complaint)
        elif (led := leader.newest()) is not None and led is not self._led:
            self._led = led
            motion.leading.hear(self._by_arms_clock(led))

    def _by_arms_clock(self, led: Led) -> Led:
        return replace(led, stamp=self._clock.at(led.stamp))

    def _sending_failed(self, now: float, error: Exception) -> None:
        with self._lock:
            self._motion.pause()
            silent, limits = now - self._last_sent, self.config.guard
            if silent >= limits.command_timeout:
                self._motion.guard.latch(f"no set-point could be sent for {silent:.2f} s: {error}")

    def _present_cause(self) -> str:
        """Return what makes a fault of an arm whose motors are on, "" when nothing does."""
        if self._silence() > self.config.guard.lost_after:
            return self._no_feedback()
        return self._motion.feedback.complaint(motors_off=False) or self._motion.link_complaint(self._clock.now())

    def _mode(self) -> tuple[ArmMode, str]:
        motion = self._motion
        if motion.guard.fault:
            return ArmMode.FAULT, motion.guard.fault
        if self._silence() > self.config.guard.lost_after:
            return ArmMode.DISCONNECTED, self._no_feedback()
        if motion.execution is None:
            return ArmMode.DISABLED, motion.feedback.complaint() or "waiting to be enabled by an operator"
        if motion.moving:
            return (
                ArmMode.MOVING,
                f"slowing down {motion.held}".rstrip() if motion.halting else "on its way",
            )
        return ArmMode.HOLDING, motion.held or f"waiting for {OWNERS[motion.source]}"

    def _silence(self) -> float:
        return self._clock.now() - self._motion.feedback.stamp

    def _no_feedback(self) -> str:
        role = self._driver.traffic.role()
        why = f": {role}; {traffic.MAKE_FOLLOWER}" if role else f" {self._driver.bus_error}".rstrip()
        return f"no joint feedback for {self._silence():.2f} s{why}"
