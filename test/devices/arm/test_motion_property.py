"""Whatever an arm says and whoever commands it: what the set-points do is bounded, and ends where it has to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tristage_ros.devices.arm.guard import RELIEF_SPEED
from tristage_ros.devices.arm.kinematics import JOINT_LIMITS
from tristage_ros.devices.arm.values import CAN_CONTROL, EMERGENCY_STOP, STANDBY, MotorBits

from .test_motion import STEP, Bench

FOLLOWS, BLOCKED, PUSHED, ELSEWHERE = range(4)
EVENT = st.one_of(
    st.tuples(st.just("chunk"), st.tuples(*[st.floats(-0.2, 0.2)] * 3)),
    st.tuples(st.just("joint"), st.sampled_from([FOLLOWS, FOLLOWS, BLOCKED, PUSHED, ELSEWHERE])),
    st.tuples(st.just("fed"), st.booleans()),
    st.tuples(st.just("mode"), st.sampled_from([CAN_CONTROL] * 4 + [STANDBY, 2, 6])),
    st.tuples(st.just("status"), st.sampled_from([0] * 6 + [EMERGENCY_STOP, 7, 14])),
    st.tuples(st.just("bits"), st.sampled_from([0] * 6 + [int(MotorBits.OVERCURRENT)])),
    st.tuples(st.just("stale"), st.sampled_from(["", "", "", "arm status", "motor states", "efforts"])),
    st.tuples(st.just("call"), st.sampled_from(["hold", "clear", "back off", "stop", "go on", "home"])),
    st.tuples(st.just("scale"), st.floats(0.01, 1.0)),
    st.tuples(st.just("late"), st.floats(0.0, 0.4)),
)


class Subject(Bench):
    """An arm that may be blocked, pushed or elsewhere, and say anything about itself."""

    def __init__(self) -> None:
        super().__init__()
        self.how, self.stale_since, self.stale = FOLLOWS, 0.0, ""

    def tick(self, step: float) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Let time pass; return the set-point before and the one now, None where there is none."""
        before = None if self.motion.sent is None else self.motion.sent.position.copy()
        self.now += step
        if self.fed:
            names = ("arm status", "motor states", "efforts", "joint positions")
            groups = {
                name: (self.stale_since, 0.005, 99) if name == self.stale else (self.now, 0.005, 0) for name in names
            }
            self.feedback = replace(self.feedback, stamp=self.now, groups=groups)
            self.motion.take(self.feedback)
        setpoint = self.motion.next_setpoint(self.now)
        if setpoint is None:
            self.motion.sent = None
            return before, None
        self.motion.sent = setpoint
        position, effort = self.feedback.position, np.zeros(6)
        if self.how == FOLLOWS:
            position = setpoint.position + 1e-7 * np.sin(self.now)
        elif self.how == PUSHED:
            position = position + np.clip(setpoint.position + 0.1 - position, -0.01, 0.01)
        if self.how != FOLLOWS:
            effort = 100.0 * (setpoint.position - position)
        self.feedback = replace(self.feedback, position=position, effort=effort)
        return before, setpoint.position

    def do(self, what: str, value: object) -> None:
        """Carry out one event; refusals are answers, too."""
        motion = self.motion
        try:
            if what == "chunk":
                self.submit(value)
            elif what == "joint":
                self.how = value
                if value == ELSEWHERE:
                    moved = np.clip(self.feedback.position + 0.15, *JOINT_LIMITS.T)
                    self.feedback = replace(self.feedback, position=moved)
            elif what == "fed":
                self.fed = value
            elif what == "mode":
                self.feedback = replace(self.feedback, control_mode=value)
            elif what == "status":
                self.feedback = replace(self.feedback, arm_status=value)
            elif what == "bits":
                health = replace(self.feedback.motors, bits=(int(MotorBits.ENABLED) | value,) * 6)
                self.feedback = replace(self.feedback, motors=health)
            elif what == "stale":
                self.stale, self.stale_since = value, self.now
            elif what == "scale":
                motion.set_speed_scale(value)
            elif what == "call":
                {
                    "hold": lambda: motion.hold("a test"),
                    "clear": motion.restart,
                    "back off": motion.back_off,
                    "stop": lambda: setattr(motion, "held", "stopped"),
                    "go on": lambda: setattr(motion, "held", ""),
                    "home": lambda: motion.go_home(self.now),
                }[value]()
        except ValueError:
            pass


def check(events: list[tuple[str, object]]) -> None:
    subject = Subject()
    motion, config = subject.motion, subject.motion.config.guard
    for what, value in events:
        subject.do(what, value)
        ticks = [value] if what == "late" and value > 0.0 else []
        for step in (*ticks, *[STEP] * 12):
            old_fault = bool(motion.guard.fault)
            was, lead = subject.feedback.position.copy(), motion.guard.lead
            before, now = subject.tick(step)
            if now is None:
                continue
            assert np.isfinite(now).all()
            assert (now >= JOINT_LIMITS[:, 0] - 1e-9).all() and (now <= JOINT_LIMITS[:, 1] + 1e-9).all()
            arm = subject.feedback
            mine = arm.control_mode in (STANDBY, CAN_CONTROL) and arm.arm_status != EMERGENCY_STOP
            assert mine or not subject.fed, "a set-point for an arm that is somebody else's"
            if before is None:
                continue
            moved = np.abs(now - before)
            span = min(max(step, 1e-4), 0.02)
            to_the_arm = np.abs(now - was).max() < 0.05  # where it stays, or is followed to
            leads = np.abs(before - np.clip(before, was - 0.9 * lead, was + 0.9 * lead))
            assert (moved <= config.max_velocity * span + leads + 1e-6).all() or to_the_arm
            resting = motion.execution is not None and not motion.execution.busy
            if old_fault and resting and not motion._letting_go._back:
                top = max(RELIEF_SPEED, float(np.abs(motion.guard.velocity).max()))
                assert (moved <= top * span + 1e-6).all() or to_the_arm, "in a fault nothing moves but what lets go"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENT, min_size=1, max_size=14))
def test_whatever_comes_set_points_are_bounded_and_ours_alone(events: list) -> None:
    check(events)


@pytest.mark.long
@pytest.mark.timeout(7200)
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENT, min_size=1, max_size=14))
def test_whatever_comes_twenty_thousand_times(events: list) -> None:
    check(events)
