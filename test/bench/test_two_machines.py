"""The graph on two machines: the arm holds when the link is cut, and goes on only when a person says so."""

import os

import pytest

from tristage_ros.bench.two_machines import trials
from tristage_ros.simulation.network import Network

pytestmark = [pytest.mark.serial, pytest.mark.timeout(300)]
FAULT_AFTER = 1.0  # s, link_timeout of the shipped parameter file
SMALL = {"simulation": {"width": 320, "height": 240, "frame_rate": 8.0}, "point_cloud": {"stride": 1}}


@pytest.fixture(autouse=True)
def two_machines(ros_domain, monkeypatch):
    if obstacle := Network.obstacle():
        pytest.skip(obstacle)
    for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_DEFAULT_PROFILES_FILE", "ROS_STATIC_PEERS"):
        monkeypatch.delenv(name, raising=False)  # those of the test run keep it on one machine
    spaces = set(os.listdir("/run/netns"))
    yield
    assert set(os.listdir("/run/netns")) <= spaces


def test_a_cut_link_holds_the_arm_until_a_person_clears_it():
    (good,), cut = trials(["50 ms each way"], 3.0, 5.0, 3.0, SMALL)
    assert good.travel > 0.0 and not good.fault and good.to_host > 0.05
    assert cut.fault.startswith("no word from the policy")
    assert 0.5 < cut.fault_after < FAULT_AFTER + 0.4
    assert cut.still_after < FAULT_AFTER + 1.0
    assert cut.mode_healed == "FAULT" and cut.moved_healed == 0.0
    assert cut.clear_answer.startswith("cleared: no word from the policy") and cut.moved_cleared == 0.0
    assert cut.moves_again
