"""Where a graph runs: on one machine, or divided between two, and how its nodes find each other there.

The section `machines` of a parameter file says who is where. What the nodes find each other by are variables that the
DDS middleware reads. `config/fastdds.xml` is the profile of every graph, without which FastDDS drops images. Two kinds
of graphs need one more element in it: a simulated one on Humble, and one on two machines.
"""

from __future__ import annotations

import atexit
import ipaddress
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tristage_ros.resources import resource

ALL, ROBOT, HOST = "all", "robot", "host"
MACHINES = (ALL, ROBOT, HOST)
ON_HOST = ("point_cloud", "policy")  # what needs the GPU and may fail; the arm and what guards it are on the robot


class MachinesError(ValueError):
    """Say what is wrong with the machines of a parameter file; the message is one line for a person."""


@dataclass(frozen=True)
class Machines:
    """Hold the section `machines` of a parameter file."""

    robot: str = ""  # address; empty: found by multicast
    host: str = ""
    link_timeout: float = 1.0  # s without a word from the host after which the arm holds

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: an address is none, or the arm would not watch its link.
        """
        for address in filter(None, (self.robot, self.host)):
            ipaddress.ip_address(address)
        if not 0.0 < self.link_timeout < math.inf:
            raise ValueError(f"link_timeout is positive and finite, not {self.link_timeout}")

    def environment(self, machine: str) -> dict[str, str]:
        """Return the variables by which the nodes of `machine` (robot or host) find those of the other."""
        return two_machines(self.host if machine == ROBOT else self.robot)


def read_machines(path: Path) -> Machines:
    """Return the machines of the parameter file `path`.

    Raises:
        MachinesError: the file or its section is not usable.
    """
    import yaml  # here: who lists the arguments of a graph, to say what is missing, needs no package for it

    try:
        nodes: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Machines(**nodes.get("machines", {}).get("ros__parameters", {}))
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise MachinesError(f"{path}: machines: {error}") from error


# Variables that the DDS middleware reads; older distributions know them by other names, or not at all.

RANGE, LOCALHOST_ONLY = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"
OLD_PROFILES = ("humble", "iron", "jazzy")  # distributions whose FastDDS is older than 3
NO_RANGE = ("humble",)  # that do not know RANGE
KNOW_LOCALHOST_ONLY = ("humble", "iron", "jazzy")
ON_THE_NETWORK = ("", "SUBNET", "SYSTEM_DEFAULT")  # values of RANGE; what is misspelt rcl takes for LOCALHOST

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


def alone(distribution: str) -> dict[str, str]:
    """Return the variable that keeps nodes of a distribution of ROS 2 off the network."""
    return {LOCALHOST_ONLY: "1"} if distribution in NO_RANGE else {RANGE: "LOCALHOST"}


def stays_here(environment: Mapping[str, str]) -> bool:
    """Tell whether nodes with these variables keep off the network, in words that their distribution understands."""
    distribution = environment.get("ROS_DISTRO", "")
    only = distribution in KNOW_LOCALHOST_ONLY and environment.get(LOCALHOST_ONLY) == "1"
    return only or (distribution not in NO_RANGE and environment.get(RANGE, "") not in ON_THE_NETWORK)


def _profile(of_udp: str) -> dict[str, str]:
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
    if own := {name: os.environ[name] for name in names if name in os.environ}:
        return own
    path = str(_with(of_udp) if of_udp else resource("config", "fastdds.xml"))
    return dict.fromkeys(names if _distribution() in OLD_PROFILES else names[:1], path)


@cache
def _with(of_udp: str) -> Path:
    """Write the profile with one more element in its UDP transport; the file is there for as long as this process."""
    text = resource("config", "fastdds.xml").read_text(encoding="utf-8")
    folder = Path(tempfile.mkdtemp(prefix="tristage-fastdds-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "fastdds.xml"
    path.write_text(text.replace("<type>UDPv4</type>", f"<type>UDPv4</type>\n        {of_udp}"), encoding="utf-8")
    return path


def _distribution() -> str:
    return os.environ.get("ROS_DISTRO", "")
