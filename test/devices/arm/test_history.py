from __future__ import annotations

import math

import numpy as np
import pytest

from tristage_ros.devices.arm.freshness import JointHistory


def history(n: int = 300) -> JointHistory:
    result = JointHistory(span=2.0)
    for i in range(n):
        result.add(10.0 + 0.01 * i, np.full(6, 0.01 * i))
    return result


@pytest.mark.parametrize(
    ("stamp", "expected"), [(12.0, 2.0), (12.005, 2.005), (12.99, 2.99), (13.02, 2.99), (10.995, 0.995)]
)
def test_positions_are_interpolated(stamp: float, expected: float) -> None:
    np.testing.assert_allclose(history().at(stamp), np.full(6, expected), atol=1e-9)


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [(10.5, "0.49 s older than the oldest"), (13.2, "0.21 s newer than the newest"), (math.nan, "newer")],
)
def test_other_times_are_refused(stamp: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        history().at(stamp)


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="no joint positions"):
        JointHistory().at(0.0)


def test_one_sample_is_enough() -> None:
    np.testing.assert_array_equal(history(1).at(10.0), np.zeros(6))


def test_samples_out_of_order_are_ignored() -> None:
    samples = history()
    samples.add(11.0, np.full(6, 99.0))
    np.testing.assert_allclose(samples.at(11.0), np.ones(6))
