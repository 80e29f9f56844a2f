"""Whatever a leader says and does: nothing that leaves is beyond the limits, and nothing moves that was not engaged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tristage_ros.devices.arm.config import ControllerConfig
from tristage_ros.devices.arm.guard import GuardConfig
from tristage_ros.devices.arm.kinematics import JOINT_LIMITS, link_poses
from tristage_ros.devices.arm.named_joints import NamedJoints
from tristage_ros.devices.arm.twist import check_twist
from tristage_ros.devices.arm.values import CommandSource, Led

from .test_motion import HOME, STEP, Bench

ANGLE = st.one_of(st.floats(-0.3, 0.3), st.sampled_from([0.0, 1.0, -1.0, 2.5, 57.3, float("nan"), float("inf")]))
EVENT = st.one_of(
    st.tuples(st.just("to"), st.tuples(*[st.floats(-0.6, 0.6)] * 6)),  # from where the arm is
    st.tuples(st.just("anywhere"), st.tuples(*[st.floats(-4.0, 4.0)] * 6)),
    st.tuples(st.just("says"), st.tuples(*[ANGLE] * 6)),  # joint states as they come, from HOME
    st.tuples(st.just("twist"), st.tuples(*[st.floats(-0.6, 0.6)] * 6)),
    st.tuples(st.just("bad twist"), st.sampled_from([float("nan"), 1e3, -1e30])),
    st.tuples(st.just("engage"), st.just(None)),
    st.tuples(st.just("engage"), st.just(None)),
    st.tuples(st.just("call"), st.sampled_from(["disengage", "stop", "go on", "object", "clear", "fault", "home"])),
    st.tuples(st.just("source"), st.sampled_from([CommandSource.JOINTS, CommandSource.TWIST, CommandSource.POLICY])),
    st.tuples(st.just("silent"), st.booleans()),
    st.tuples(st.just("fed"), st.booleans()),
    st.tuples(st.just("slow"), st.sampled_from([0.05, 0.3, 1.5, 6.0])),  # rad/s, of the leader
    st.tuples(st.just("scale"), st.sampled_from([0.01, 0.1, 0.5, 1.0])),
    st.tuples(st.just("gripper"), st.floats(-1.0, 1.0)),
    st.tuples(st.just("wait"), st.integers(1, 60)),
)


class Subject(Bench):
    """An arm behind a leader that may do anything, and be heard as a device's joint states."""

    def __init__(self) -> None:
        super().__init__(ControllerConfig(guard=GuardConfig(tool_speed=0.25)))
        self.motion.give_to(CommandSource.JOINTS)
        self.goal, self.place, self.speed = HOME.copy(), HOME.copy(), 1.5
        self.twist, self.silent, self.gripper = np.zeros(6), False, 0.05
        self.names = NamedJoints(gripper="finger")

    def hear(self) -> None:
        leading = self.motion.leading
        if np.isfinite([*self.goal, *self.place]).all():
            self.place = self.place + np.clip(self.goal - self.place, -self.speed * STEP, self.speed * STEP)
        try:
            if self.silent:
                return
            if self.motion.source is CommandSource.TWIST:
                leading.hear(Led(self.now, twist=check_twist(self.twist[:3], self.twist[3:])))
            elif self.motion.source is CommandSource.JOINTS:
                said = self.names.led(self.now, [*self.names.names, "finger"], [*self.place.tolist(), self.gripper])
                leading.hear(said)
        except ValueError as error:
            leading.object(str(error))

    def do(self, what: str, value: object) -> int:
        """Carry out one event; return how many ticks it takes."""
        motion = self.motion
        try:
            if what in ("to", "anywhere", "says"):
                here = motion.sent.position if motion.sent else HOME
                self.goal = {"to": here, "says": HOME, "anywhere": 0.0}[what] + np.array(value)
                if what == "says":
                    self.place = self.goal
                elif not np.isfinite(self.place).all():
                    self.place = here.copy()
            elif what == "twist":
                self.twist = np.array(value)
            elif what == "bad twist":
                self.twist = np.full(6, value)
            elif what == "engage":
                if (
                    motion.sent is not None
                    and motion.source is CommandSource.JOINTS
                    and not np.isfinite(self.place).all()
                ):
                    self.goal = self.place = motion.sent.position.copy()
                motion.engage_leader(self.now)
            elif what == "source":
                motion.give_to(value)
                motion.hold("")
            elif what == "silent":
                self.silent = value
            elif what == "fed":
                self.fed = value
            elif what == "slow":
                self.speed = value
            elif what == "scale":
                motion.set_speed_scale(value)
            elif what == "gripper":
                self.gripper = value
            elif what == "wait":
                return value
            else:
                {
                    "disengage": lambda: motion.hold("a test"),
                    "stop": lambda: (setattr(motion, "held", "stopped"), motion.hold("stopped")),
                    "go on": lambda: setattr(motion, "held", ""),
                    "object": lambda: motion.leading.object("a test"),
                    "clear": motion.restart,
                    "fault": lambda: motion.guard.latch("a test"),
                    "home": lambda: motion.go_home(self.now),
                }[value]()
        except ValueError:
            pass
        return 8


def check(events: list[tuple[str, object]]) -> int:
    """Return for how many ticks the arm was led."""
    subject, ticks = Subject(), 0
    motion, config = subject.motion, subject.motion.config
    last = np.zeros(6)
    for what, value in (("wait", 5), *events):
        was_engaged = motion.leading.engaged
        for _ in range(subject.do(what, value)):
            subject.hear()
            before, fault = motion.sent, motion.guard.fault
            led, going = motion.leading.engaged, motion.moving
            subject.run(STEP)
            now = motion.sent
            told = motion.guard.fault
            assert told in ("", "a test") or "feedback" in told, f"a leader led the arm into a fault: {told}"
            assert led <= (was_engaged or what == "engage"), "nothing engages by itself"
            if before is None or now is None:
                last = np.zeros(6)
                continue
            moved, changed = now.position - before.position, now.position - before.position - last
            last = moved
            if told or fault or not subject.fed:
                continue
            ticks += led
            assert np.isfinite([*now.position, now.gripper]).all() and 0.0 <= now.gripper <= 0.07
            assert np.abs(now.position - np.clip(now.position, *JOINT_LIMITS.T)).max() < 1e-9
            assert np.abs(moved).max() <= config.guard.max_velocity * STEP + 1e-9
            assert np.abs(changed).max() <= config.guard.max_acceleration * STEP**2 + 1e-9
            if led or going:
                links = link_poses(np.stack([before.position, now.position]), True)
                assert config.guard.body.depths(links, 0.0)[1].max() < 2e-3, "nothing is led into the table"
                points = config.guard.body.fast_points(links)
                assert np.linalg.norm(points[1] - points[0], axis=-1).max() <= 0.25 * STEP * 1.02 + 1e-6
            else:
                assert np.abs(moved).max() < 1e-12, "it moved at rest"
    return ticks


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENT, min_size=1, max_size=25))
def test_whatever_a_leader_does_nothing_leaves_that_is_beyond_the_limits(events: list) -> None:
    check([("engage", None), *events])


@pytest.mark.long
@pytest.mark.timeout(7200)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENT, min_size=1, max_size=40))
def test_whatever_a_leader_does_two_thousand_times(events: list) -> None:
    check([("engage", None), *events])


def test_the_sequences_of_this_test_do_lead_the_arm() -> None:
    events = [("wait", 20), ("to", (0.2, 0.1, -0.1, 0.2, 0.1, 0.3)), ("wait", 60), ("source", CommandSource.TWIST)]
    events += [("wait", 30), ("engage", None), ("twist", (0.0, 0.1, 0.05, 0.0, 0.0, 0.2)), ("wait", 60)]
    assert check([("engage", None), *events]) > 120
