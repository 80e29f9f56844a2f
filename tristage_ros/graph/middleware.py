"""What the DDS middleware reads: variables that are checked before it does, and its profile.

`config/fastdds.xml` is the profile of every process that publishes images, without which FastDDS drops them. Where no
images are published a smaller segment does, so that a graph fits the 64 MB of shared memory that a container has. Two
kinds of graphs need one more element in it: a simulated one on Humble, and one on two machines.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from tristage_ros.resources import resource


class MiddlewareError(ValueError):
    """Say what keeps the middleware from starting, and what to do; the message is one line for a person."""

    def __init__(self, what: str, remedy: str = "") -> None:
        """Keep both for who shows them apart."""
        super().__init__("; ".join(filter(None, (what, remedy))))
        self.what, self.remedy = what, remedy


# Variables; older distributions know them by other names, or not at all.

DOMAIN, IMPLEMENTATION = "ROS_DOMAIN_ID", "RMW_IMPLEMENTATION"
RANGE, LOCALHOST_ONLY = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
OLD_PROFILES = ("humble", "iron", "jazzy")  # distributions whose FastDDS is older than 3
NO_RANGE = ("humble",)  # that do not know RANGE
KNOW_LOCALHOST_ONLY = ("humble", "iron", "jazzy")
ON_THE_NETWORK = ("", "SUBNET", "SYSTEM_DEFAULT")  # values of RANGE; what is misspelt rcl takes for LOCALHOST
DOMAINS = range(233)  # beyond them the ports of DDS are no ports
CROWDED = range(102, 215)  # those whose ports Linux gives to any connection
ELSEWHERE = "export ROS_HOME=/tmp/ros ROS_LOG_DIR=/tmp/ros/log"
FASTDDS = ("", "rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp")  # values of IMPLEMENTATION: all distributions' default


def check(environment: Mapping[str, str]) -> None:
    """Refuse what rcl or FastDDS would end on, some of it in the import of rclpy, or what they pass over.

    Raises:
        MiddlewareError: a variable names what is not there, or the log can be written nowhere.
    """
    domain = environment.get(DOMAIN, "").strip() or "0"
    if not domain.isdecimal() or int(domain) not in DOMAINS:
        raise MiddlewareError(f"{DOMAIN} is {domain}", f"give a whole number from 0 to 101: export {DOMAIN}=0")
    wanted, there = environment.get(IMPLEMENTATION, ""), implementations(environment)
    if wanted and there and wanted not in there:
        package = f"ros-{environment.get('ROS_DISTRO', '$ROS_DISTRO')}-{wanted.replace('_', '-')}"
        raise MiddlewareError(
            f"{IMPLEMENTATION} is {wanted}, which is not installed; there are: {', '.join(there)}",
            f"sudo apt install {package}, or: unset {IMPLEMENTATION}",
        )
    for name in PROFILES:
        if environment.get(name) and not Path(environment[name]).is_file():
            raise MiddlewareError(f"{name} is {environment[name]}, where no file is", f"correct it, or: unset {name}")
    _check_log(environment)


def ros_home(environment: Mapping[str, str]) -> Path:
    """Return the folder in which ROS keeps what is the user's.

    Raises:
        MiddlewareError: no variable says where that is.
    """
    if not (environment.get("ROS_HOME") or environment.get("HOME")):
        raise MiddlewareError("neither HOME nor ROS_HOME says where a home is", ELSEWHERE)
    return Path(os.path.expanduser(environment.get("ROS_HOME") or f"{environment['HOME']}/.ros"))


def unwritable(folder: Path) -> str:
    """Return why nothing can be written into a folder, which is made if need be; empty where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _check_log(environment: Mapping[str, str]) -> None:
    """Refuse a log folder that cannot be written, as rcl does with a word about neither variable nor remedy."""
    given = environment.get("ROS_LOG_DIR")
    folder = Path(os.path.expanduser(given)) if given else ros_home(environment) / "log"
    if why := unwritable(folder):
        raise MiddlewareError(f"the log folder {folder} cannot be written ({why})", ELSEWHERE)


def implementations(environment: Mapping[str, str]) -> list[str]:
    """Return which middlewares are installed, as far as the ament index tells."""
    prefixes = [*environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    index = Path("share", "ament_index", "resource_index", "rmw_typesupport")
    found = {path.name for prefix in prefixes if prefix for path in (Path(prefix) / index).glob("rmw_*")}
    return sorted(found - {"rmw_implementation"})


def alone(distribution: str) -> dict[str, str]:
    """Return the variable that keeps nodes of a distribution of ROS 2 off the network."""
    return {LOCALHOST_ONLY: "1"} if distribution in NO_RANGE else {RANGE: "LOCALHOST"}


def stays_here(environment: Mapping[str, str]) -> bool:
    """Tell whether nodes with these variables keep off the network, in words that their distribution understands."""
    distribution = environment.get("ROS_DISTRO", "")
    only = distribution in KNOW_LOCALHOST_ONLY and environment.get(LOCALHOST_ONLY) == "1"
    return only or (distribution not in NO_RANGE and environment.get(RANGE, "") not in ON_THE_NETWORK)


def unread(environment: Mapping[str, str]) -> str:
    """Return the variable that is meant to keep nodes off the network, but is of other distributions; else nothing."""
    distribution = environment.get("ROS_DISTRO", "")
    if distribution in NO_RANGE:
        return RANGE if environment.get(RANGE, "") not in ON_THE_NETWORK else ""
    known = distribution in KNOW_LOCALHOST_ONLY
    return LOCALHOST_ONLY if not known and environment.get(LOCALHOST_ONLY) == "1" else ""


# The variables of a graph.

# With LOCALHOST_ONLY Humble adds a transport of loopback alone to those of the profile, which stay as open as they are.
LOOPBACK = "<interfaceWhiteList><address>127.0.0.1</address></interfaceWhiteList>"
# Below the 1500 bytes of an Ethernet frame: FastDDS then cuts images up itself, and sends again what was lost. Were it
# left to IP, one lost frame would cost the whole datagram, the kernel would keep the pieces for 30 s, and at 5 % loss
# no image would arrive, nor for long after.
DATAGRAMS = "<maxMessageSize>1400</maxMessageSize>"


def one_machine(simulated: bool) -> dict[str, str]:
    """Return the variables of a graph on one machine; a simulated one keeps off the network that an arm may be on."""
    wanted = alone(_distribution()) if simulated else {}
    closed = _distribution() in NO_RANGE and stays_here(wanted | os.environ)
    return _profile(LOOPBACK if closed else "") | wanted


def two_machines(peer: str) -> dict[str, str]:
    """Return the variables of one half of a graph; the other half is at the address `peer`, empty: anywhere."""
    return _profile(DATAGRAMS) | {RANGE: "SUBNET"} | ({"ROS_STATIC_PEERS": peer} if peer else {})


def without_images(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables for a process that publishes no images: it takes a fifth of the shared memory."""
    ours = {name for name in PROFILES if name in variables and not _is_own(variables[name])}
    return {name: str(_with("", variables[name])) if name in ours else value for name, value in variables.items()}


def unless_set(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return variables with those of the user, which win; of a profile `one_machine` and `two_machines` know it."""
    return {name: value if name in PROFILES else os.environ.get(name, value) for name, value in wanted.items()}


# The profile.

_FOLDER = "tristage-fastdds-"
_SMALL = {  # in place of what is in the shipped file: an overlay or a cloud fits, and few of them are on their way
    "<segment_size>16777216<": "<segment_size>2097152<",
    "<maxMessageSize>8388608<": "<maxMessageSize>1048576<",
}
WITH_IMAGES, WITHOUT_IMAGES = 18, 4  # MiB of shared memory that a process takes, with what FastDDS adds
SHARED_MEMORY = Path("/dev/shm")


def _profile(of_udp: str) -> dict[str, str]:
    if own := {name: os.environ[name] for name in PROFILES if _is_own(os.environ.get(name, ""))}:
        return own
    shipped = str(resource("config", "fastdds.xml"))
    path = str(_with(of_udp, shipped)) if of_udp else shipped
    return dict.fromkeys(PROFILES if _distribution() in OLD_PROFILES else PROFILES[:1], path)


def _is_own(path: str) -> bool:
    """Tell whether a profile is the user's own, not one that a process above this one has got from here."""
    return bool(path) and path != str(resource("config", "fastdds.xml")) and _FOLDER not in path


@cache
def _with(of_udp: str, path: str) -> Path:
    """Write a profile with one more element in its UDP transport, or none, but less shared memory.

    The file is there for as long as this process.
    """
    text = Path(path).read_text(encoding="utf-8")
    changes = {"<type>UDPv4</type>": f"<type>UDPv4</type>\n        {of_udp}"} if of_udp else _SMALL
    for old, new in changes.items():
        text = text.replace(old, new)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    written = folder / "fastdds.xml"
    written.write_text(text, encoding="utf-8")
    return written


def check_shared_memory(
    publish_images: Iterable[bool], environment: Mapping[str, str], folder: Path = SHARED_MEMORY
) -> str:
    """Refuse processes for which there is too little shared memory: FastDDS would lose most of the images.

    Args:
        publish_images: of every process, whether it publishes images.
        environment: of the user; what another middleware or his own profile takes is not known.
        folder: where shared memory is.

    Returns:
        How much there is and how much they take.

    Raises:
        MiddlewareError: it is too small, or nobody may write there.
    """
    needed = sum(WITH_IMAGES if images else WITHOUT_IMAGES for images in publish_images)
    if environment.get(IMPLEMENTATION, "") not in FASTDDS or any(_is_own(environment.get(n, "")) for n in PROFILES):
        needed = 1
    size = max(256, 2 * needed)
    remedy = f"docker run --shm-size={size}m, or outside of a container: mount -o remount,size={size}m {folder}"
    if why := unwritable(folder):
        raise MiddlewareError(
            f"{folder}, the shared memory, cannot be written ({why})", f"mount a tmpfs there; {remedy}"
        )
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize / 2**20
    if free < needed:
        left = f"rm {folder}/fastdds_* where programs were killed and none runs"
        what = f"{folder}, the shared memory, is too small: {free:.0f} MiB free, the nodes take {needed}"
        raise MiddlewareError(what, f"{remedy}; {left}")
    return f"{free:.0f} MiB free in {folder}, the nodes take {needed}"


def _distribution() -> str:
    return os.environ.get("ROS_DISTRO", "")
