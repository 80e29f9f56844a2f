"""Who a graph speaks with: the variables that each distribution gets, and what they come to on the network."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tristage_ros.graph.graph import OURS, build, environment
from tristage_ros.graph.machines import Machines
from tristage_ros.graph.middleware import (
    WITH_IMAGES,
    WITHOUT_IMAGES,
    MiddlewareError,
    alone,
    check,
    check_shared_memory,
    implementations,
    stays_here,
    without_images,
)
from tristage_ros.resources import resource

DISTRIBUTIONS = ["humble", "jazzy", "kilted", ""]
PROFILES = {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"}
REACH = {"ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS"}
READ_BY = {"humble": "FASTRTPS_DEFAULT_PROFILES_FILE", "jazzy": "FASTRTPS_DEFAULT_PROFILES_FILE"}
LOOPBACK = "<interfaceWhiteList><address>127.0.0.1</address></interfaceWhiteList>"


@pytest.fixture
def on(monkeypatch):
    """Return a function that makes this a machine of a distribution, with those variables of the user alone."""

    def on(distribution, **variables):
        for name in PROFILES | REACH | {"ROS_DISTRO"}:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"ROS_DISTRO": distribution, **variables}.items():
            if value:
                monkeypatch.setenv(name, value)

    return on


def profile(variables, distribution):
    """Return the profile that FastDDS of the distribution reads."""
    return Path(variables[READ_BY.get(distribution, "FASTDDS_DEFAULT_PROFILES_FILE")]).read_text()


def udp(text):
    return [
        part for part in re.findall(r"<transport_descriptor>.*?</transport_descriptor>", text, re.S) if "UDP" in part
    ]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_simulated_cell_stays_here_in_the_words_of_its_distribution(on, distribution):
    on(distribution)
    given = environment(simulated=True)
    assert stays_here({"ROS_DISTRO": distribution} | given)
    transports = udp(profile(given, distribution))
    # Humble leaves the transports of the profile open, whatever ROS_LOCALHOST_ONLY says; the others close them.
    assert [LOOPBACK in transport for transport in transports] == [distribution == "humble"]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_real_cell_speaks_with_the_network_unless_the_user_says_otherwise(on, distribution):
    on(distribution)
    given = environment(simulated=False)
    assert not REACH & given.keys() and not stays_here({"ROS_DISTRO": distribution} | given)
    assert profile(given, distribution) == resource("config", "fastdds.xml").read_text()
    on(distribution, **alone(distribution))
    assert (LOOPBACK in profile(environment(simulated=False), distribution)) == (distribution == "humble")


def test_a_user_of_humble_who_wants_the_network_gets_it(on):
    on("humble", ROS_LOCALHOST_ONLY="0")
    given = environment(simulated=True)
    assert given["ROS_LOCALHOST_ONLY"] == "0" and LOOPBACK not in profile(given, "humble")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("name", sorted(PROFILES))
@pytest.mark.parametrize("simulated", [True, False])
def test_the_users_own_profile_wins_by_whichever_name(on, distribution, name, simulated):
    on(distribution, **{name: "/mine.xml"})
    assert {key: value for key, value in environment(simulated).items() if key in PROFILES} == {name: "/mine.xml"}


def test_the_users_own_reach_and_peers_win(on):
    on("kilted", ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET", ROS_STATIC_PEERS="10.0.0.9")
    assert environment(simulated=True)["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
    assert environment(simulated=True).get("ROS_STATIC_PEERS", "10.0.0.9") == "10.0.0.9"


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_images_between_two_machines_are_cut_up_by_fastdds(on, distribution):
    on(distribution)
    robot, host = (Machines("10.0.0.1", "10.0.0.2").environment(machine) for machine in ("robot", "host"))
    assert robot["ROS_STATIC_PEERS"] == "10.0.0.2" and host["ROS_STATIC_PEERS"] == "10.0.0.1"
    assert robot["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
    (transport,) = udp(profile(robot, distribution))
    assert "<maxMessageSize>1400</maxMessageSize>" in transport and LOOPBACK not in transport


@pytest.mark.parametrize(
    ("distribution", "variables", "here"),
    [
        ("humble", {}, False),
        ("humble", {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, False),  # which Humble does not read
        ("humble", {"ROS_LOCALHOST_ONLY": "1"}, True),
        ("humble", {"ROS_LOCALHOST_ONLY": "0"}, False),
        ("jazzy", {"ROS_LOCALHOST_ONLY": "1"}, True),
        ("jazzy", {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, True),
        ("kilted", {"ROS_LOCALHOST_ONLY": "1"}, False),  # which Kilted does not read any more
        ("kilted", {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}, False),
        ("kilted", {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, False),
        ("kilted", {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, True),
        ("", {}, False),
        ("", {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, True),
    ],
)
def test_what_keeps_nodes_here(distribution, variables, here):
    assert stays_here({"ROS_DISTRO": distribution, **variables}) is here


# In a network namespace of its own, whose wire ends here: one end of a pair of which nobody reads the other.
WIRE = """
set -e
ip link set lo up
ip link add wire type veth peer name far
for end in wire far; do ip link set $end addrgenmode none; ip link set $end up; done
ip address add 10.99.0.1/24 dev wire
ip route add 224.0.0.0/4 dev wire
exec "$@"
"""
ISOLATED = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", WIRE, "sh"]

ARM = """
import time, rclpy
from std_srvs.srv import Trigger
rclpy.init()
node = rclpy.create_node("arm")
def stop(request, response):
    response.success = True
    return response
node.create_service(Trigger, "/arm/stop", stop)
end = time.monotonic() + 3.0  # several announcements
while time.monotonic() < end:
    rclpy.spin_once(node, timeout_sec=0.1)
(wire,) = (line.split() for line in open("/proc/net/dev") if line.strip().startswith("wire:"))
bound = {line.split()[1].split(":")[0] for line in open("/proc/net/udp") if ":" in line}
print("sent", wire[10], "bound", *sorted(bound), flush=True)
rclpy.spin(node)
"""
TERMINAL = """
import rclpy
from std_srvs.srv import Trigger
rclpy.init()
node = rclpy.create_node("terminal")
client = node.create_client(Trigger, "/arm/stop")
found = client.wait_for_service(timeout_sec=20.0)
asked = client.call_async(Trigger.Request())
rclpy.spin_until_future_complete(node, asked, timeout_sec=20.0)
print("answered", asked.result().success, flush=True)
"""


def isolated(variables, tmp_path):
    """Start a node with the profile of `variables`, then a terminal without; return what both print."""
    plain = {name: value for name, value in os.environ.items() if name not in PROFILES | REACH}
    programs = [tmp_path / "arm.py", tmp_path / "terminal.py"]
    for path, text in zip(programs, (ARM, TERMINAL), strict=True):
        path.write_text(text)
    given = " ".join(f"{name}={value}" for name, value in variables.items() if name in PROFILES)
    script = f"""
        {given} {sys.executable} {programs[0]} > {tmp_path}/arm.txt & arm=$!
        until [ -s {tmp_path}/arm.txt ]; do kill -0 $arm || exit 1; sleep 0.2; done
        {sys.executable} {programs[1]} > {tmp_path}/terminal.txt
        kill -KILL $arm
    """
    subprocess.run([*ISOLATED, "sh", "-c", script], env=plain, check=False, timeout=60)
    return (tmp_path / "arm.txt").read_text().split(), (tmp_path / "terminal.txt").read_text().split()


@pytest.fixture
def wire(ros_domain):
    """Skip where no network namespace can be made."""
    made = shutil.which("unshare") and subprocess.run([*ISOLATED, "true"], capture_output=True, text=True)
    if not made or made.returncode:
        pytest.skip(f"no network namespace of its own: {made.stderr.strip() if made else 'no unshare'}")


def test_a_simulated_cell_on_humble_sends_nothing_and_a_plain_terminal_reaches_it(on, wire, tmp_path):
    on("humble")
    (_, sent, _, *bound), answer = isolated(environment(simulated=True), tmp_path)
    assert sent == "0"
    assert set(bound) <= {"0100007F", "0100FFEF"}  # 127.0.0.1, and the group, which it joins on loopback
    assert answer == ["answered", "True"]


def test_the_wire_of_these_tests_carries_what_a_cell_on_the_network_sends(on, wire, tmp_path):
    on("humble")
    (_, sent, _, *bound), answer = isolated(environment(simulated=False), tmp_path)
    assert int(sent) > 0 and "00000000" in bound
    assert answer == ["answered", "True"]


# What the user has set, checked before the middleware reads it.


@pytest.fixture
def given(tmp_path):
    """Return a function that makes the variables of a user with a home."""
    return lambda **variables: {"HOME": str(tmp_path), "AMENT_PREFIX_PATH": "", **variables}


@pytest.mark.parametrize("domain", ["", "0", "101", "232"])
def test_a_domain_that_ros_2_has_is_taken(given, domain):
    check(given(ROS_DOMAIN_ID=domain))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ROS_DOMAIN_ID", "300", "ROS_DOMAIN_ID is 300; give a whole number"),
        ("ROS_DOMAIN_ID", "abc", "ROS_DOMAIN_ID is abc; give a whole number"),
        ("ROS_DOMAIN_ID", "-1", "ROS_DOMAIN_ID is -1"),
        ("RMW_IMPLEMENTATION", "rmw_nobody_cpp", "rmw_nobody_cpp, which is not installed; there are: rmw_"),
        ("FASTDDS_DEFAULT_PROFILES_FILE", "/nowhere.xml", "/nowhere.xml, where no file is"),
        ("HOME", "", "neither HOME nor ROS_HOME says where a home is; export ROS_HOME="),
        ("HOME", "/proc/nowhere", "/proc/nowhere/.ros/log cannot be written (No such file or directory); export ROS_"),
        ("ROS_LOG_DIR", "/proc/nowhere", "/proc/nowhere cannot be written"),
    ],
)
def test_what_the_middleware_would_end_on_is_named_in_one_line(given, tmp_path, name, value, words):
    index = tmp_path / "prefix" / "share" / "ament_index" / "resource_index" / "rmw_typesupport"
    index.mkdir(parents=True)
    for package in ("rmw_implementation", "rmw_one_cpp"):
        (index / package).touch()
    with pytest.raises(MiddlewareError) as error:
        check(given(AMENT_PREFIX_PATH=str(tmp_path / "prefix")) | {name: value})
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_folder_for_the_log_does_where_home_cannot_be_written(given, tmp_path):
    check(given(HOME="/proc/nowhere", ROS_LOG_DIR=str(tmp_path / "log")))
    check(given(HOME="", ROS_HOME=str(tmp_path / "ros")))


def test_the_middlewares_of_this_machine_are_found(given):
    found = implementations(dict(os.environ))
    assert "rmw_fastrtps_cpp" in found and "rmw_implementation" not in found


# Shared memory: what the processes of a cell take of it.

TAKEN = """
import re, sys, rclpy
from pathlib import Path
rclpy.init()
node = rclpy.create_node("taker")
files = set(re.findall(r"/dev/shm/\\S+", Path("/proc/self/maps").read_text()))
print(sum(Path(file).stat().st_blocks * 512 for file in files) / 2**20)
"""


@pytest.mark.parametrize(("images", "limit"), [(True, WITH_IMAGES), (False, WITHOUT_IMAGES)])
def test_a_process_takes_no_more_shared_memory_than_is_reckoned_with(on, ros_domain, images, limit):
    on("", ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    variables = environment() if images else without_images(environment())
    done = subprocess.run([sys.executable, "-c", TAKEN], env=os.environ | variables, capture_output=True, text=True)
    assert limit - 3 < float(done.stdout) <= limit


@pytest.mark.parametrize("hardware", [["front", "wrist", "recorder", "monitor"], ["simulation", "recorder", "monitor"]])
def test_a_cell_fits_the_64_mb_that_a_container_has(hardware):
    processes = ["point_cloud", "policy", "arm", *hardware]
    publish = [name in ("front", "wrist", "simulation") for name in processes]
    assert sum(WITH_IMAGES if images else WITHOUT_IMAGES for images in publish) < 62


def test_only_the_nodes_with_images_get_the_large_segment(on):
    on("")
    graph = build("piper_pick", {"record": "true"})
    ours = [node for node in graph.nodes if node.package == OURS]
    sizes = {node.name: "16777216" in profile(graph.environment_of(node), "") for node in ours}
    assert sizes == {"simulation": True, "point_cloud": False, "policy": False, "arm": False, "recorder": False}


def test_what_a_process_above_has_got_from_here_is_not_taken_for_the_users_own(on):
    on("")
    on("", **without_images(environment()))
    assert "16777216" in profile(environment(), "")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_small_segment_leaves_the_rest_of_a_profile_as_it_is(on, distribution):
    on(distribution)
    large = environment(simulated=True)
    small = without_images(large)
    assert udp(profile(small, distribution)) == udp(profile(large, distribution))
    assert large.keys() == small.keys()


def test_the_users_own_profile_is_not_made_smaller(on, tmp_path):
    on("", FASTDDS_DEFAULT_PROFILES_FILE="/mine.xml")
    assert without_images(environment()) == environment()


def test_too_little_shared_memory_is_told_with_what_to_type(monkeypatch, tmp_path):
    assert "the nodes take 22" in check_shared_memory([True, False], {}, tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=20 * 256, f_frsize=4096))
    with pytest.raises(MiddlewareError) as error:
        check_shared_memory([True, False], {}, tmp_path)
    assert "20 MiB free" in str(error.value) and "docker run --shm-size=256m" in str(error.value)
    for own in ({"FASTDDS_DEFAULT_PROFILES_FILE": "/mine.xml"}, {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}):
        check_shared_memory([True, False], own, tmp_path)
    with pytest.raises(MiddlewareError, match=r"cannot be written .*mount a tmpfs there"):
        check_shared_memory([True], {}, Path("/proc/nowhere"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a read-only /dev/shm")
def test_a_graph_that_would_lose_its_images_is_not_started():
    mounted = "mount -t tmpfs -o size=16m tmpfs /dev/shm && exec " + shlex.join(
        [sys.executable, "-m", "tristage_ros", "run", "piper_pick"]
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True, text=True, timeout=60)
    if "unshare" in done.stderr or "mount" in done.stderr.partition("error:")[0]:
        pytest.skip("this container may not mount anything")
    assert done.returncode == 2
    assert (
        done.stderr.startswith("error: /dev/shm, the shared memory, is too small: 16 MiB free")
        and done.stderr.count("\n") == 1
    )
