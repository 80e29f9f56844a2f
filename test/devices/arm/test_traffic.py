"""Who speaks on a bus by the ids that are heard, and which frames still tell of now after a stand-still."""

from __future__ import annotations

import time
from collections.abc import Iterator

import can
import numpy as np
import pytest

from tristage_ros.devices.arm.traffic import Backlog, Traffic, beside, group_rates, ids, masters, role

USUAL = {*range(0x2A1, 0x2A9), *range(0x251, 0x257), *range(0x261, 0x267)}


def test_ids_in_words() -> None:
    assert ids([0x151, 0x157, 0x155, 0x156]) == "0x151, 0x155 to 0x157"
    assert ids([]) == ""


def test_an_arm_that_is_understood_has_no_other_role() -> None:
    assert role(USUAL) == role(USUAL | {0x155, 0x156, 0x157}) == role([]) == ""
    assert "shifted ids (0x2C1 to 0x2C8 instead" in role([k + 0x20 for k in range(0x2A1, 0x2A9)])
    assert "role of a leader" in role([0x151, 0x155, 0x156, 0x157])
    assert role([0x155]) == ""  # a single frame is no leader
    assert beside(USUAL) == "" and "another arm" in beside(USUAL | {0x3A5, 0x3A6, 0x3A7})


def test_rates_are_those_of_whole_groups_and_of_masters() -> None:
    traffic = Traffic(0.0)
    for tick in range(120):
        for identifier in USUAL - {0x253}:
            traffic.note(identifier, 0.005 * tick)
        traffic.note(0x155, 0.005 * tick)
        traffic.sent()
    rates = group_rates(traffic.rates)
    assert rates["joint positions"] == pytest.approx(200.0, rel=0.02)
    assert rates["efforts"] == 0.0
    assert masters(traffic.rates) == "0x155, 200 frames/s"
    assert traffic.load == pytest.approx(125 * 200 * 21 / 1e6, rel=0.03)
    traffic.note(None, 1.5)
    traffic.note(None, 2.5)
    assert traffic.rates == {} and traffic.frames_per_second == 0.0


@pytest.fixture
def buses() -> Iterator[tuple[can.BusABC, can.BusABC]]:
    pair = can.Bus(interface="virtual", channel="backlog"), can.Bus(interface="virtual", channel="backlog")
    yield pair
    for bus in pair:
        bus.shutdown()


@pytest.mark.parametrize(
    ("stood_still", "waiting", "old"),
    [(-9.0, 300, 0), (20.0, 300, 300), (20.0, 20, 0)],  # the last: frames that come seldom
)
def test_what_waited_for_long_does_not_tell_of_now(buses, stood_still: float, waiting: int, old: int) -> None:
    ours, arm = buses
    for k in range(waiting):
        arm.send(can.Message(arbitration_id=0x2A5, data=k.to_bytes(8, "big"), is_extended_id=False))
    backlog = Backlog(ours, time.monotonic() - stood_still)
    before, new = backlog.receive(0.1)
    assert len(before) == old
    numbers = [int.from_bytes(message.data, "big") for message in new]
    assert numbers == (list(range(old, waiting)) if stood_still > 0.0 else [0])
    if stood_still > 0.0:
        assert backlog.receive(0.0) == ([], [])


def test_after_a_stand_still_the_joints_are_those_of_now(arm, driver, monkeypatch, wait_until) -> None:
    """A reader that was held up for 0.3 s finds 900 frames, the oldest first."""
    note, taken, held = driver._note, [], []

    def hold_up(identifier: int, now: float) -> None:
        note(identifier, now)
        if not held:
            held.append(now)
            time.sleep(0.15)
            arm.position = arm.position + 0.2
            time.sleep(0.15)
        elif identifier == 0x2A7:
            taken.append(driver.read().position[0])

    began = arm.position[0]
    monkeypatch.setattr(driver, "_note", hold_up)
    wait_until(lambda: len(taken) > 3)
    np.testing.assert_allclose(taken[:3], began + 0.2, atol=1e-4)
