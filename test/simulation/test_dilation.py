"""A cell whose time passes more slowly: the same motion, more seconds of the clock, and no jump when that changes."""

from __future__ import annotations

import time

import can
import numpy as np
import pytest

from tristage_ros.bench.arm.rig import Rig
from tristage_ros.devices.arm.clock import DILATION_FRAME, told_dilation
from tristage_ros.devices.arm.values import ArmMode, ChunkState
from tristage_ros.resources import resource
from tristage_ros.simulation.arm import TIME_STEP
from tristage_ros.simulation.cell import Cell, CellConfig
from tristage_ros.simulation.firmware import HEALTH_EVERY, RATE, Firmware


class Steps:
    """A controller that adds up how far it is stepped."""

    def __init__(self) -> None:
        self.passed: list[float] = []

    def step(self, time_step: float) -> None:
        self.passed.append(time_step)

    def feedback(self, with_health: bool) -> list:
        return []


@pytest.fixture
def ticking():
    """Return a firmware without a thread, its controller, and who else is on the bus."""
    bus, ear = (can.Bus(interface="virtual", channel="dilation") for _ in range(2))
    steps = Steps()
    firmware = Firmware(steps, bus)
    yield firmware, steps, ear
    bus.shutdown()
    ear.shutdown()


@pytest.mark.parametrize("dilation", [1.0, 1.5, 2.0, 3.3, 7.0, 20.0])
def test_every_tick_is_a_share_of_a_period_in_whole_steps(ticking, dilation: float) -> None:
    firmware, steps, _ = ticking
    firmware.dilate(dilation)
    for _ in range(2000):
        firmware.tick()
    assert sum(steps.passed) == pytest.approx(2000 / RATE / dilation, abs=TIME_STEP)
    shares = np.array(steps.passed) / TIME_STEP
    assert np.abs(shares - np.rint(shares)).max() < 1e-9 and shares.max() <= 2.0 / dilation + 1.0


def test_missed_ticks_are_caught_up_where_time_is_slow(ticking) -> None:
    firmware, steps, _ = ticking
    firmware.tick(missed=3)
    assert steps.passed == [1 / RATE]  # in real time it falls behind
    firmware.dilate(2.0)
    firmware.tick(missed=3)
    assert sum(steps.passed[1:]) == pytest.approx(4 / RATE / 2.0)


def test_the_bus_hears_of_it_and_of_nothing_in_real_time(ticking) -> None:
    firmware, _, ear = ticking

    def told() -> list[float | None]:
        for _ in range(HEALTH_EVERY):
            firmware.tick()
        heard = []
        while (message := ear.recv(0)) is not None:
            heard.append((message.arbitration_id, told_dilation(bytes(message.data))))
        assert all(identifier == DILATION_FRAME for identifier, _ in heard)
        return [dilation for _, dilation in heard]

    assert told() == []
    firmware.dilate(2.5)
    assert told() == [2.5]
    firmware.dilate(1.0)
    assert told() == [1.0]  # who has slowed down has to hear it


def test_time_on_a_bus_that_leaves_this_computer_is_real(monkeypatch) -> None:
    monkeypatch.setitem(can.interfaces.BACKENDS, "pcan", ("can.interfaces.virtual", "VirtualBus"))
    config = CellConfig(str(resource("config", "cameras.yaml")), can_interface="pcan", can_channel="dilation-real")
    cell = Cell(config, can.Bus(interface="virtual", channel="dilation-real"))
    with pytest.raises(ValueError, match="a real arm may be there"):
        cell.dilate(2.0)
    cell.close()


def test_a_motion_goes_on_without_a_jump_and_its_speed_is_one_of_simulated_seconds() -> None:
    with Rig() as rig:
        rig.enable()
        start, top = rig.state().target, rig.controller.config.motion.velocity
        rig.cell.dilate(4.0)
        rig.until(lambda state: state.dilation == 4.0)
        begin, slow = time.monotonic(), len(rig.tap.setpoints())
        accepted, why = rig.submit((0.0, 0.0, 0.06))
        assert accepted, why
        rig.until(lambda state: np.abs(state.target - start).max() > 0.05)
        reached = np.abs(rig.tap.setpoints()[slow:, 1:] - start).max()
        assert reached / (time.monotonic() - begin) < top / 4.0
        rig.cell.dilate(1.5)  # on its way
        rig.until(lambda state: state.dilation == 1.5)
        rig.until(lambda state: state.chunk_state is not ChunkState.EXECUTING)
        state, sent = rig.state(), rig.tap.setpoints()
        assert state.mode is ArmMode.HOLDING and state.chunk_state is ChunkState.REACHED, state.reason
        assert np.abs(state.target - state.position).max() < 0.02
        assert np.abs(np.diff(sent[:, 1:], axis=0)).max() < rig.controller.config.guard.max_velocity * 0.02
