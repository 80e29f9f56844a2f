"""When the policy may infer."""

import math

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from std_msgs.msg import Header
from tristage_msgs.msg import ActionChunk, ArmStatus

from tristage_ros.mla.approach import Pace
from tristage_ros.mla.values import Action, Observation
from tristage_ros.nodes.policy.readiness import FramePacing, KeyFramePacing, RatePacing
from tristage_ros.perception.camera import CameraModel


def status(mode=ArmStatus.HOLDING, chunk=0, state=ArmStatus.CHUNK_NONE, at=0, **more):
    header, chunk_stamp = Header(stamp=Time(sec=at)), Time(sec=chunk)
    return ArmStatus(header=header, mode=mode, chunk_stamp=chunk_stamp, chunk_state=state, **more)


def sent(stamp):
    return ActionChunk(header=Header(stamp=Time(sec=stamp)))


def test_nothing_is_inferred_before_the_arm_speaks():
    assert "no status" in KeyFramePacing().waits_for(0.0, 0.0)


@pytest.mark.parametrize("mode", [ArmStatus.DISCONNECTED, ArmStatus.DISABLED, ArmStatus.FAULT])
def test_nothing_is_inferred_while_the_arm_cannot_move(mode):
    pacing = KeyFramePacing()
    pacing.on_arm_status(status(mode, reason="because"), 0.0)
    assert "because" in pacing.waits_for(0.0, 0.0)


@pytest.mark.parametrize("state", [ArmStatus.CHUNK_REACHED, ArmStatus.CHUNK_REFUSED, ArmStatus.CHUNK_ABORTED])
def test_the_next_step_waits_for_the_end_of_the_last_and_for_a_fresh_frame(state):
    pacing = KeyFramePacing()
    pacing.on_arm_status(status(at=4), 0.0)
    assert pacing.waits_for(0.0, 0.0) == ""
    pacing.on_sent(sent(5), 0.0)
    pacing.on_arm_status(status(ArmStatus.MOVING, 5, ArmStatus.CHUNK_EXECUTING, at=6), 0.1)
    assert pacing.waits_for(0.1, 0.0) == KeyFramePacing.MOVING
    pacing.on_arm_status(status(chunk=5, state=state, at=7), 0.2)
    assert pacing.waits_for(0.2, 0.0) == ""
    assert pacing.newer_than == 7.0


def test_the_end_of_an_older_chunk_does_not_count():
    pacing = KeyFramePacing()
    pacing.on_sent(sent(5), 0.0)
    pacing.on_arm_status(status(chunk=4, state=ArmStatus.CHUNK_REACHED), 0.1)
    assert pacing.waits_for(0.1, 0.0) == KeyFramePacing.MOVING


def test_a_lost_chunk_is_not_waited_for_for_ever():
    pacing = KeyFramePacing()
    pacing.on_sent(sent(5), 0.0)
    pacing.on_arm_status(status(), 1.5)
    assert pacing.waits_for(1.5, 0.0) == ""


def test_a_silent_arm_stops_inference():
    pacing = KeyFramePacing()
    pacing.on_arm_status(status(), 0.0)
    assert "no status" in pacing.waits_for(5.0, 0.0)


def test_rate_keeps_the_beat_and_skips_what_was_missed():
    pacing = RatePacing(10.0, None)
    assert pacing.waits_for(100.0, 0.0) == ""
    pacing.on_sent(sent(1), 100.0)
    assert pacing.waits_for(99.99, 0.0) != ""
    pacing.on_sent(sent(2), 100.5)
    assert pacing.waits_for(100.5, 0.0) == ""


def test_while_the_arm_moved_no_frame_was_wanted():
    assert KeyFramePacing().wanted_since(50.0, 1000.0) == 1000.0


def test_a_step_may_have_been_due_while_the_one_before_was_computed():
    pacing = RatePacing(10.0, None)
    assert pacing.wanted_since(50.0, 1000.0) == 1000.0
    pacing.on_sent(sent(1), 50.0)
    pacing.on_sent(sent(2), 50.4)  # the next was due at 50.1
    assert pacing.wanted_since(50.4, 1000.4) == pytest.approx(1000.1)


def test_on_every_frame_nothing_is_waited_for():
    pacing = FramePacing(KeyFramePacing())
    pacing.on_sent(sent(1), 0.0)
    pacing.on_arm_status(status(mode=ArmStatus.DISABLED), 0.0)
    assert pacing.waits_for(0.0, 0.0) == "" and pacing.newer_than == 0.0
    action = an_action(0.0)
    assert pacing.steps(action, seen(1.0)) == (action, 0.0)


def test_on_every_frame_steps_are_sent_as_at_a_rate():
    pacing, rate = FramePacing(RatePacing(5.0, Pace(0.2, 1.2))), RatePacing(5.0, Pace(0.2, 1.2))
    for each in (pacing, rate):
        each.on_arm_status(status(gripper_target=0.0), 0.0)
    (mine, step), (theirs, time_step) = (each.steps(an_action(0.0), seen(0.45)) for each in (pacing, rate))
    assert step == time_step
    np.testing.assert_array_equal(mine.translation, theirs.translation)
    assert mine.gripper.tolist() == [0.0] * 6


def an_action(gripper):
    return Action(np.array([[0.0, 0.1, 0.0]]), np.array([[math.pi, 0.0, 0.0]]), np.array([gripper]))


def seen(opening):
    camera = CameraModel(4, 4, 4.0, 4.0, 1.5, 1.5)
    state = np.array([0.3, 0.0, 0.2, math.pi, 0.0, 0.0, opening], np.float32)
    return Observation(np.zeros((4, 4, 3), np.uint8), camera, np.zeros((0, 3), np.float32), state)


def test_at_a_rate_a_key_frame_is_approached_in_steps_and_the_gripper_acts_on_arrival():
    pacing = RatePacing(5.0, Pace(0.2, 1.2))
    steps, time_step = pacing.steps(an_action(0.0), seen(1.0))
    assert time_step == 0.1
    np.testing.assert_allclose(steps.translation[:, 1], [0.02, 0.04, 0.06, 0.08, 0.1, 0.1])
    assert steps.gripper.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]


def test_a_gripper_that_holds_something_is_not_told_to_open_on_the_way():
    pacing = RatePacing(5.0, Pace(0.2, 1.2))
    pacing.on_arm_status(status(gripper_target=0.0), 0.0)
    assert pacing.steps(an_action(0.0), seen(0.45))[0].gripper.tolist() == [0.0] * 6


def test_small_steps_of_a_model_are_left_alone():
    one, several = an_action(0.5), Action(np.zeros((3, 3)), np.zeros((3, 3)), np.ones(3))
    assert RatePacing(5.0, None).steps(one, seen(1.0)) == (one, 0.2)
    assert RatePacing(5.0, Pace(0.2, 1.2)).steps(several, seen(1.0)) == (several, 0.2)
