"""A master who is not heard is met with silence, and nothing else is taken for one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tristage_ros.devices.arm.unheard import Unheard
from tristage_ros.simulation.arm import JointStop

from .emulated import Emulated
from .test_motion import Bench

LATE = {"every": 10, "latency": 0.08}  # feedback at 20 Hz and 80 ms late


LIMIT = {1.0: 12.0, 2.0: 2.0}  # s, by the other's rate: at the same as ours he may come just before us for seconds


def until_silent(arm: Emulated, limit: float) -> float:
    """Let time pass until nothing is sent any more; return how far a joint has gone by then, rad."""
    began, start = arm.now, arm.plant.position.copy()
    while arm.motion.execution is not None:
        assert arm.now < began + limit, f"still sending after {limit} s; fault: {arm.motion.guard.fault!r}"
        arm.tick()
    return float(np.abs(arm.plant.position - start).max())


def lead(arm: Emulated, away: float, rate: float) -> None:
    """Let somebody lead joint 1 `away` rad from where it is."""
    target = arm.plant.position.copy()
    target[0] += away
    arm.master(lambda now: target, rate)


def sets_out(arm: Emulated, scale: float) -> None:
    start = arm.motion.sent.position.copy()
    arm.submit((0.0, 0.25 * scale, 0.0))
    while np.abs(arm.motion.sent.position - start).max() < 0.05 * max(scale, 0.3):
        arm.tick()


@pytest.mark.parametrize("rate", [1.0, 2.0])
@pytest.mark.parametrize("away", [0.1, 0.3])
def test_in_rest_a_master_who_is_not_heard_is_met_with_silence(away: float, rate: float) -> None:
    arm = Emulated()
    lead(arm, away, rate)
    assert until_silent(arm, LIMIT[rate]) < 0.25
    assert "not heard" in arm.motion.guard.fault
    arm.run(1.0)
    assert arm.motion.execution is None


@pytest.mark.parametrize(("scale", "rate"), [(1.0, 1.0), (1.0, 2.0), (0.1, 1.0), (0.1, 2.0)])
@pytest.mark.parametrize("away", [-0.3, 0.1])
def test_on_its_path_it_falls_silent_too(scale: float, rate: float, away: float) -> None:
    arm = Emulated(scale)
    sets_out(arm, scale)
    lead(arm, away, rate)
    until_silent(arm, LIMIT[rate])
    assert arm.motion.guard.fault


def test_where_feedback_comes_seldom_and_late_it_takes_longer() -> None:
    arm = Emulated(**LATE)
    sets_out(arm, 1.0)
    lead(arm, -0.3, 2.0)
    until_silent(arm, 3.0)


def test_a_master_whose_targets_are_too_seldom_moves_nothing() -> None:
    arm = Emulated()
    start = arm.plant.position.copy()
    arm.master(lambda now: start + 0.3, 0.5)
    arm.run(2.0)
    assert np.abs(arm.plant.position - start).max() < 2e-3 and not arm.motion.guard.fault


@pytest.mark.parametrize("late", [{}, LATE])
@pytest.mark.parametrize(("scale", "payload"), [(1.0, 0.0), (1.0, 0.5), (0.1, 0.5)])
def test_what_lags_hangs_and_carries_is_no_master(scale: float, payload: float, late: dict) -> None:
    arm = Emulated(scale, **late)
    for way in ((0.0, 0.15, 0.0), (0.05, -0.25, 0.05), (-0.05, 0.1, -0.02)):
        arm.submit(tuple(scale * np.array(way)))
        arm.run(1.5)
        arm.plant.payload = payload - arm.plant.payload  # taken up, set down
        arm.run(0.5)
        assert not arm.motion.guard.fault


@pytest.mark.parametrize("stiffness", [200.0, 2000.0])
def test_what_is_in_the_way_is_no_master(stiffness: float) -> None:
    arm = Emulated(0.5, 0.5)
    arm.plant.obstacles = (JointStop(0, arm.plant.position[0] + 0.1, 1, stiffness),)
    arm.submit((0.0, 0.25, 0.0))
    arm.run(3.0)
    assert "is blocked" in arm.motion.guard.fault and arm.motion.execution is not None
    arm.plant.obstacles = ()
    arm.run(0.5)
    assert arm.motion.execution is not None  # it holds


def test_who_leans_on_it_is_no_master() -> None:
    arm = Emulated(1.0)
    arm.plant.obstacles = (JointStop(0, arm.plant.position[0] - 0.15, 1, 200.0),)
    arm.run(2.0)
    assert arm.motion.execution is not None and "not heard" not in arm.motion.guard.fault


def test_another_move_mode_is_of_somebody_else() -> None:
    bench = Bench()
    bench.run(0.2)
    bench.feedback = replace(bench.feedback, move_mode=2)
    bench.run(0.05)
    assert bench.motion.guard.fault.endswith("gone over to MOVE L, and was asked for MOVE J")
    assert bench.motion.execution is None


@pytest.mark.parametrize(("age", "status", "judged"), [(0.0, 0, True), (math.inf, 0, False), (0.0, 7, False)])
def test_without_efforts_or_after_a_collision_nothing_is_judged(age: float, status: int, judged: bool) -> None:
    """What presses on something, or has stopped of its own accord, would look as what obeys somebody else."""
    bench, unheard, said = Bench(), Unheard(), ""
    for tick in range(200):
        now = 50.0 + 0.01 * tick
        arm = replace(bench.feedback, stamp=now, arm_status=status, groups={"efforts": (now - age, 0.005, 0)})
        said = said or unheard.look(now, arm.position + 0.1 * (tick > 50), arm, np.zeros(6))
    assert bool(said) is judged
