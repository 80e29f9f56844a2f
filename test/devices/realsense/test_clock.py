"""From a camera's clock to this machine's: jitter, offsets, steps."""

import numpy as np
import pytest

from tristage_ros.devices.realsense.capture import CameraClock

TRAVEL, PERIOD, START = 0.012, 1 / 30, 1_700_000_000.0


def feed(clock, count, *, offset=0.0, on_host_clock=True, begin=START, drift=0.0, rng=None):
    """Feed `count` frames, made from `begin` on; return (made, stamp) of each."""
    rng = rng or np.random.default_rng(0)
    result = []
    for k in range(count):
        made = begin + k * PERIOD
        arrival = made + TRAVEL + float(rng.exponential(0.004))
        device = made + offset + drift * (made - START)
        result.append((made, clock.stamp(device, arrival, on_host_clock)))
    return np.array(result)


def test_a_camera_on_the_hosts_clock_is_believed():
    clock = CameraClock()
    made, stamps = feed(clock, 50).T
    np.testing.assert_array_equal(made, stamps)
    assert not clock.mapped


@pytest.mark.parametrize("offset", [10.0, -10.0, 1e6, -START])
def test_clocks_that_are_apart_are_mapped_without_the_jitter_of_the_arrivals(offset):
    clock = CameraClock()
    made, stamps = feed(clock, 300, offset=offset)[30:].T
    assert clock.mapped
    assert clock.skew == pytest.approx(-offset, abs=0.05)
    np.testing.assert_allclose(stamps - made, TRAVEL, atol=1e-3)
    assert (np.diff(stamps) > 0).all()


def test_a_hardware_clock_is_always_mapped():
    clock = CameraClock()
    made, stamps = feed(clock, 60, on_host_clock=False)[30:].T
    assert clock.mapped
    np.testing.assert_allclose(stamps - made, TRAVEL, atol=1e-3)


def test_drifting_crystals_stay_mapped():
    clock = CameraClock()
    made, stamps = feed(clock, 30 * 120, offset=10.0, drift=50e-6)[300:].T  # two minutes at 50 ppm
    np.testing.assert_allclose(stamps - made, TRAVEL, atol=2e-3)


@pytest.mark.parametrize("step", [10.0, -10.0])
def test_a_clock_that_is_set_while_it_streams_is_followed_at_once(step):
    clock = CameraClock()
    rng = np.random.default_rng(1)
    feed(clock, 100, offset=5.0, rng=rng)
    made, stamps = feed(clock, 100, offset=5.0 + step, begin=START + 100 * PERIOD, rng=rng).T
    np.testing.assert_allclose(stamps - made, TRAVEL, atol=0.03)


def test_a_frame_that_was_held_up_keeps_its_age():
    for on_host_clock in (True, False):
        clock = CameraClock()
        feed(clock, 100, on_host_clock=on_host_clock)
        made = START + 100 * PERIOD
        assert clock.stamp(made, made + 1.5, on_host_clock) == pytest.approx(made, abs=0.02)


def test_a_host_clock_that_was_set_back_does_not_hold_on_to_the_future():
    clock = CameraClock()
    feed(clock, 100, on_host_clock=False)
    device = START + 100 * PERIOD
    stamps = [clock.stamp(device + k * PERIOD, device + k * PERIOD - 3600.0, False) for k in range(50)]
    np.testing.assert_allclose(stamps, [device + k * PERIOD - 3600.0 for k in range(50)], atol=1e-3)
