"""What encodes the videos takes nothing from what else the machine does."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tristage_ros.datasets.lerobot.codecs import COLORS, VideoWriter


@pytest.mark.parametrize("codec", COLORS, ids=lambda codec: codec.name)
def test_an_encoder_gets_no_priority_over_an_arm(codec, tmp_path):
    """As root, too, for which AV1's asks for the highest of all."""
    if not codec.is_there:
        pytest.skip("PyAV comes without it")
    writer, before = VideoWriter(tmp_path / "a.mp4", 10, (64, 64), codec), os.sched_getscheduler(0)
    for _ in range(3):
        writer.add(np.zeros((64, 64, 3), np.uint8))
    assert {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")} == {before}
    writer.close()
