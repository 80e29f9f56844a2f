"""Every test stays on this machine, and every ROS test in a domain of its own."""

import itertools
import os
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(ROOT / "config" / "fastdds.xml"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_DOMAINS = itertools.cycle(range(10 + 20 * (_WORKER % 4), 30 + 20 * (_WORKER % 4)))


@pytest.fixture
def ros_domain(monkeypatch):
    """Give the test a ROS domain that no other running test uses."""
    domain = str(next(_DOMAINS))
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    return domain


@pytest.fixture
def free_port():
    """Return a TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def ros_context(ros_domain):
    """Initialise rclpy for tests that make nodes in their own process."""
    import rclpy

    rclpy.init(args=[])
    yield
    rclpy.try_shutdown()
