import itertools

import pytest
from rclpy.time import Time

from tristage_ros.nodes.arm.authority import SetClock


class Clocks:
    """A monotonic clock in the test's hands, and one that is set."""

    def __init__(self):
        self.monotonic, self.ahead = 50.0, 1000.0

    def read(self, clock):
        return clock.offset(
            lambda: Time(nanoseconds=round((self.monotonic + self.ahead) * 1e9)), lambda: self.monotonic
        )


@pytest.mark.parametrize(("change", "words"), [(0.3, "set by +0.300 s"), (-0.3, "set by -0.300 s")])
def test_stamps_mean_nothing_for_a_while_after_the_clock_was_set(change, words):
    clocks, clock = Clocks(), SetClock(0.5)
    assert clocks.read(clock) == pytest.approx(1000.0) and clock.complaint(50.0) == ""
    clocks.ahead += change
    clocks.monotonic += 0.02
    assert clocks.read(clock) == pytest.approx(1000.0 + change)
    assert words in clock.complaint(50.1)
    assert clock.complaint(50.6) == ""


def test_slewing_is_not_setting():
    clocks, clock = Clocks(), SetClock(0.5)
    for _ in range(1000):
        clocks.ahead += 1e-5
        clocks.monotonic += 0.02
        clocks.read(clock)
    assert clock.complaint(clocks.monotonic) == ""


def test_a_reading_that_was_interrupted_is_made_again():
    """The process sleeps for 0.1 s between the two clocks, once."""
    monotonic = itertools.chain([50.0, 50.1], itertools.repeat(50.1))
    ros = itertools.chain([1050.1], itertools.repeat(1050.1))
    clock = SetClock(0.5)
    offset = clock.offset(lambda: Time(nanoseconds=round(next(ros) * 1e9)), lambda: next(monotonic))
    assert offset == pytest.approx(1000.0)
