"""A leader and an arm behind it, on a clock in the test's hands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tristage_ros.devices.arm.config import ControllerConfig
from tristage_ros.devices.arm.guard import RefusedError
from tristage_ros.devices.arm.kinematics import JOINT_LIMITS, forward, tool_pose
from tristage_ros.devices.arm.leading import CAUGHT_UP, WINDOW
from tristage_ros.devices.arm.values import CommandSource, LeadState, Led

from .test_motion import HOME, STEP, Bench

EVERY = 0.005  # s, of a leader's frames


class LedBench(Bench):
    """A bench whose arm is led by a function of time, heard twice with each set-point."""

    def __init__(self, source: CommandSource = CommandSource.LEADER, config: ControllerConfig | None = None) -> None:
        super().__init__(config)
        self.motion.give_to(source)
        self.leader: Callable[[float], np.ndarray | None] = lambda now: HOME
        self.gripper: float | None = None
        self.setpoints: list[np.ndarray] = []

    def led(self, now: float) -> Led | None:
        position = self.leader(now)
        return None if position is None else Led(now, position=position, gripper=self.gripper)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            for part in (EVERY, 2 * EVERY):
                said = self.led(self.now + part)
                if said is not None:
                    self.motion.leading.hear(said)
            super().run(STEP)
            if self.motion.sent:
                self.setpoints.append(self.motion.sent.position)

    @property
    def status(self):
        return self.motion.lead_status(self.now)

    def engaged(self) -> LedBench:
        self.run(0.1)
        self.motion.engage_leader(self.now)
        return self


def moved(joint: int, angle: float) -> np.ndarray:
    return HOME + angle * np.eye(6)[joint]


def test_a_leader_half_a_radian_away_is_refused_with_the_joints_named() -> None:
    bench = LedBench()
    bench.leader = lambda now: moved(2, 0.5) + 0.2 * np.eye(6)[4]
    bench.run(0.2)
    assert bench.status.state is LeadState.TOO_FAR
    assert np.allclose(bench.status.missing, [0, 0, 0.5, 0, 0.2, 0])
    with pytest.raises(RefusedError, match=r"joint 3 by -0\.50 rad, joint 5 by -0\.20 rad"):
        bench.motion.engage_leader(bench.now)
    bench.run(0.5)
    assert np.ptp(bench.setpoints, axis=0).max() == 0.0, "nothing moves before it is engaged"


def test_a_leader_nearby_engages_only_when_asked_and_is_caught_up_with_slowly() -> None:
    bench = LedBench()
    bench.leader = lambda now: moved(1, 0.09)
    bench.run(1.0)
    assert bench.status.state is LeadState.READY and not bench.motion.moving
    bench.motion.engage_leader(bench.now)
    assert bench.status.state is LeadState.CATCHING_UP
    begun = len(bench.setpoints)
    bench.run(2.0)
    assert bench.status.state is LeadState.LEADING
    assert np.abs(bench.motion.sent.position - moved(1, 0.09)).max() < 1e-3
    speed = np.abs(np.diff(bench.setpoints[begun:], axis=0)).max() / STEP
    assert speed < 0.35, "0.1 rad that are made up for at full speed are a jerk in somebody's hands"


def test_it_follows_as_fast_and_no_harder_than_paths_go() -> None:
    bench = LedBench()
    begin = bench.now + 0.5
    bench.leader = lambda now: moved(0, 0.4 * (1.0 - np.cos(2.0 * max(0.0, now - begin))))
    bench.engaged().run(6.0)
    assert bench.status.state is LeadState.LEADING
    led = np.array([bench.leader(bench.now - STEP * k) for k in range(300)])[::-1]
    sent = np.array(bench.setpoints[-300:])
    lags = [np.abs(sent[k:] - led[: len(led) - k]).max() for k in range(30)]
    assert np.argmin(lags) <= 5 and min(lags) < 0.02
    velocity = np.diff(bench.setpoints, axis=0) / STEP
    assert np.abs(velocity).max() <= 1.5 + 1e-6
    assert np.abs(np.diff(velocity, axis=0)).max() / STEP <= 4.0 + 1e-3


def test_silence_holds_and_a_leader_that_is_still_there_goes_on() -> None:
    bench = LedBench()
    bench.leader = lambda now: None if 51.0 < now < 54.0 else moved(0, 0.3 * np.sin(min(now, 51.0) - 50.0))
    bench.engaged().run(1.5)
    assert not bench.motion.moving, "it comes to rest"
    assert "silent for" in bench.status.words and bench.status.state is LeadState.LEADING
    held = bench.motion.sent.position
    bench.run(1.5)
    assert np.array_equal(held, bench.motion.sent.position)
    bench.run(1.5)
    assert bench.status.state is LeadState.LEADING and not bench.motion.guard.fault
    assert np.abs(bench.motion.sent.position - bench.leader(55.0)).max() < 0.01


@pytest.mark.parametrize("silence", [0.0, 2.0])
def test_a_leader_that_jumps_leads_no_more(silence: float) -> None:
    bench = LedBench()
    jump = bench.now + 0.5
    bench.leader = lambda now: HOME if now < jump else None if now < jump + silence else moved(3, 1.0)
    bench.engaged().run(silence + 1.0)
    assert bench.status.state is LeadState.TOO_FAR
    assert "joint 4" in bench.status.words and "1.00 rad" in bench.status.words
    assert np.abs(bench.motion.sent.position - HOME).max() < 0.02
    with pytest.raises(RefusedError, match="joint 4 by -1"):
        bench.motion.engage_leader(bench.now)


def test_a_leader_that_runs_away_from_a_slow_arm_leads_no_more() -> None:
    bench = LedBench(config=ControllerConfig(speed_scale=0.1))
    bench.leader = lambda now: moved(0, max(0.0, now - 50.5))
    bench.engaged().run(3.0)
    assert "joint 1 of the leader is 0.51 rad ahead of the arm" in bench.status.words
    assert "raise speed_scale" in bench.status.words
    assert not bench.motion.moving


def test_a_leader_beyond_the_limits_is_followed_up_to_them_and_told() -> None:
    bench = LedBench()
    bench.leader = lambda now: moved(4, 0.2 * max(0.0, min(now - 50.5, 3.0)))
    bench.engaged().run(4.5)
    assert bench.motion.sent.position[4] == pytest.approx(JOINT_LIMITS[4, 1] - 0.01, abs=2e-3)
    assert "joint 5 stays at its limit: the leader is 0.29 rad beyond" in bench.status.words
    assert not bench.motion.guard.fault


def test_the_table_is_no_fault_of_whoever_leads() -> None:
    bench = LedBench()
    bench.leader = lambda now: moved(1, 0.3 * min(max(0.0, now - 50.5), 3.0))
    bench.engaged().run(4.0)
    assert not bench.motion.guard.fault, bench.motion.guard.fault
    assert "the arm waits" in bench.status.words
    bench.leader = lambda now: moved(1, max(0.3, 0.9 - 0.5 * (now - 54.1)))
    bench.run(2.0)
    assert np.abs(bench.motion.sent.position - moved(1, 0.3)).max() < 5e-3, "and comes back with its leader"


def test_a_gripper_takes_over_where_it_is_and_lets_nothing_fall() -> None:
    bench = LedBench()
    bench.motion.execution.gripper = 0.0
    bench.gripper = 0.07
    bench.engaged().run(0.5)
    assert bench.motion.sent.gripper == 0.0
    assert "takes over at 0 mm" in bench.status.words
    bench.gripper = 0.003
    bench.run(0.1)
    bench.gripper = 0.05
    bench.run(1.0)
    assert bench.motion.sent.gripper == pytest.approx(0.05)
    bench.gripper = None
    bench.run(0.2)
    assert bench.motion.sent.gripper == pytest.approx(0.05)


@pytest.mark.parametrize("end", ["stop", "source", "fault", "home", "gap"])
def test_what_ends_leading(end: str) -> None:
    bench = LedBench()
    bench.leader = lambda now: moved(0, 0.5 * max(0.0, now - 50.2))
    bench.engaged().run(1.0)
    motion = bench.motion
    assert motion.moving and motion.leading.engaged
    if end == "stop":
        motion.held = "stopped"
        motion.hold("stopped")
    elif end == "source":
        motion.give_to(CommandSource.POLICY)
        motion.hold("")
    elif end == "fault":
        motion.guard.latch("a test")
    elif end == "home":
        motion.go_home(bench.now)
    else:
        bench.fed = False
    bench.run(0.4 if end == "gap" else 0.02)
    bench.fed = True
    assert not motion.leading.engaged
    bench.run(1.0)
    rest = motion.sent.position
    bench.run(0.5)
    assert end == "home" or np.abs(motion.sent.position - rest).max() < 1e-3
    assert not motion.leading.engaged, "nothing engages by itself"
    steps = np.diff(bench.setpoints, axis=0)
    assert np.abs(np.diff(steps, axis=0)).max() / STEP**2 < 10.0 + 1e-3, "and nothing stops with a jerk"


class Twisted(LedBench):
    """A bench whose tool is led."""

    def __init__(self) -> None:
        super().__init__(CommandSource.TWIST)
        self.twist: np.ndarray | None = np.zeros(6)
        self.in_tool = False

    def led(self, now: float) -> Led | None:
        return None if self.twist is None else Led(now, twist=self.twist, in_tool=self.in_tool)

    @property
    def tool(self) -> np.ndarray:
        return tool_pose(forward(self.motion.sent.position))


def test_a_twist_moves_the_tool_as_it_says_and_silence_is_a_hand_that_lets_go() -> None:
    bench = Twisted()
    bench.engaged().run(0.1)
    bench.twist = np.array([0.0, 0.05, 0.0, 0.0, 0.0, 0.0])
    begin = bench.tool
    bench.run(2.0)
    way = bench.tool[:3, 3] - begin[:3, 3]
    assert way[1] == pytest.approx(0.1, abs=0.01) and np.abs(way[[0, 2]]).max() < 2e-3
    assert np.abs(bench.tool[:3, :3] - begin[:3, :3]).max() < 0.01
    bench.twist = None
    bench.run(1.0)
    rest = bench.tool
    bench.run(0.5)
    assert np.array_equal(bench.tool, rest) and not bench.motion.guard.fault
    bench.twist, bench.in_tool = np.array([0.0, 0.0, -0.05, 0.0, 0.0, 0.0]), True
    bench.run(1.0)
    back = rest[:3, :3].T @ (bench.tool[:3, 3] - rest[:3, 3])
    assert back[2] < -0.03 and np.abs(back[:2]).max() < 2e-3


def test_a_stick_that_is_pushed_already_does_not_engage() -> None:
    bench = Twisted()
    bench.twist = np.array([0.1, 0.0, 0.0, 0.0, 0.0, 0.0])
    with pytest.raises(RefusedError, match="let go of the stick"):
        bench.engaged()


def test_a_twist_through_a_singularity_turns_no_joint_fast_and_one_to_a_limit_waits() -> None:
    bench = Twisted()
    bench.engaged()
    bench.twist = np.array([0.0, 0.0, 0.0, 0.0, -0.5, 0.0])  # through a straight wrist, and on to where it ends
    bench.run(8.0)
    assert not bench.motion.guard.fault
    velocity = np.diff(bench.setpoints, axis=0) / STEP
    assert np.abs(velocity).max() <= 1.5 + 1e-6
    assert np.abs(np.diff(velocity, axis=0)).max() / STEP <= 4.0 + 1e-3
    assert bench.status.words, "why it goes no farther is told"


def test_the_window_is_what_the_documents_say() -> None:
    assert (WINDOW, CAUGHT_UP) == (0.1, 0.02)
