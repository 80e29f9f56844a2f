"""Joint positions at the stamp of an image."""

import numpy as np
import pytest
from sensor_msgs.msg import JointState

from tristage_ros.ros.convert import header
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT, JointHistory


def state(stamp, value, names=(*ARM_JOINTS, GRIPPER_JOINT)):
    return JointState(header=header(stamp, "base_link"), name=list(names), position=[float(value)] * len(names))


def test_interpolates_between_stamps():
    history = JointHistory()
    history.add(state(1.0, 0.0))
    history.add(state(2.0, 1.0))
    np.testing.assert_allclose(history.at(1.25), np.full(7, 0.25))


@pytest.mark.parametrize(("stamp", "known"), [(0.85, False), (0.95, True), (2.05, True), (2.15, False)])
def test_only_near_stamps_are_answered(stamp, known):
    history = JointHistory()
    history.add(state(1.0, 0.0))
    history.add(state(2.0, 1.0))
    assert (history.at(stamp) is not None) == known


def test_joints_are_read_by_name_not_by_order():
    message = state(1.0, 0.0)
    message.name, message.position = message.name[::-1], [float(i) for i in range(7)]
    history = JointHistory()
    history.add(message)
    np.testing.assert_array_equal(history.at(1.0), [6, 5, 4, 3, 2, 1, 0])


def test_time_that_goes_back_begins_anew():
    history = JointHistory()
    history.add(state(100.0, 5.0))
    history.add(state(1.0, 0.0))
    assert history.at(100.0) is None
    assert history.at(1.0) is not None


def test_states_out_of_order_are_put_in_order():
    history = JointHistory()
    for stamp, value in ((1.0, 0.0), (2.0, 1.0), (1.6, 0.9), (1.9999, 1.0)):
        history.add(state(stamp, value))
    assert history.newest == 2.0
    np.testing.assert_allclose(history.at(1.3), np.full(7, 0.45))
    np.testing.assert_allclose(history.at(1.8), np.full(7, 0.9 + 0.1 * 0.2 / 0.3999))


def test_old_samples_are_forgotten():
    history = JointHistory(span=1.0)
    for stamp in (1.0, 2.0, 3.0):
        history.add(state(stamp, 0.0))
    assert history.at(1.0) is None


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (state(1.0, 0.0, ARM_JOINTS), "lack gripper; they have joint1, .*rename them"),
        (state(1.0, np.nan), "not finite"),
    ],
)
def test_unusable_states_are_refused(message, words):
    history = JointHistory()
    with pytest.raises(ValueError, match=words):
        history.add(message)
    assert history.at(1.0) is None


def test_what_is_wrong_with_joints_is_one_line():
    wild = state(1.0, 0.0, names=["a\n\x1b[31m"])
    nothing = state(1.0, 0.0)
    nothing.position = [float("nan"), *[1.23456789012345] * 6]
    for message in (wild, nothing):
        with pytest.raises(ValueError, match="joint_states") as refused:
            JointHistory().add(message)
        assert str(refused.value).isprintable()
