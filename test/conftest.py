"""Every test stays on this machine, and every ROS test in a domain of its own."""

import contextlib
import fcntl
import gc
import importlib.util
import os
import random
import socket
import sys
import tempfile
from collections import deque
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Where the tests' own modules are; the option `pythonpath` is unknown to pytest 6, which Humble has.
sys.path[:0] = [str(ROOT / folder) for folder in ("test", "test/nodes", "test/bags", "test/openpi")]
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
# Where an arm's black boxes go: never to the home of who runs the tests.
os.environ["ROS_HOME"] = str(Path(tempfile.gettempdir()) / "tristage-test-ros-home")
os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(ROOT / "config" / "fastdds.xml"))


_DOMAINS = range(10, 100)
_used = deque(maxlen=30)  # the last ones that this process used: what ended there may still be leaving


_AGAINST_THE_CLOCK = {"ros_domain", "module_ros_domain", "wait_until", "rig", "rigs", "seldom"}


def pytest_addoption(parser):
    parser.addoption("--without-torch", action="store_true", help="this Python has none: scripts/apt_versions.sh")


def pytest_sessionstart(session):
    """Say which interpreter this is where it lacks what pip installs: `colcon test` takes the system's by itself."""
    needed = ("honcho", "rosbags", *(() if session.config.getoption("without_torch") else ("torch",)))
    lacking = [name for name in needed if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.exit(
            f"no test runs: {sys.executable} finds no {', '.join(lacking)}; activate the virtual environment that has "
            "them and type: python3 -m colcon test --packages-select tristage_ros",
            returncode=pytest.ExitCode.NO_TESTS_COLLECTED,
        )


def pytest_collection_modifyitems(items):
    """Try again what runs against the clock: a busy machine holds threads up, and the product is right to object."""
    for item in items:
        if _AGAINST_THE_CLOCK & set(item.fixturenames) or item.get_closest_marker("serial"):
            item.add_marker(pytest.mark.flaky(reruns=2))


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


def _sockets():
    """Return how many sockets this process has open; FastDDS opens six for each context."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += os.readlink(entry).startswith("socket:")
    return found


@contextlib.contextmanager
def _free_domain():
    # Contexts are numbered by the process, whatever their domain, and two beyond the 32nd do not find each other.
    assert _sockets() < 120, "earlier tests left 20 contexts or more: something keeps their nodes"
    unused = [domain for domain in _DOMAINS if domain not in _used]
    for domain in random.SystemRandom().sample(unused, len(unused)):
        with (Path(tempfile.gettempdir()) / f"tristage-test-domain-{domain}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _used.append(domain)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ROS_DOMAIN_ID", str(domain))
                yield str(domain)
            gc.collect()  # a context in a reference cycle keeps its nodes in the domain
            return
    pytest.fail(f"ROS domains {_DOMAINS.start} to {_DOMAINS.stop - 1} are all in use by tests")


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
