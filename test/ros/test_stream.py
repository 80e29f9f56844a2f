"""How a stream is judged by its stamps."""

import pytest

from tristage_ros.ros.diagnostics import ERROR, OK, WARN, Stream, StreamLimits

LIMITS = StreamLimits(rate=10.0, max_age=0.5, max_loss=0.3, silent_after=5.0)


def fed(*stamps):
    stream = Stream(LIMITS)
    for stamp in stamps:
        stream.add(stamp)
    return stream


def every(period, count, start=100.0):
    return [start + period * k for k in range(count)]


@pytest.mark.parametrize(
    ("stamps", "now", "level", "words"),
    [
        ([], 100.0, WARN, "no frame yet"),
        (every(0.1, 30), 103.0, OK, "10.0 Hz"),
        (every(0.125, 24), 103.0, OK, "8.0 Hz"),  # 20 % are lost: allowed
        (every(0.2, 15), 103.0, WARN, "50% of the frames are lost: 5.0 of 10 Hz"),
        (every(0.1, 30), 104.0, WARN, "no frame for 1.1 s"),
        (every(0.1, 30), 110.0, ERROR, "no frame for 7.1 s"),
        ([100.0] * 30, 100.7, WARN, "no frame for 0.7 s"),  # a frozen camera
    ],
)
def test_levels_follow_the_limits(stamps, now, level, words):
    part = fed(*stamps).part(now)
    assert (part.level, part.message) == (level, words)


def test_a_complaint_is_a_warning_beside_good_stamps():
    part = fed(*every(0.1, 30)).part(103.0, "wrong size", refused=3)
    assert (part.level, part.message, part.values["refused"]) == (WARN, "wrong size", 3)


def test_only_the_last_seconds_count():
    stream = fed(*every(1.0, 20), *every(0.1, 60, start=120.0))
    assert stream.rate == pytest.approx(10.0)
    assert stream.loss == pytest.approx(0.0, abs=1e-9)


def test_a_bag_that_starts_again_begins_anew():
    stream = fed(*every(0.1, 30, start=500.0), *every(0.2, 5, start=100.0))
    assert stream.rate == pytest.approx(5.0)
    assert stream.age(100.9) == pytest.approx(0.1)
