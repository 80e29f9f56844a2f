"""Time that passes more slowly: for an emulated arm alone, without a jump, and for whatever is told in seconds."""

from __future__ import annotations

import time
from dataclasses import replace

import can
import numpy as np
import pytest

from tristage_ros.devices.arm.clock import DILATION_FRAME, ArmClock, dilation_data, is_emulated, told_dilation
from tristage_ros.devices.arm.controller import ArmController, ControllerConfig
from tristage_ros.devices.arm.piper import PiperDriver
from tristage_ros.devices.arm.values import ActionChunk

CONFIG = ControllerConfig()
SLOWLY = ((DILATION_FRAME, dilation_data(4.0)),)


class Hand:
    """A monotonic clock in the test's hands."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_dilation_it_is_the_monotonic_clock() -> None:
    hand = Hand()
    clock = ArmClock(hand)
    assert clock.now() == clock.at(100.0) == clock.monotonic(100.0) == 100.0 and clock.dilation == 1.0
    assert clock.at(-np.inf) == -np.inf and np.isnan(clock.monotonic(np.nan))


def test_it_never_jumps_and_old_stamps_keep_their_time() -> None:
    hand = Hand()
    clock, told = ArmClock(hand), []
    for dilation in (4.0, 10.0, 1.0, *(2.0, 3.0) * 50):
        hand.now += 1.0
        before = clock.now()
        clock.dilate(dilation)
        assert clock.now() == pytest.approx(before, abs=1e-9)
        hand.now += 1.0
        assert clock.now() - before == pytest.approx(1.0 / dilation)
        told.append((hand.now, clock.now()))
    for monotonic, arm in told[-30:]:  # the farther ones were long ago
        assert clock.at(monotonic) == pytest.approx(arm) and clock.monotonic(arm) == pytest.approx(monotonic)
    assert [arm for _, arm in told] == sorted(arm for _, arm in told)


@pytest.mark.parametrize("dilation", [0.5, 0.0, -1.0, 101.0, float("nan")])
def test_time_is_never_faster(dilation: float) -> None:
    with pytest.raises(ValueError, match="1 to 100 times slower, not"):
        ArmClock().dilate(dilation)


def test_the_frame_tells_it() -> None:
    assert told_dilation(dilation_data(3.5)) == pytest.approx(3.5)
    for other in (b"", bytes(8), b"slow" + bytes(4), b"fast" + dilation_data(3.5)[4:], b"slow" + b"\xff" * 4):
        assert told_dilation(other) is None


@pytest.mark.parametrize(
    ("bus", "emulated"),
    [
        (("virtual", "x"), True),
        (("remote", "127.0.0.1:54701"), True),
        (("remote", "10.0.0.7:54701"), False),
        (("socketcan", "can0"), False),
        (("slcan", "/dev/ttyACM0"), False),
    ],
)
def test_only_a_bus_within_this_computer_is_emulated(bus: tuple[str, str], emulated: bool) -> None:
    assert is_emulated(*bus) is emulated


def test_an_emulated_arm_slows_its_controller_down(arm, driver: PiperDriver, wait_until) -> None:
    arm.beside = SLOWLY
    wait_until(lambda: driver.clock.dilation == 4.0)
    arm.beside = ((DILATION_FRAME, b"nonsense"),)
    before = driver.clock.now()
    wait_until(lambda: driver.clock.now() > before + 0.02)
    assert driver.clock.dilation == 4.0
    driver.close()
    driver.connect()
    assert driver.clock.dilation == 1.0  # of another arm, perhaps


def test_an_adapter_cannot(arm, monkeypatch, wait_until) -> None:
    monkeypatch.setitem(can.interfaces.BACKENDS, "pcan", ("can.interfaces.virtual", "VirtualBus"))
    driver = PiperDriver("pcan", arm.channel)
    arm.beside = SLOWLY
    driver.connect()
    controller = ArmController(driver, CONFIG)
    controller.start()
    try:
        wait_until(lambda: DILATION_FRAME in driver.traffic.heard)
        before = driver.read().stamp
        wait_until(lambda: driver.read().stamp > before + 0.1)
        assert driver.clock.dilation == 1.0 and controller.snapshot().dilation == 1.0
        done, why = controller.enable()
        assert not done and "emulated arm" in why and arm.channel in why and "0x7f0" in why
        assert arm.sent_ids() <= {0x472, 0x4AF}
    finally:
        controller.close()


def test_ages_are_counted_in_the_arms_seconds(arm, driver: PiperDriver, wait_until) -> None:
    arm.beside = SLOWLY
    wait_until(lambda: driver.clock.dilation == 4.0)
    oldest = CONFIG.chunks.max_age / 5.0
    controller = ArmController(driver, replace(CONFIG, chunks=replace(CONFIG.chunks, max_age=oldest)))
    controller.start()
    try:
        assert controller.enable()[0]
        begin, clock = driver.clock.now(), driver.clock
        wait_until(lambda: clock.now() > begin + 0.6 * oldest)
        actions = np.zeros((1, 3)), np.array([[0.0, 0.0, 0.0, 1.0]]), np.ones(1)
        young = ActionChunk(clock.at(time.monotonic() - 2.0 * oldest), 0.0, *actions, frame_id="base_link")
        assert "old" not in controller.submit(young)[1]
        old = replace(young, stamp=clock.at(time.monotonic()) - 2.0 * oldest)
        assert f"old, more than {oldest}" in controller.submit(old)[1]
    finally:
        controller.close()
