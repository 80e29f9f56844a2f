"""Every test stays on this machine, and every ROS test in a domain of its own."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(ROOT / "config" / "fastdds.xml"))


@pytest.fixture
def ros_domain():
    """Give the test a ROS domain that no other running test on this machine uses."""
    with _free_domain() as domain:
        yield domain


@pytest.fixture(scope="module")
def module_ros_domain():
    """Give all tests of a module one ROS domain that no other running test on this machine uses."""
    with _free_domain() as domain:
        yield domain


@contextlib.contextmanager
def _free_domain():
    for domain in random.SystemRandom().sample(range(10, 100), 90):
        with (Path(tempfile.gettempdir()) / f"tristage-test-domain-{domain}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ROS_DOMAIN_ID", str(domain))
                yield str(domain)
            return
    pytest.fail("ROS domains 10 to 99 are all in use by other tests")


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
