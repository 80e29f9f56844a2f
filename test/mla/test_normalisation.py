import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristage_ros.mla.normalisation import DatasetStatistics, Quantiles

MASK = [True] * 6 + [False]
STATISTICS = DatasetStatistics.tabletop()


def entry(**changes):
    quantiles = {"q01": [-1.0] * 7, "q99": [1.0] * 7, "mask": MASK, "mean": [0.0] * 7} | changes
    return {"action": quantiles, "proprio": quantiles}


def test_the_released_layout_is_read():
    read = DatasetStatistics.from_dict({"rlbench": entry(), "franka": entry(q01=[-2.0] * 7)}, "franka")
    assert read.action == Quantiles((-2.0,) * 7, (1.0,) * 7, tuple(MASK))
    assert DatasetStatistics.from_dict(STATISTICS.to_dict()) == STATISTICS


def test_without_a_mask_all_is_normalised_and_the_gripper_is_still_open_or_closed():
    data = entry(q01=[0.0] * 7)
    del data["action"]["mask"]  # the same list twice
    read = DatasetStatistics.from_dict({"a": data})
    assert read.proprio.mask == (True,) * 7
    assert read.normalise_state(np.array([0.5] * 6 + [0.0]))[0][6] == -1
    assert read.denormalise_action(np.array([[0.0] * 7, [0.0] * 6 + [0.9]])).gripper.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("data", "dataset", "message"),
    [
        ({"a": entry(), "b": entry()}, None, "which one"),
        ({"a": entry()}, "b", "no data set 'b'"),
        ({"a": {"action": {}}}, None, "lack 'q01'"),
        ({"a": {}}, None, "action"),
        ({"a": entry(q01=[0.0])}, None, "q01 must have 7"),
        ({"a": entry(q01=[2.0] * 7)}, None, "at most q99"),
        ({"a": entry(q99=[math.nan] * 7)}, None, "finite"),
    ],
)
def test_other_statistics_are_refused(data, dataset, message):
    with pytest.raises(ValueError, match=message):
        DatasetStatistics.from_dict(data, dataset)


def test_quantiles_become_plus_and_minus_one():
    for quantiles, sign in ((STATISTICS.proprio.q01, -1), (STATISTICS.proprio.q99, 1)):
        state, clipped = STATISTICS.normalise_state(np.array(quantiles))
        assert state[:6].tolist() == pytest.approx([sign] * 6, abs=1e-6) and not clipped
        assert state[6] == quantiles[6]


@given(turns=st.integers(-3, 3), angle=st.floats(-0.19, 0.19))
def test_whole_turns_of_an_angle_make_no_difference(turns, angle):
    state = np.array([0.3, 0.0, 0.2, math.pi + angle, 0.3, math.pi, 1.0])
    turned = state + 2 * math.pi * turns * np.array([0, 0, 0, 1, 0, 1, 0])
    np.testing.assert_allclose(STATISTICS.normalise_state(turned)[0], STATISTICS.normalise_state(state)[0], atol=1e-5)


@pytest.mark.parametrize(("index", "value", "expected"), [(0, 0.7, 1.0), (2, -0.1, -1.0), (4, 1.4, 1.0), (6, 1.2, 1.0)])
def test_a_state_out_of_range_is_clipped_and_told(index, value, expected):
    state = np.array([0.3, 0.0, 0.2, math.pi, 0.3, math.pi, 1.0])
    assert not STATISTICS.normalise_state(state)[1]
    state[index] = value
    normalised, clipped = STATISTICS.normalise_state(state)
    assert clipped and normalised[index] == expected


NARROW = {"q01": [0.5] * 7, "q99": [0.5] * 7}
STILL, MOVED = {"min": [0.5] * 7, "max": [0.5] * 7}, {"min": [0.0] * 7, "max": [1.0] * 7}


@pytest.mark.parametrize(
    ("extent", "zero_constant", "expected"),
    [({}, True, 0), (STILL, True, 0), (STILL, False, 1), (MOVED, True, 1)],
)
def test_a_dimension_that_never_changed_is_zero(extent, zero_constant, expected):
    statistics = DatasetStatistics.from_dict({"a": entry(**NARROW, **extent)})
    assert DatasetStatistics.from_dict(statistics.to_dict()) == statistics
    normalised, clipped = statistics.normalise_state(np.full(7, 0.7), zero_constant)
    assert normalised[:6].tolist() == [expected] * 6 and clipped == bool(expected)


def test_actions_come_back_in_their_units():
    action = STATISTICS.denormalise_action(np.array([[0, 1, -3, 0, 1, -1, 0.5], [0, 0, 0, 0, 0, 0, 0.49]]))
    assert action.translation[0].tolist() == pytest.approx([0, 0.04, -0.04])
    assert action.rotation[0].tolist() == pytest.approx([math.pi, 0.80, math.pi - 0.3])
    assert action.gripper.tolist() == [1, 0]


@pytest.mark.parametrize(
    "data", [[], {"a": 3}, {"a": {"action": []}}, {"a": entry(q01="0123456")}, {"a": entry(mask=3)}]
)
def test_statistics_of_another_kind_are_a_value_error(data):
    with pytest.raises(ValueError, match=r"statistics|q01|mask"):
        DatasetStatistics.from_dict(data)
