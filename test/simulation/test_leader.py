"""The emulated leader: what its firmware says in that role, what it keeps when it is switched off, and the hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.config import ControllerConfig
from tristage_ros.devices.arm.site import load_site
from tristage_ros.devices.arm.values import CommandSource, LeadState
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource
from tristage_ros.simulation.controller import Controller
from tristage_ros.simulation.demonstrator import Demonstrator
from tristage_ros.simulation.frames import Frame
from tristage_ros.simulation.hand import DRIFT, LEAST, TREMOR, Hand
from tristage_ros.simulation.leader import HandHeld
from tristage_ros.simulation.scene import HOME

TICK = 0.005  # s
LEADING = [0x151, 0x155, 0x156, 0x157, 0x159]


def role(kind: int, feedback: int = 0, control: int = 0, leads: int = 0) -> Frame:
    return Frame(0x470, bytes([kind, feedback, control, leads, 0, 0, 0, 0]))


def ids(arm: Controller) -> list[int]:
    arm.step(TICK)
    return [frame.id for frame in arm.feedback(with_health=False)]


def arm(software: str = "S-V1.8-9") -> Controller:
    return Controller(HandHeld(Hand(HOME, 0.07)), software)


def test_a_role_is_kept_and_a_leader_follows_only_after_it_was_switched_off() -> None:
    leader = arm()
    assert 0x2A5 in ids(leader)
    assert leader.handle(role(0xFA)) == [], "it does not acknowledge"
    assert ids(leader) == LEADING
    leader.restart()
    assert ids(leader) == LEADING
    leader.handle(Frame(0x150, b"\2" + bytes(7)))
    assert ids(leader) == LEADING, "a reset is not enough"
    leader.handle(role(0xFC))
    assert ids(leader) == LEADING
    leader.restart()
    assert 0x2A5 in ids(leader) and 0x155 not in ids(leader)


def test_some_firmware_tells_of_itself_by_other_ids_once_it_was_a_leader() -> None:
    former = arm("S-V1.8-2")
    former.handle(role(0xFA))
    former.handle(role(0xFC))
    former.restart()
    assert {0x3A1, 0x3A5, 0x3A6, 0x3A7} <= set(ids(former)) and 0x2A5 not in ids(former)


def test_ids_are_shifted_as_0x470_says() -> None:
    shifted = arm()
    shifted.handle(role(0xFC, 0x10, 0x20))
    assert {0x2B1, 0x2B5} <= set(ids(shifted)) and 0x2A5 not in ids(shifted)
    enable = bytes([1, 1, 50, 0, 0, 0, 0, 0])
    shifted.handle(Frame(0x151, enable))
    assert shifted._mode.control == 0, "it does not hear the usual ids any more"
    shifted.handle(Frame(0x171, enable))
    assert shifted._mode.control == 1
    shifted.handle(role(0xFA, 0, 0, 0x10))
    assert ids(shifted) == [identifier + 0x10 for identifier in LEADING]


def test_a_leader_that_is_silent_at_rest_says_where_it_is_once() -> None:
    leader = arm()
    leader.handle(role(0xFA))
    leader.silent_at_rest, leader.tells_gripper = True, False
    hand = leader.plant.hand
    assert ids(leader) == LEADING[:-1], "a hand that has it is never still"
    hand.held = False
    ids(leader)
    assert ids(leader) == ids(leader) == []
    hand.reach(HOME + 0.1)
    assert sum(bool(ids(leader)) for _ in range(200)) > 50


def test_a_hand_reaches_late_and_smoothly_and_trembles() -> None:
    hand, places = Hand(HOME, 0.07, seed=3), []
    goal = HOME + np.array([0.4, -0.2, 0.1, 0.0, 0.0, 0.0])
    hand.reach(goal)
    hand.grasp(0.0)
    for _ in range(600):
        hand.pass_time(TICK)
        places.append(hand.position)
    assert not hand.busy and hand.opening == 0.0
    assert np.abs(places[20] - HOME).max() < 2 * DRIFT + 3 * TREMOR, "it has not set out within 0.1 s"
    assert np.abs(places[-1] - goal).max() < 2 * DRIFT + 3 * TREMOR
    speed = np.diff(np.array(places)[:, 0]) / TICK
    assert 0.3 < speed.max() < 0.5 and (speed > 0.05).sum() * TICK > LEAST
    rest = np.array(places)[-100:]
    assert (np.ptp(rest, axis=0) > TREMOR).all()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_scripted_hand_does_the_task_through_leader_guard_and_physics() -> None:
    mounts = load_extrinsics(resource("config", "cameras.yaml")).values()
    config = ControllerConfig(speed_scale=0.5, guard=load_site().guard(mounts))
    with Rig(config, led=True, task="banana", seed=1) as rig:
        person = Demonstrator(rig.cell, rig.leader)
        rig.leader.put(HOME + 0.3)
        rig.controller.set_source(CommandSource.LEADER)
        rig.enable()
        states = set()
        for now in itertools.count(0.0, 0.05):
            state = rig.state()
            states.add(state.lead.state)
            if person.act(now, state.lead.state):
                rig.controller.engage_leader()
            if rig.cell.success():
                break
            assert now < 120.0, f"{person.stage}: {state.mode.name} {state.reason} {state.lead.words}"
            rig.until(lambda later, stamp=state.stamp: later.stamp > stamp + 0.05)
    assert {LeadState.TOO_FAR, LeadState.LEADING} <= states
