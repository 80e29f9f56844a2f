import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tristage_ros.mla.approach import Pace, paced
from tristage_ros.mla.values import Action

DOWN = np.array([math.pi, 0.0, 0.3])


def key_frame(translation, rotation, gripper=0.0):
    return Action(np.array([translation]), np.array([rotation]), np.array([gripper]))


def test_steps_keep_to_the_speed_and_end_at_the_key_frame():
    steps = paced(key_frame([0.03, -0.04, 0.0], DOWN), DOWN, 1.0, Pace(0.1, 9.0, 8, 0.1))
    lengths = np.linalg.norm(np.diff(steps.translation, axis=0, prepend=0), axis=1)
    np.testing.assert_allclose(lengths, [0.01] * 5 + [0.0] * 3, atol=1e-12)
    np.testing.assert_allclose(steps.translation[-1], [0.03, -0.04, 0.0])
    assert steps.gripper.tolist() == [1.0] * 4 + [0.0] * 4


def test_a_turn_takes_its_time_and_the_short_way():
    goal = np.array([math.pi, 0.0, 0.3 - 2 * math.pi - 0.4])  # the same as a turn by -0.4
    steps = paced(key_frame([0.0, 0.0, 0.0], goal), DOWN, 0.5, Pace(0.1, 0.5, 10, 0.1))
    rotations = Rotation.from_euler("xyz", np.vstack([DOWN, steps.rotation]))
    turns = (rotations[:-1].inv() * rotations[1:]).magnitude()
    np.testing.assert_allclose(turns, [0.05] * 8 + [0.0] * 2, atol=1e-9)
    assert steps.gripper.tolist() == [0.5] * 7 + [0.0] * 3


def test_who_is_there_already_acts_at_once():
    steps = paced(key_frame([0.0, 0.0, 0.0], DOWN, 1.0), DOWN, 0.0, Pace())
    assert steps.gripper.tolist() == [1.0] * 6


@pytest.mark.parametrize("field", ["speed", "turn", "actions", "time_step"])
def test_a_pace_at_which_nothing_moves_is_refused(field):
    with pytest.raises(ValueError, match="positive"):
        Pace(**{field: 0})
