"""Frames lost, exchanged and frozen on demand."""

import pytest

from tristage_ros.simulation import frames
from tristage_ros.simulation.firmware import Wire
from tristage_ros.simulation.frames import Frame


def tick(value):
    return [*frames.joint_positions([value] * 6), frames.gripper(0.05, 0.0, True), frames.acknowledge(0x471)]


def test_without_faults_everything_passes():
    wire = Wire()
    assert wire.down(tick(0.1)) == tick(0.1) and wire.up([Frame(0x155, bytes(8))]) == [Frame(0x155, bytes(8))]


def test_silence_is_in_both_directions_and_ends():
    wire = Wire()
    wire.silence(None)
    assert wire.down(tick(0.1)) == [] and wire.up(tick(0.1)) == []
    wire.silence(0)
    assert wire.down(tick(0.1)) == tick(0.1)


def test_dropping_loses_its_share_and_the_same_frames_each_time():
    first, second = ([len(wire.down(tick(0.1))) for _ in range(1000)] for wire in (drop(0.1), drop(0.1)))
    assert first == second
    assert sum(first) == pytest.approx(0.9 * 5000, rel=0.02)
    assert drop(1.0).up(tick(0.1)) == [] and drop(0.0).up(tick(0.1)) == tick(0.1)
    with pytest.raises(ValueError, match=r"0 to 1, not 1\.5"):
        drop(1.5)


def drop(share):
    wire = Wire(seed=3)
    wire.drop(share)
    return wire


def test_swapped_frames_change_places_and_lose_nothing():
    wire = Wire()
    wire.swap(0x2A6, 0x2A7)
    assert [frame.id for frame in wire.down(tick(0.1))] == [0x2A5, 0x2A7, 0x2A6, 0x2A8, 0x476]
    assert sorted(wire.down(tick(0.1))) == sorted(tick(0.1))
    wire.swap(0, 0)
    assert wire.down(tick(0.1)) == tick(0.1)


def test_frozen_frames_repeat_what_they_said_last_and_the_others_go_on():
    wire = Wire()
    wire.down(tick(0.1))
    wire.freeze()
    late = wire.down([*tick(0.2)[:3], frames.gripper(0.01, 0.0, True)])
    assert late == [*tick(0.1)[:3], frames.gripper(0.01, 0.0, True)]
    wire.freeze(())
    assert wire.down(tick(0.3)) == tick(0.3)
