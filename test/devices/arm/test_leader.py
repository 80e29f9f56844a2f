"""A second Piper at the wire: the real SDK on both buses, the firmware of both emulated."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator

import can
import numpy as np
import pytest

from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.config import ControllerConfig
from tristage_ros.devices.arm.guard import GuardConfig
from tristage_ros.devices.arm.leader import PiperLeader
from tristage_ros.devices.arm.values import ArmMode, CommandSource, LeadState
from tristage_ros.simulation.frames import Frame
from tristage_ros.simulation.leader import EmulatedLeader

# a computer under load schedules late; these tests are about what happens, not about when
CONFIG = ControllerConfig(guard=GuardConfig(stale_after=0.2, gap_after=0.8, lost_after=1.2, command_timeout=0.3))
_channels = itertools.count()


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig(CONFIG, led=True) as rig:
        wire, heard = rig.leader.firmware.wire, []
        pass_on = wire.up
        wire.up = lambda frames: heard.extend(frames) or pass_on(frames)
        yield rig
        steps = np.diff(rig.tap.setpoints()[:, 1:], axis=0)
        assert np.abs(steps).max(initial=0.0) <= CONFIG.guard.max_velocity * 0.02 + 1e-4
        assert heard == [], "a leader is sent nothing"


def swung(rig: Rig, joint: int, angle: float) -> np.ndarray:
    return rig.leader.position + angle * np.eye(6)[joint]


def test_a_leader_half_a_radian_away_leads_nothing_until_it_is_brought_near(rig: Rig) -> None:
    leader = rig.leader
    leader.put(swung(rig, 0, 0.5))
    rig.controller.set_source(CommandSource.LEADER)
    rig.enable()
    rig.until(lambda state: state.lead.state is LeadState.TOO_FAR)
    done, words = rig.controller.engage_leader()
    assert not done and "joint 1 by -0.50 rad" in words
    assert rig.state().lead.missing[0] == pytest.approx(0.5, abs=0.01)
    leader.reach(rig.state().position)
    rig.until(lambda state: state.lead.state is LeadState.READY)
    assert np.ptp(rig.tap.setpoints()[:, 1:], axis=0).max() < 1e-3
    assert rig.controller.engage_leader()[0]
    rig.until(lambda state: state.lead.state is LeadState.LEADING)
    leader.reach(swung(rig, 0, 0.4))
    rig.until(lambda state: abs(state.position[0] - leader.position[0]) < 0.05 and not leader.busy)
    assert rig.state().lead.led.gripper == pytest.approx(0.07, abs=1e-3)


def test_a_leader_that_falls_silent_while_it_is_still_goes_on_where_it_was(rig: Rig) -> None:
    leader = rig.leader
    leader.controller.silent_at_rest, leader.controller.tells_gripper, leader.hand.held = True, False, True
    rig.lead()
    leader.hand.held = False
    rig.until(lambda state: "silent for" in state.lead.words and state.mode is ArmMode.HOLDING)
    assert rig.state().lead.state in (LeadState.CATCHING_UP, LeadState.LEADING)
    leader.reach(swung(rig, 1, 0.2))
    rig.until(lambda state: not leader.busy and abs(state.position[1] - leader.position[1]) < 0.05)
    assert rig.state().mode is not ArmMode.FAULT


def test_a_leader_that_jumps_is_left_and_the_arm_stays(rig: Rig) -> None:
    rig.lead()
    rig.until(lambda state: state.lead.state is LeadState.LEADING)
    before = rig.state().target
    rig.leader.put(swung(rig, 2, -1.0))
    rig.until(lambda state: state.lead.state is LeadState.TOO_FAR)
    assert re.search(r"joint 3 of the leader jumped by -1\.0", rig.state().lead.words)
    time.sleep(0.3)
    assert np.abs(rig.state().target - before).max() < 0.02 and rig.state().mode is ArmMode.HOLDING


def test_an_adapter_that_is_pulled_out_in_motion_is_named_and_looked_for_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.lead()
    rig.leader.reach(swung(rig, 0, 0.6))
    rig.until(lambda state: state.mode is ArmMode.MOVING)
    whole = can.BusABC.recv

    def pulled(bus: can.BusABC, timeout: float | None = None) -> can.Message | None:
        if threading.current_thread().name == "leader":
            raise can.CanOperationError("Network is down")
        return whole(bus, timeout)

    monkeypatch.setattr(can.BusABC, "recv", pulled)
    rig.until(lambda state: state.lead.state is LeadState.NOT_LEADING)
    assert "the leader's adapter" in rig.state().lead.words and "Network is down" in rig.state().lead.words
    rig.until(lambda state: state.mode is ArmMode.HOLDING)
    rest = rig.state().target
    monkeypatch.undo()
    rig.leader.reach(rest)
    rig.until(lambda state: state.lead.state is LeadState.READY)
    assert np.array_equal(rig.state().target, rest), "what is plugged in again leads nothing by itself"
    assert rig.controller.engage_leader()[0]


@pytest.fixture
def alone() -> Iterator[Callable[..., tuple[PiperLeader, EmulatedLeader]]]:
    opened: list[PiperLeader | EmulatedLeader] = []

    def listen(many: int = 1) -> tuple[PiperLeader, EmulatedLeader]:
        channel = f"alone-{next(_channels)}"
        place = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])
        leaders = [EmulatedLeader("virtual", channel, place + 0.3 * k, seed=k) for k in range(many)]
        opened.extend(leaders)
        for each in leaders:
            each.start()
        listener = PiperLeader("virtual", channel)
        listener.start()
        opened.append(listener)
        return listener, leaders[0]

    yield listen
    for each in reversed(opened):
        each.close()


def until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_leaders_on_one_bus_are_told(alone: Callable) -> None:
    listener, _ = alone(2)
    until(listener.complaint)
    assert "two leaders are on alone-" in listener.complaint()


def test_a_leader_that_is_a_follower_is_told_and_one_that_became_one_needs_a_restart(alone: Callable) -> None:
    listener, leader = alone()
    until(listener.newest)
    assert listener.complaint() == ""
    leader.firmware.obey(Frame(0x470, bytes([0xFC, 0, 0, 0, 0, 0, 0, 0])))
    time.sleep(0.7)
    assert listener.complaint() == "", "until it is switched off and on it leads"
    leader.firmware.restart()
    until(lambda: "is a follower" in listener.complaint())
    assert "MasterSlaveConfig(0xFA, 0, 0, 0)" in listener.complaint()
    leader.firmware.obey(Frame(0x470, bytes([0xFA, 0, 0, 0, 0, 0, 0, 0])))
    leader.firmware.restart()
    until(lambda: not listener.complaint())


def test_an_adapter_that_is_not_there_is_told_with_the_command(tmp_path) -> None:
    listener = PiperLeader("socketcan", "can77")
    listener.start()
    until(listener.complaint)
    assert "there is no CAN interface can77" in listener.complaint()
    listener.close()
