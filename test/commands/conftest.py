from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_arm import FakeArm


@pytest.fixture
def arm() -> Iterator[FakeArm]:
    arm = FakeArm()
    arm.start()
    yield arm
    arm.close()
