"""The attack's judge sees what breaks a rule, and a short attack finds nothing."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from tristage_ros.bench.arm.attack import Attack, Judge
from tristage_ros.bench.arm.rig import Tap

HOME = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])


def burst(stamp, joints):
    millidegrees = np.rint(np.degrees(joints) * 1000).astype(int)
    return [(stamp, 0x155 + k, struct.pack(">ii", *millidegrees[2 * k : 2 * k + 2])) for k in range(3)]


def judged(frames, ends=(), faults=(), begun=0.0, measured=()):
    tap = SimpleNamespace(frames=frames)
    tap.setpoints = lambda: Tap.setpoints(tap)
    judge = Judge()
    judge.look(SimpleNamespace(tap=tap, measured=list(measured)), list(ends), list(faults), begun)
    return judge.findings


GOOD = [frame for k in range(20) for frame in burst(0.01 * k, HOME + 0.01 * k)]


def test_a_good_stream_is_good():
    assert judged(GOOD) == []


@pytest.mark.parametrize(
    ("frames", "given", "words"),
    [
        ([*GOOD, (0.3, 0x150, bytes(8))], {}, "frame 0x150"),
        ([*GOOD, (0.3, 0x151, bytes([1, 1, 0, 0, 0, 0, 0, 0]))], {}, "mode 0101"),
        ([*GOOD, (0.3, 0x471, bytes([7, 1, 0, 0, 0, 0, 0, 0]))], {}, "motors"),
        (GOOD, {"begun": 0.05}, "before anything was enabled"),
        ([*GOOD, *burst(0.2, HOME + 0.5)], {}, "a step of"),
        ([*GOOD, *burst(0.2, HOME + np.array([3.0, 0, 0, 0, 0, 0]))], {}, "beyond a joint limit"),
        (GOOD, {"ends": [(0.05, "teach button")]}, "set-points after: teach button"),
        (
            [frame for k in range(100) for frame in burst(0.01 * k, HOME + 0.015 * k * np.array([1, 0, 0, 0, 0, 0]))],
            {"faults": [(0.0, 1.0)]},
            "a step of 0.015",
        ),
    ],
)
def test_what_breaks_a_rule_is_found(frames, given, words):
    assert any(words in finding for finding in judged(frames, **given)), judged(frames, **given)


def test_a_leap_to_where_the_arm_is_breaks_none():
    there = HOME + 0.3
    assert judged([*GOOD, *burst(0.2, there)], measured=[(0.2, there)]) == []


@pytest.mark.long
def test_a_short_attack_finds_nothing():
    attack = Attack(seed=3)
    attack.run(12.0, lambda line: None)
    assert attack.judge.findings == [] and attack.judge.frames > 500
