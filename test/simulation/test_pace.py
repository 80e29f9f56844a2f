"""How slowly simulated time passes: chosen from what was measured, raised when it was too little, never lowered."""

import pytest

from tristage_ros.simulation.pace import MOST, Demands, Pace

DEMANDS = Demands(frame_rate=15.0, max_age=0.5)


def paced(drawing, ages, pace=None):
    pace = pace or Pace(DEMANDS)
    for _ in range(15):
        pace.drew(drawing)
    for age in ages:
        pace.acted(age)
    return pace


@pytest.mark.parametrize(
    ("drawing", "age", "dilation"),
    [
        (0.012, 0.12, 1.0),  # nothing else to do
        (0.030, 0.29, 1.0),
        (0.100, 0.20, 2.5),  # draws for 0.1 s, of 0.7 of 0.17
        (0.030, 0.60, 3.0),  # 0.4 of 1.5 s
        (0.030, 0.61, 3.5),
        (9.0, 9.0, MOST),
    ],
)
def test_it_is_chosen_once_enough_was_measured(drawing, age, dilation):
    pace = paced(drawing, [age] * 4)
    assert not pace.look() and not pace.settled and "until it is known" in pace.in_words()
    pace.acted(age)
    assert pace.look() == (dilation > 1.0) and pace.settled and pace.dilation == dilation
    assert (f"{dilation:g} times slower" in pace.in_words()) == (dilation > 1.0)
    assert not pace.look()


def test_one_slow_step_while_everything_starts_means_nothing():
    pace = paced(0.02, [3.0, 0.15, 0.14, 0.9, 0.13])
    assert not pace.look() and pace.settled and pace.dilation == 1.0


def test_where_times_vary_the_longest_leaves_room_as_well():
    pace = paced(0.02, [0.5, 0.5, 0.5, 0.5, 1.5])
    assert pace.look() and pace.dilation == 5.0  # 0.6 of 2.5 s


def test_without_actions_nothing_is_known():
    pace = paced(0.02, [float("nan"), float("inf"), -1.0])
    assert not pace.look() and not pace.settled


def test_it_is_raised_before_an_observation_is_too_old_and_never_lowered():
    pace = paced(0.03, [0.4] * 5)
    assert pace.look() and pace.dilation == 2.0
    assert not paced(0.03, [0.7], pace).look()
    assert paced(0.03, [0.81], pace).look() and pace.dilation == 4.0  # the arm refuses what is 1 s old
    assert paced(0.28, [0.3], pace).look() and pace.dilation > 4.0  # 15 frames in 4 s: one takes longer than its time
    before = pace.dilation
    for _ in range(5):
        assert not paced(0.01, [0.1], pace).look()
    assert pace.dilation == before


def test_where_nothing_comes_through_it_doubles_up_to_the_most():
    pace = paced(0.02, [])
    assert [pace.dilation for _ in range(4) if pace.stuck()] == [2.0, 4.0, 8.0, 16.0]
    assert pace.stuck() and pace.dilation == MOST and not pace.stuck()
    assert not pace.settled
    paced(0.02, [1.0] * 5, pace).look()
    assert pace.settled and pace.dilation == MOST
