"""Recording the whole cell loses no camera frame."""

import pytest

from tristage_ros.bags.facts import read_facts
from tristage_ros.bags.reader import BagReader
from tristage_ros.bench.recording_cost import measure

pytestmark = [pytest.mark.serial, pytest.mark.timeout(300)]


@pytest.mark.long
def test_every_frame_of_both_cameras_is_recorded_at_full_rate(ros_domain, free_port, tmp_path):
    cost = measure(8.0, tmp_path, [f"can_channel:=127.0.0.1:{free_port}"], record=True)
    assert cost.camera_rate > 0 and cost.megabytes_per_minute > 0
    assert cost.frames_lost == 0
    with BagReader(tmp_path) as bag:
        assert bag.complete
        known = read_facts(bag)
    assert {"simulation", "point_cloud", "policy", "arm"} <= known.parameters.keys()
    assert known.pruning and "policy.cameras_file" in known.files
