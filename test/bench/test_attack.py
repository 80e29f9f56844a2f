"""The attack's judge sees what breaks a rule, and a short attack on a real arm node finds nothing."""

import math
import struct

import numpy as np
import pytest

from tristage_ros.bench.arm.attack import Attack
from tristage_ros.bench.arm.judge import Judge
from tristage_ros.bench.arm.log import Call, Log

HOME = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])
FIRST = np.eye(6)[0]
END = 12.0  # s
MODE = (0x151, bytes([1, 1, 100, 0, 0, 0, 0, 0]))


def pairs(first, joints):
    millidegrees = np.rint(np.degrees(joints) * 1000).astype(int)
    return [(first + k, struct.pack(">ii", *millidegrees[2 * k : 2 * k + 2])) for k in range(3)]


def burst(stamp, joints):
    return [(stamp, *frame) for frame in pairs(0x155, joints)]


def seen(stamp, joints):
    return [(stamp, *frame) for frame in pairs(0x2A5, joints)]


def status(stamp, mode=1, arm=0):
    return (stamp, 0x2A1, bytes([mode, arm, 0, 0, 0, 0, 0, 0]))


def answered(name, sent, took=0.01, success=True, wanted=None):
    return Call(name, sent, wanted, sent + took, success, "")


def swing(stamp):
    """Return where joint 1 is to be: it swings at 1 rad/s at most, until the eighth second."""
    return 0.5 * np.sin(2 * min(stamp, 2.5 * math.pi)) * FIRST


def good(target=swing, arm=None):
    """Return the log of an arm that was enabled after half a second and follows its set-points."""
    arm = arm or (lambda stamp: target(stamp - 0.1))
    log = Log(lives=[[0.0, math.inf, math.inf]], scales=[(0.0, 1.0)], calls=[answered("enable", 0.5)])
    ticks = np.arange(0.51, END, 0.01)
    log.up = [(0.505, *MODE), *(frame for stamp in ticks for frame in burst(stamp, HOME + target(stamp)))]
    for stamp in np.arange(0.0, END, 0.005):
        log.down += [status(stamp), *seen(stamp, HOME + arm(stamp))]
    log.statuses = [(stamp, False) for stamp in np.arange(0.0, END, 0.05)]
    return log


def judged(log):
    return Judge(log, END).findings()


def test_a_good_stream_is_good():
    log = good()
    log.calls += [answered("stop", 9.0), answered("speed_scale nan", 9.0, success=False, wanted=False)]
    assert judged(log) == []


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ((0x150, bytes([2, 0, 0, 0, 0, 0, 0, 0])), "frame 0x150"),
        ((0x151, bytes([1, 1, 0, 0, 0, 0, 0, 0])), "frame 0x151 0101"),
        ((0x471, bytes([7, 2, 0, 0, 0, 0, 0, 0])), "frame 0x471"),
        ((0x159, bytes([0, 0, 0, 0, 0, 0, 0, 0xAE])), "frame 0x159"),
        ((0x159, bytes([0, 0, 0, 0, 0, 0, 3, 0])), "frame 0x159"),
        ((0x156, bytes(8)), "torn"),
    ],
)
def test_a_frame_that_is_not_allowed_is_found(frame, words):
    log = good()
    log.up.append((11.99, *frame))
    assert any(words in finding for finding in judged(log)), judged(log)


def test_what_a_person_called_for_is_allowed():
    log = good()
    log.calls += [answered("recover", 11.9), answered("gripper_home", 11.9)]
    log.up += [(11.905, 0x150, b"\2" + bytes(7)), (11.905, 0x159, bytes([0, 0, 0, 0, 0, 0, 3, 0]))]
    assert judged(log) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log.calls.clear(), "before it was enabled"),
        (lambda log: setattr(log.calls[0], "sent", 0.6), "before it was enabled"),
        (lambda log: setattr(log.calls[0], "success", False), "enable was answered"),
        (lambda log: log.down.append((11.0, 0x151, bytes(8))), "another master"),
        (lambda log: log.down.extend(status(11.0 + 0.001 * k, mode=2) for k in range(1000)), "teaching"),
        (lambda log: log.down.extend(status(11.0 + 0.001 * k, arm=1) for k in range(1000)), "emergency stop"),
        (lambda log: log.down.append(status(11.0, mode=0)), "standby"),
        (lambda log: log.down.append((11.0, 0x263, bytes(8))), "a motor lost its power"),
        (lambda log: log.calls.append(answered("cleanup", 11.0)), "cleanup"),
        (lambda log: log.lives[0].__setitem__(slice(1, 3), [10.0, 11.0]), "the node's end"),
    ],
)
def test_a_setpoint_for_an_arm_that_is_not_ours_is_found(change, words):
    log = good()
    change(log)
    log.down.sort(key=lambda frame: frame[0])
    assert any(words in finding for finding in judged(log)), judged(log)


def test_enabling_an_arm_in_other_hands_is_found():
    log = good()
    log.down = [status(0.001 * k, mode=2) for k in range(12_000)]
    log.calls[0].sent, log.calls[0].answered = 0.5, 0.6
    assert any("before it was enabled" in finding for finding in judged(log))


STEP = [
    (lambda t: swing(t) + 0.3 * FIRST * (t > 9.0), None, "a step of"),  # at once, where the arm is not
    (lambda t: swing(t) + 0.3 * FIRST * (t > 9.0), lambda t: swing(t) + 0.3 * FIRST, "a step of"),  # nor has it paused
    (lambda t: 2.7 * FIRST * np.sin(0.7 * t), None, "beyond a joint limit"),
    (lambda t: 0.026 * FIRST * (100 * t % 100 if t % 2 < 1 else 100 - 100 * t % 100), None, "within 1 s"),
]


@pytest.mark.parametrize(("target", "arm", "words"), STEP)
def test_setpoints_that_go_too_far_or_too_fast_are_found(target, arm, words):
    found = judged(good(target, arm))
    assert any(words in finding for finding in found), found


def test_a_share_of_the_speed_is_kept():
    log = good()
    log.scales = [(0.0, 0.1)]
    assert any("within 1 s, where 0.55 rad/s" in finding for finding in judged(log))


def test_a_stream_may_begin_anew_where_the_arm_is():
    there = lambda t: swing(t) + 0.3 * FIRST * (t > 9.0)  # noqa: E731
    log = good(there, lambda t: there(t + 0.3))
    log.up = [frame for frame in log.up if not 8.9 < frame[0] < 9.0]
    assert judged(log) == []


def creeping(t):
    return swing(t) + 0.1 * max(0.0, t - 9.5) * FIRST


def test_what_creeps_in_a_fault_is_found_although_the_arm_follows():
    log = good(creeping)
    log.statuses = [(stamp, stamp > 8.5) for stamp, _ in log.statuses]
    assert any("in a fault the target of joint 1" in finding for finding in judged(log))
    log.calls.append(answered("back_off", 9.0))
    assert judged(log) == []


def test_a_target_that_stays_where_the_arm_cannot_go_is_found():
    log = good(lambda t: min(t, 5.0) * 0.1 * FIRST, lambda t: min(t, 2.0) * 0.1 * FIRST)
    assert any("for 4 s the target was more than 0.2 rad from the arm" in finding for finding in judged(log))
    log.frozen = [[0.0, math.inf]]
    assert judged(log) == []


@pytest.mark.parametrize("name", ["stop", "deactivate"])
def test_what_moves_after_a_stop_is_found(name):
    log = good(creeping)
    log.calls.append(answered(name, 8.5))
    assert any(f"after {name} the target of joint 1" in finding for finding in judged(log))


@pytest.mark.parametrize(("unslowed", "found"), [(0.0, False), (0.02, False), (0.25, True)])
def test_a_stop_that_comes_too_late_is_found(unslowed, found):
    begin = 3.0

    def target(t):
        slowing = min(max(0.0, t - begin - unslowed), 1 / 3)
        return (-0.8 * min(t, begin + unslowed) - 0.8 * (slowing - 1.5 * slowing**2)) * FIRST

    log = good(target)
    log.calls.append(answered("stop", begin))
    assert any("rad after stop at 0.8" in finding for finding in judged(log)) is found, judged(log)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log.calls.append(answered("stop", 9.0, took=0.6)), "stop was answered after 0.60 s"),
        (lambda log: log.calls.append(answered("clear_fault", 3.0, took=6.0)), "clear_fault was answered after 6.00"),
        (lambda log: log.calls.append(Call("move_home", 3.0)), "move_home was answered not at all"),
        (lambda log: log.calls.append(answered("speed_scale nan", 3.0, wanted=False)), "was done"),
        (lambda log: log.statuses.__setitem__(slice(100, 140), []), "arm/status came"),
        (lambda log: log.findings.append("the node ended by itself"), "by itself"),
    ],
)
def test_a_node_that_does_not_answer_is_found(change, words):
    log = good()
    change(log)
    assert any(words in finding for finding in judged(log)), judged(log)


def test_where_the_judge_itself_stood_still_nobody_is_late():
    log = good()
    log.calls.append(answered("stop", 9.0, took=0.8))
    log.stalls.append((9.1, 9.6))
    assert judged(log) == []


def test_a_node_that_is_not_connected_tells_nothing():
    log = good()
    log.up = [frame for frame in log.up if frame[0] < 9.0]
    log.calls += [answered("cleanup", 9.0), answered("configure", 11.5)]
    log.statuses = [each for each in log.statuses if each[0] < 9.0]
    assert judged(log) == []


@pytest.mark.serial
def test_a_short_attack_finds_nothing(ros_domain):
    attack = Attack(seed=3)
    attack.run(8.0, lambda line: None)
    assert attack.findings == [] and attack.frames > 500 and attack.moving > 10
