"""What the arm is asked for next: paths from the source that owns it, gaps, stops and the guard. No thread, no bus."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm import chunks, joint_path
from tristage_ros.devices.arm.config import ControllerConfig
from tristage_ros.devices.arm.contact import Contact, Sample
from tristage_ros.devices.arm.following import Ended, Following, Tracked
from tristage_ros.devices.arm.freshness import Freshness, JointHistory, Link
from tristage_ros.devices.arm.guard import Guard, RefusedError, Setpoint
from tristage_ros.devices.arm.joint_path import JointPath
from tristage_ros.devices.arm.kinematics import JOINT_MAX_VELOCITY
from tristage_ros.devices.arm.leading import Leading
from tristage_ros.devices.arm.obedience import Obedience
from tristage_ros.devices.arm.relief import LettingGo
from tristage_ros.devices.arm.trajectory import Execution, Path, Trajectory, Waypoint
from tristage_ros.devices.arm.values import ActionChunk, ArmFeedback, ChunkState, CommandSource, LeadStatus

_FASTEST = 2 * JOINT_MAX_VELOCITY  # rad/s; what turns faster from one feedback to the next is no joint
_NOISE = 0.02  # rad
_LONGEST_STEP = 0.02  # s of motion that one set-point may stand for, however late it is
_FINGERS_STAND = 1e-3  # m that fingers at rest may move in a tenth of a second
_SHARE_FALLS = 0.5  # 1/s, of the share of full speed that the lead follows from
_FIRMWARE_MARGIN = 1.5  # of our own speed that the firmware may go at
OWNERS = {
    CommandSource.POLICY: "the policy",
    CommandSource.TRAJECTORY: "joint trajectories",
    CommandSource.OPERATOR: "an operator",
    CommandSource.LEADER: "a second arm that leads it",
    CommandSource.JOINTS: "joint states that lead it",
    CommandSource.TWIST: "tool velocities that lead it",
}


@dataclass
class ChunkProgress:
    """Follow the newest chunk."""

    stamp: float = math.nan  # s, monotonic clock
    state: ChunkState = ChunkState.NONE
    reason: str = ""

    def end(self, state: ChunkState, reason: str = "") -> None:
        """Note how it ended, if it was being carried out."""
        if self.state is ChunkState.EXECUTING:
            self.state, self.reason = state, reason


@dataclass(frozen=True)
class Job:
    """Hold what is to be planned, and the state from which: a copy, which nobody changes."""

    goals: Callable[[], list[Waypoint]]
    now: float  # s, monotonic clock
    trajectory: Trajectory
    speed_scale: float


class Motion:
    """Turn what one command source asks for into guarded set-points.

    Not engaged, it gives none. As a dry run it engages itself and works out what an arm that follows would be sent.
    Times are s on the monotonic clock.
    """

    def __init__(self, config: ControllerConfig, dh_is_offset: bool, feedback: ArmFeedback) -> None:
        """Begin released, or as the dry run that `config` asks for."""
        self.config = config
        self.guard = Guard(config.guard, dh_is_offset)
        self.feedback = feedback
        self.execution: Execution | None = None  # while engaged
        self.sent: Setpoint | None = None
        self.held = ""  # why chunks and trajectories are refused although engaged
        self.halting = False  # the present path is slowed down to be dropped, even if a stop is released meanwhile
        self.chunk = ChunkProgress()
        self.following: Following | None = None  # the newest joint path
        self.source = CommandSource.POLICY
        self.leading = Leading(config.motion, config.guard, dh_is_offset)
        self.link = Link(config.link_timeout)
        self.dry = config.dry_run
        self.speed_scale = self.guard.speed_scale = config.speed_scale
        self._dh_is_offset = dh_is_offset
        self._history = JointHistory()
        self._fingers: deque[tuple[float, float]] = deque()  # stamp and opening, m, of the last tenth of a second
        self._freshness = Freshness()
        self._expires = math.inf  # s, monotonic clock, when the present path has to be over
        self._interrupted = False  # by a gap that has not ended, or not been dealt with
        self._last_tick = math.nan
        self._contact = Contact(dh_is_offset)
        self.obedience = Obedience()
        self._letting_go = LettingGo(self.guard, self._contact)

    @property
    def percent(self) -> int:
        """Return the share of its speed, 1..100 %, that the firmware is to stay within: a margin above our own."""
        feed = self.execution.trajectory.feed if self.execution else 0.0
        share = max(self.speed_scale, feed) * self.config.motion.velocity / JOINT_MAX_VELOCITY
        return min(100, max(1, math.ceil(100 * _FIRMWARE_MARGIN * share)))

    @property
    def moving(self) -> bool:
        """Tell whether the set-points move: along a path, behind a leader, or to rest after one."""
        return self.execution is not None and (self.execution.busy or self.execution.coasting)

    def link_complaint(self, now: float) -> str:
        """Return why the policy, if the arm is its, can no longer be trusted to know the arm; "" while it can."""
        return self.link.complaint(now) if self.source is CommandSource.POLICY else ""

    def take(self, feedback: ArmFeedback) -> None:
        """Take the newest feedback of an arm, but not a jump that no joint can make: then what there is grows old.

        A jump that stays is taken for true in the end, and is a fault: its zero was set, or an encoder has failed.
        """
        if self.execution is not None and self.sent is not None and not self.dry:
            was, since = self.feedback.position, feedback.stamp - self.feedback.stamp
            if np.abs(feedback.position - was).max() > _FASTEST * since + _NOISE:
                return
            way = np.minimum(was, self.sent.position), np.maximum(was, self.sent.position)
            beside = np.abs(feedback.position - np.clip(feedback.position, *way))
            if beside.max() > self.config.guard.max_lead:
                joint = int(beside.argmax())
                change = feedback.position[joint] - was[joint]
                self.guard.latch(f"joint {joint + 1} is {change:.2f} rad from where it was {since:.2f} s before")
                self.guard.mistrusts = True
        self.feedback = feedback
        self.guard.period = feedback.groups.get("joint positions", (0.0, 0.0, 0))[1]
        if not self._fingers or feedback.stamp > self._fingers[-1][0]:
            self._fingers.append((feedback.stamp, feedback.gripper))
            while self._fingers[0][0] < feedback.stamp - 0.1:
                self._fingers.popleft()
        self._history.add(feedback.stamp, feedback.position)

    def engage(self, now: float) -> None:
        """Begin to give set-points, at the measured position.

        Raises:
            RefusedError: the arm does not follow, or the guard does not start there; the reason says why.
        """
        if complaint := self.feedback.complaint():
            raise RefusedError(complaint)
        self._contact.forget()
        self._letting_go.begin_trail()
        self._engage_at_measured()
        self.obedience.begin(now)
        self.link.begin(now)
        self.halting = self._interrupted = False
        self._last_tick = now

    def release(self, reason: str) -> None:
        """Give no more set-points: a target means nothing to an arm without power, and would be a jump with it."""
        self.execution, self.sent = None, None
        self.guard.release()
        self._abort(reason)

    def restart(self) -> None:
        """Begin anew at the last set-point, after a fault was cleared; only an operator lets it move again."""
        self.guard.clear()
        self._letting_go.forget()
        if self.execution is not None and self.sent is not None:
            self.execution = self._execution_at(self.sent.position, self.sent.gripper)
            self.held = "a fault was cleared; enable the arm to go on"
            self._letting_go.ease(self.sent.position, self._newest())

    def hold(self, reason: str) -> None:
        """Slow down and end the present path, with the gripper where it is; the next command may go on."""
        self.halting = True
        self._letting_go.stay()
        if self.execution is not None and self._gripper_moves():
            self.execution.gripper = self.feedback.gripper
        self._abort(reason)

    def _abort(self, reason: str) -> None:
        """Note that what was under way, a chunk, a joint path or a leader's lead, will not be finished."""
        self.chunk.end(ChunkState.ABORTED, reason)
        self.leading.disengage(reason)
        if self.following:
            self.following.end(Ended.ABORTED, reason)

    def _gripper_moves(self) -> bool:
        """Tell whether the fingers are on their way; those that hold something stand."""
        return bool(self._fingers) and abs(self.feedback.gripper - self._fingers[0][1]) > _FINGERS_STAND

    def pause(self) -> None:
        """Go on from standstill at the last set-point that was sent, where the arm is now heading."""
        if self.execution is not None:
            self.execution.trajectory.pause()
        if self.sent is not None:
            self.guard.rest(self.sent.position)

    def set_speed_scale(self, scale: float) -> None:
        """Change the share, 0..1, of the velocity limits that may be used."""
        self.speed_scale = self.guard.speed_scale = scale

    def give_to(self, source: CommandSource) -> None:
        """Let another source command the arm; what was under way has ended."""
        self.source = source
        self._abort(f"the arm was given to {OWNERS[source]}")
        self.leading.forget()

    def lead_status(self, now: float) -> LeadStatus:
        """Return how far a leader leads the arm."""
        position = self.sent.position if self.execution is not None and self.sent else self.feedback.position
        return self.leading.status(now, position) if self.source.leads else LeadStatus()

    def engage_leader(self, now: float) -> None:
        """Let the leader that owns the arm lead it from now on.

        Raises:
            RefusedError: nothing leads, or the arm or the leader is not ready; the reason says why.
        """
        if not self.source.leads:
            raise RefusedError(f"the arm belongs to {OWNERS[self.source]}; command_source gives it to one that leads")
        execution = self._ready(now)
        if self.moving:
            raise RefusedError("the arm has not come to rest yet: ask again in a moment")
        self.leading.engage(now, execution.trajectory.position)
        self._letting_go.forget()
        self.halting, self._expires = False, math.inf

    def open_chunk(self, chunk: ActionChunk, now: float, objection: str = "") -> Job:
        """Begin to plan a chunk, or end the present path because of an `objection` to its source.

        Raises:
            RefusedError, ValueError: nothing has changed; the reason says why.
        """
        if objection:
            if self.source is CommandSource.POLICY:
                self.hold(objection)
            raise RefusedError(objection)
        chunks.check(chunk, now, self.config.chunks)
        self._require(CommandSource.POLICY)
        execution, arm = self._ready(now), self.feedback
        self._freshness.check(chunk.stamp)
        observed = self._history.at(chunk.stamp)
        limits, guard = self.config.chunks, self.config.guard
        return Job(
            lambda: chunks.waypoints(chunk, now, observed, arm.position, limits, guard, self._dh_is_offset),
            now,
            copy(execution.trajectory),
            self.speed_scale,
        )

    def begin_chunk(self, chunk: ActionChunk, path: Path, now: float) -> None:
        """Begin a chunk, whose path was planned a moment ago, instead of the present path, without a jump.

        Raises:
            RefusedError, ValueError: nothing has changed; the reason says why.
        """
        self._require(CommandSource.POLICY)
        self._freshness.check(chunk.stamp)
        self._go(self._ready(now), path, now, chunks.horizon(chunk, now, self.config.chunks))
        self._freshness.accept(chunk.stamp)
        self.chunk = ChunkProgress(chunk.stamp, ChunkState.EXECUTING)

    def refuse(self, chunk: ActionChunk, reason: str) -> None:
        """Note that a chunk was refused."""
        self.chunk = ChunkProgress(float(chunk.stamp), ChunkState.REFUSED, reason)

    def open_path(self, path: JointPath, now: float) -> Job:
        """Begin to plan a joint path.

        Raises:
            RefusedError: it cannot be begun; the reason says why.
        """
        self._require(CommandSource.TRAJECTORY)
        execution, measured = self._ready(now), self.feedback.position
        opening, guard = execution.gripper, self.config.guard
        return Job(
            lambda: joint_path.waypoints(path, now, measured, opening, guard),
            now,
            copy(execution.trajectory),
            self.speed_scale,
        )

    def begin_path(self, path: JointPath, planned: Path, now: float) -> Following:
        """Begin a joint path that was planned a moment ago instead of the present path; return its progress.

        Raises:
            RefusedError, ValueError: nothing has changed; the reason says why.
        """
        self._require(CommandSource.TRAJECTORY)
        self._go(self._ready(now), planned, now)
        self._abort("a newer trajectory took over")
        self.following = Following(path.start, planned.waypoints, path.tolerances, len(path.times))
        return self.following

    def objection(self, source: CommandSource, now: float) -> str:
        """Return why nothing that `source` commands would be begun, "" when it may be."""
        try:
            self._require(source)
            self._ready(now)
        except RefusedError as error:
            return str(error)
        return ""

    def plan(self, job: Job) -> Path:
        """Plan and check a path; takes as long as it takes, and changes nothing: no lock has to be held.

        Raises:
            RefusedError, ValueError: it cannot be gone; the reason says why.
        """
        path = job.trajectory.plan(job.goals(), job.now, job.speed_scale)
        self.guard.check_path(path.positions())
        return path

    def go_home(self, now: float) -> None:
        """Begin the way home instead of the present path, for an operator, who owns the arm from then on.

        After a stop or a cleared fault only once the arm was enabled again, like everything that moves it.

        Raises:
            RefusedError, ValueError: it cannot move there; the reason says why.
        """
        execution = self._ready(now)
        self.give_to(CommandSource.OPERATOR)
        goal = Waypoint(np.array(self.config.home), execution.gripper, None)
        path = execution.trajectory.plan([goal], now, self.speed_scale)
        self.guard.check_path(path.positions())
        self._go(execution, path, now)

    def back_off(self) -> int:
        """Go back, slowly, along the way that led into a fault, at a person's call; return how many set-points that is.

        Raises:
            RefusedError: there is no fault, or nothing to go back; the reason says which.
        """
        if not self.guard.fault:
            raise RefusedError("there is no fault to back off from: any command may move the arm")
        if self.execution is None or self.dry:
            raise RefusedError("no set-points are sent: the arm is not held by this software")
        if complaint := self.feedback.complaint():
            raise RefusedError(complaint)
        if not (steps := self._letting_go.go_back()):
            raise RefusedError("it has not moved since it was enabled")
        return steps

    def next_setpoint(self, now: float) -> Setpoint | None:
        """Return what to send now; None while not engaged."""
        arm, gap = self.feedback, 0.0 if math.isnan(self._last_tick) else now - self._last_tick
        self._last_tick = now
        if self.execution is None and self.dry:
            self._begin_dry_run()
        if self.execution is None:
            return None
        if complaint := arm.complaint(motors_off=not self.dry) or self._not_ours(now):
            self._halt(self.execution, complaint)
            if not self.dry and (not arm.follows_targets or self.obedience.ended):
                self.release(complaint)
                return None
        if not self.dry and (complaint := arm.silent()):
            self._halt(self.execution, complaint)
        if complaint := self.link_complaint(now):
            self.guard.latch(complaint)
        self._bridge(now, gap)
        if now > self._expires and self.moving and not self.halting:
            self.hold("its horizon has passed")
        setpoint = self._guarded(self.execution, now, min(max(gap, 1e-4), _LONGEST_STEP))
        if setpoint and self.execution and self.following:
            self._look_after(self.following, self.execution, setpoint, now)
        return setpoint

    def _look_after(self, following: Following, execution: Execution, setpoint: Setpoint, now: float) -> None:
        """Give up a joint path that the arm does not follow closely enough; where feedback is old nobody can tell."""
        arm, trajectory = self.feedback, execution.trajectory
        measured = (arm.position, arm.velocity, arm.gripper)
        if self.dry:  # nothing moves: as with an arm that follows
            measured = (setpoint.position, trajectory.velocity, setpoint.gripper)
        elif self._sample(now) is None:
            return
        wished = (setpoint.position, trajectory.velocity, setpoint.gripper)
        index = following.dropped + trajectory.index
        if given_up := following.look(Tracked(now, index, *wished, *measured), execution.busy):
            self.hold(given_up)

    def _halt(self, execution: Execution, reason: str) -> None:
        """Latch what the arm itself says, or no longer says: not a step further along the path."""
        if not self.guard.fault:
            self.guard.latch(reason)
            self.pause()
            execution.trajectory.drop()

    def _not_ours(self, now: float) -> str:
        """Return why the arm does not act on this bus's targets by its own account, "" while it does."""
        return "" if self.dry else self.obedience.complaint(now, self.feedback)

    def _guarded(self, execution: Execution, now: float, step: float) -> Setpoint | None:
        arm, guard = self.feedback, self.guard
        measured, opening = arm.position, arm.gripper
        share = max(self.speed_scale, execution.trajectory.feed)  # of which less, at once, would pull a set-point back
        guard.share = max(share, guard.share - _SHARE_FALLS * step * (self._sample(now) is not None))
        if self.dry and self.sent:  # nothing moves: go on as with an arm that follows
            measured, opening = self.sent.position, self.sent.gripper
        elif self.sent:
            self._feel(now, self.sent.position)
            if self.execution is None:
                return None
        allowance = guard.allowance(now, arm.stamp, measured)
        if guard.fault and not self.dry and self.sent:
            return self._let_go(execution, now, step)
        if self._letting_go.relaxes and self.sent:
            return self._relax(execution, now, step)
        self.halting = self.halting or bool(guard.fault)
        feed = 0.0 if self.halting else self.speed_scale * allowance
        if self.leading.engaged or execution.coasting:
            target = self._led(execution, now, step, feed)
        else:
            target = execution.advance(step, feed, measured + guard.standing, opening)
        setpoint = guard.filter(now, step, target, execution.gripper, measured)
        if execution.coasting and setpoint.limited:  # what leads goes on from what is sent
            execution.trajectory.position, execution.trajectory.velocity = setpoint.position.copy(), guard.velocity
        self._settle(execution)
        self._letting_go.note(setpoint.position)
        if not self.dry and self.sent and not (execution.busy or self.leading.engaged):
            settle = self.config.gripper.settle
            self._letting_go.consider(execution, now, self.sent.position, self._sample(now), settle)
        return setpoint

    def _led(self, execution: Execution, now: float, step: float, feed: float) -> NDArray[np.float64]:
        """Return the next target, [6] rad, of an arm that is led, or that comes to rest after it was."""
        trajectory = execution.trajectory
        trajectory.position, trajectory.velocity = self.leading.advance(
            now, step, trajectory.position, trajectory.velocity, feed * self.config.motion.velocity, self._objection_to
        )
        execution.gripper = self.leading.opening(execution.gripper, step)
        return trajectory.position

    def _objection_to(self, path: NDArray[np.float64]) -> str:
        """Return why the arm may not go along joint positions [n, 6] rad, "" where it may."""
        try:
            self.guard.check_path(path)
        except RefusedError as error:
            return str(error)
        return ""

    def _sample(self, now: float) -> Sample | None:
        """Return what the joints say if it is young enough to act on."""
        return self._newest() if now - self.feedback.stamp <= self.guard.stale_after else None

    def _newest(self) -> Sample:
        arm = self.feedback
        return Sample(arm.stamp, arm.position, arm.velocity, arm.effort)

    def _feel(self, now: float, setpoint: NDArray[np.float64]) -> None:
        """Learn how the arm hangs, and notice that it has run into something."""
        sample, contact, guard = self._sample(now), self._contact, self.guard
        if sample is None:
            return
        contact.look(now, setpoint, sample, bool(guard.fault))
        if not guard.mistrusts and (other := self.obedience.look(now, setpoint, self.feedback, guard.standing)):
            guard.latch(other)
            self.release(guard.fault)  # whatever the fault: never a fight
        if guard.fault:
            return
        guard.standing = contact.standing
        noticed = contact.notice(now, setpoint, guard.lead)
        if noticed is None:
            return
        guard.latch(noticed.words)
        if noticed.presses:
            self._letting_go.begin(noticed, setpoint, sample)
        elif noticed.going and not self.moving:  # not by hand, or a stronger one: no target of ours pulls it back
            self.release(guard.fault)

    def _let_go(self, execution: Execution, now: float, step: float) -> Setpoint:
        """Return the next set-point of an arm in fault: to rest along the path, then away from what it presses on."""
        arm, letting_go = self.feedback, self._letting_go
        age = now - arm.stamp
        target, leads_away = letting_go.in_fault(execution, now, step, self._sample(now), age, arm.position)
        self.halting = not letting_go.relaxes
        setpoint = self.guard.filter(now, step, target, execution.gripper, arm.position, letting_go=leads_away)
        self._settle(execution)
        return setpoint

    def _relax(self, execution: Execution, now: float, step: float) -> Setpoint:
        """Return the next set-point of an arm that lets go without a fault; any command may break it off."""
        target = self._letting_go.without_fault(now, step, self._sample(now))
        setpoint = self.guard.filter(now, step, target, execution.gripper, self.feedback.position, letting_go=True)
        execution.trajectory.position = setpoint.position.copy()
        return setpoint

    def _bridge(self, now: float, gap: float) -> None:
        """Deal with a gap of `gap` s since the last set-point, and with one in the feedback.

        After a long one the path ends, and goes on from where the arm is then, on an observation made after it.
        """
        limits, silent = self.config.guard, now - self.feedback.stamp
        if gap > limits.command_timeout:  # the arm has come to rest at the last set-point meanwhile
            self.pause()
        if gap > limits.lost_after:
            self.guard.latch(f"no set-point for {gap:.2f} s: this computer stood still")
        if max(gap, silent) > self.guard.gap_after and not self._interrupted:
            self._interrupted = True
            self.hold(f"no {'joint feedback' if silent >= gap else 'set-point'} for {max(gap, silent):.2f} s")
        elif self._interrupted and silent <= self.guard.stale_after:
            self._interrupted = False
            self._freshness.after_gap(now)
            self._reseed(now)

    def _reseed(self, now: float) -> None:
        """Take the target to the measured position if the arm has left it."""
        if self.dry or self.sent is None:
            return
        measured = np.clip(self.feedback.position, *np.transpose(self.config.guard.joint_limits))
        if np.abs(self.sent.position - measured).max() > self.config.guard.max_first_step:
            execution = self.execution = self._execution_at(self.sent.position, self.sent.gripper)
            back = Waypoint(measured, self.sent.gripper, None)
            execution.start(execution.trajectory.plan([back], now, self.speed_scale))
            self.halting, self._expires = False, math.inf

    def _settle(self, execution: Execution) -> None:
        """Note how the present chunk ended, if it did, or that a fault ended the joint path."""
        if self.guard.fault:
            self._abort(self.guard.fault)
        coasting = execution.coasting and not self.guard.fault  # in a fault the guard brakes what still moves
        if self.halting and not coasting and (execution.trajectory.feed <= 0.0 or not execution.busy):
            execution.trajectory.drop()
            self.halting = False
        if execution.short:
            self.chunk.end(ChunkState.ABORTED, execution.short)
        elif not execution.busy:
            self.chunk.end(ChunkState.REACHED)

    def _require(self, source: CommandSource) -> None:
        if source is not self.source:
            raise RefusedError(f"the arm belongs to {OWNERS[self.source]}; command_source gives it to another")

    def _ready(self, now: float) -> Execution:
        """Return what may be given a path, if the arm may move at all."""
        silent, still = now - self.feedback.stamp, now - self._last_tick
        if self.guard.fault:
            after = "once that is over: /arm/clear_fault, then /arm/enable"
            raise RefusedError(f"the arm is in fault: {self.guard.fault}; {after}")
        if self.execution is None:
            raise RefusedError(f"the arm is disabled: {self.feedback.complaint() or 'an operator has to enable it'}")
        if self.held:
            raise RefusedError(f"the arm is holding: {self.held}")
        if self.sent and self._letting_go.too_far(self.sent.position, self._newest()):
            raise RefusedError("it is letting go of what it pressed on; ask again in a moment")
        if self._interrupted or silent > self.guard.gap_after or still > self.guard.gap_after:
            what, age = ("set-point", still) if still > silent else ("joint feedback", silent)
            raise RefusedError(f"no {what} for {age:.2f} s: only what is observed after this gap may move the arm")
        if self.dry and not self.execution.busy:  # the real arm is where it always was
            self.guard.release()
            self._engage_at_measured()
        return self.execution

    def _go(self, execution: Execution, path: Path, now: float, expires: float = math.inf) -> None:
        begun = execution.trajectory.rebased(path, now, self.speed_scale)
        if begun is not path:  # the target has moved on meanwhile
            self.guard.check_path(begun.positions(1))
        execution.start(begun)
        self._letting_go.forget()
        self.halting, self._expires = False, expires

    def _begin_dry_run(self) -> None:
        if not self.guard.fault:
            try:
                self._engage_at_measured()
            except RefusedError:
                return  # until someone has moved the arm

    def _engage_at_measured(self) -> None:
        arm = self.feedback
        self.guard.engage(arm.position, arm.gripper, arm.position)
        within = np.clip(arm.position, *np.transpose(self.config.guard.joint_limits))
        self.sent = Setpoint(within, arm.gripper, "")
        self.execution = self._execution_at(within, arm.gripper)

    def _execution_at(self, position: NDArray[np.float64], gripper: float) -> Execution:
        return Execution(self.config.motion, self.config.gripper, position, gripper, self.guard.tool_speed)
