"""The verdict on an episode: every fault is named with its figure, and nothing is where all is well."""

import math

import pytest

from tristage_ros.bags.episodes.judging import OWN_LIMITS, nominal_rates
from tristage_ros.bags.episodes.verdict import Verdict

COLOUR, NAME, RATE = "/front/color/image_raw", "front colour", 15.0
MIDDLE = (0.0, 1.2, -1.1, 0.0, 0.9, 0.0)
OFFSET = 1.7e9  # s, from the clock of arrivals to that of the stamps


def watched():
    return Verdict({COLOUR: (NAME, RATE)}, OWN_LIMITS, 0.0)


def run(verdict, seconds=10.0, *, begin=0.0, rate=RATE, checksum=None, joints=None, stamp=lambda t: t + OFFSET):
    """Let a camera and an arm speak; `joints`, `checksum` and `stamp` may depend on the time."""
    frames = round(seconds * rate)
    for frame in range(frames):
        t = begin + frame / rate
        if joints:
            verdict.joints(joints(t), t + OFFSET, t)
        verdict.image(COLOUR, stamp(t), t + 0.02, checksum(t) if checksum else frame + 1)
    return begin + frames / rate


def complaints(verdict, now, about=NAME):
    return [line for line in verdict.complaints(now) if line.startswith(about)]


def moving(t):
    return (*MIDDLE[:5], 0.5 * math.sin(t))


def test_nothing_is_said_of_an_episode_in_which_all_is_well():
    verdict = watched()
    end = run(verdict, joints=moving)
    assert verdict.complaints(end) == []
    assert verdict.images[COLOUR].rate == pytest.approx(RATE, rel=1e-3)


def test_jitter_and_a_burst_after_a_stall_of_the_reader_are_no_faults():
    verdict = watched()
    for frame in range(150):
        t = frame / RATE + 0.015 * (-1) ** frame
        late = max(t, 3.9) if 3.0 < t < 3.9 else t  # the reader stood still; then all of it came at once
        verdict.joints(moving(t), t + OFFSET, late)
        verdict.image(COLOUR, t + OFFSET, late, frame + 1)
    assert verdict.complaints(10.0) == []


def test_a_camera_below_its_rate_is_told_with_the_lowest_rate():
    verdict = watched()
    end = run(verdict, 6.0)
    end = run(verdict, 6.0, begin=end, rate=11.5)
    end = run(verdict, 6.0, begin=end)
    (line,) = complaints(verdict, end)
    assert line == f"{NAME}: down to 11.5 of 15 Hz", "it stays said after the camera has recovered"


@pytest.mark.parametrize("rate", [7.4, 10.0])
def test_a_camera_that_is_slow_as_a_whole_drops_nothing(rate):
    verdict = watched()
    end = run(verdict, 10.0, rate=rate)
    assert verdict.complaints(end)[0] == f"{NAME}: down to {rate:.1f} of 15 Hz"
    assert verdict.images[COLOUR].dropped <= 5, "before its own rate was known"


def test_dropped_frames_are_counted_by_their_stamps():
    verdict = watched()
    for frame in range(300):
        if frame not in (100, 101, 102, 200):
            verdict.image(COLOUR, frame / RATE + OFFSET, frame / RATE, frame + 1)
    (line,) = complaints(verdict, 300 / RATE)
    assert line == f"{NAME}: 4 of 300 frames dropped, 0.27 s at most"


def test_a_camera_that_falls_silent_and_one_that_never_spoke():
    verdict = watched()
    assert complaints(verdict, 0.5) == []
    assert complaints(verdict, 2.0) == [f"{NAME}: no image within 2.0 s"]
    run(verdict, 3.0)
    assert complaints(verdict, 5.5) == [f"{NAME}: nothing for 2.5 s"]


def test_a_camera_is_frozen_when_its_image_stays_while_the_arm_moves():
    verdict = watched()
    frozen = lambda t: 7 if 3.0 <= t < 6.0 else round(1e6 * t) + 9  # noqa: E731
    end = run(verdict, joints=moving, checksum=frozen)
    (line,) = complaints(verdict, end)
    assert line == f"{NAME}: frozen: the same image 45 times in 2.9 s while the arm moved"


def test_a_scene_in_which_nothing_moves_is_not_frozen():
    verdict = watched()
    end = run(verdict, joints=lambda t: MIDDLE, checksum=lambda t: 7)
    assert complaints(verdict, end) == []
    end = run(verdict, 4.0, begin=end, joints=moving, checksum=lambda t: 7)
    assert "frozen" in complaints(verdict, end)[0], "the same image still, and now the arm moves"


def test_without_joints_an_image_that_stays_is_told_all_the_same():
    verdict = watched()
    end = run(verdict, 4.0, checksum=lambda t: 7)
    assert complaints(verdict, end) == [f"{NAME}: frozen: the same image 60 times in 3.9 s"]


def test_a_clock_that_jumps_is_told_in_either_direction_and_is_no_dropped_frame():
    back, forward = watched(), watched()
    end = run(back, stamp=lambda t: t + OFFSET - (3600.0 if t > 5.0 else 0.0), joints=moving)
    assert complaints(back, end) == [f"{NAME}: the clock jumped: stamps 3599.93 s backwards"]
    assert back.images[COLOUR].rate == pytest.approx(RATE, rel=0.01), "told of what came after the jump"
    end = run(forward, stamp=lambda t: t + OFFSET + (3600.0 if t > 5.0 else 0.0), joints=moving)
    assert complaints(forward, end) == [f"{NAME}: the clock jumped: stamps 3600.00 s forward"]


def test_a_rate_that_is_told_late_counts_from_the_beginning():
    verdict = watched()
    end = run(verdict, 6.0, rate=5.0, joints=moving)
    assert complaints(verdict, end)
    verdict.images[COLOUR].expect(5.0)
    end = run(verdict, 6.0, rate=5.0, begin=end, joints=moving)
    assert complaints(verdict, end) == []


def test_stamps_that_tremble_by_a_millisecond_are_no_jump():
    verdict = watched()
    for k in range(500):
        t = k / 50
        verdict.joints(moving(t), t + OFFSET - 0.021 * (k % 7 == 6), t)
    assert complaints(verdict, 10.0, "joint states") == []


def test_what_is_wrong_with_several_streams_is_said_once():
    verdict = Verdict({COLOUR: (NAME, RATE), "/front/depth": ("front depth", RATE)}, OWN_LIMITS, 0.0)
    assert f"{NAME}, front depth: no image within 2.0 s" in verdict.complaints(2.0)


def test_a_joint_at_its_limit_is_told_with_the_time_there():
    verdict = watched()
    low = OWN_LIMITS[1][0]
    end = run(verdict, joints=lambda t: (0.0, low + 0.01 if 2.0 < t < 4.0 else 1.0, *MIDDLE[2:]))
    (line,) = complaints(verdict, end, "joint2")
    assert line == "joint2: at its lower limit of 0 rad for 1.9 s"


def test_a_silent_leader_lost_messages_and_a_full_disk_are_told():
    verdict = watched()
    verdict.leader(0.2)
    assert complaints(verdict, 0.0, "leader") == []
    verdict.leader(1.3)
    verdict.leader(0.0)
    assert complaints(verdict, 0.0, "leader") == ["leader: silent for 1.3 s"]
    verdict.lost(12)
    assert complaints(verdict, 0.0, "recorder") == [
        "recorder: 12 messages dropped, the disk or the processor is too slow"
    ]
    verdict.disk(200e6, 2e6)
    assert complaints(verdict, 0.0, "disk") == ["disk nearly full: 200 MB left to write, 100 s at 2.0 MB/s"]
    verdict.disk(200e9, 2e6)
    assert complaints(verdict, 0.0, "disk") == []


def test_the_nominal_rate_of_a_camera_is_its_own():
    parameters = {
        "front": {"rgb_camera.color_profile": "640x480x30", "depth_module.depth_profile": "640,480,15"},
        "simulation": {"frame_rate": 10.0},
        "side": {"rgb_camera.color_profile": "as it likes"},
    }
    assert nominal_rates(parameters, ["front", "wrist", "side"]) == {"front": 15.0, "wrist": 10.0, "side": 10.0}
    assert nominal_rates({}, ["front"], 20.0) == {"front": 20.0}
