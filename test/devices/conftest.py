from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from fake_arm import HOME, FakeArm

from tristage_ros.devices.arm.piper import PiperDriver


def wait_until(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    """Poll a condition; fail the test when it does not come true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.005)


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def home() -> np.ndarray:
    return HOME.copy()


@pytest.fixture
def arm() -> Iterator[FakeArm]:
    arm = FakeArm()
    arm.start()
    yield arm
    arm.close()


@pytest.fixture
def driver(arm: FakeArm) -> Iterator[PiperDriver]:
    driver = PiperDriver("virtual", arm.channel)
    driver.connect()
    yield driver
    driver.close()
