"""Where a graph runs: on one machine, or divided between two, and how its nodes find each other there.

The section `machines` of a parameter file says who is where. What the nodes find each other by are variables that the
DDS middleware reads.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from pathlib import Path

from tristage_ros.graph.middleware import two_machines

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


def read_machines(path: Path, namespace: str = "") -> Machines:
    """Return the machines of the parameter file `path`.

    Raises:
        MachinesError: the file or its section is not usable.
    """
    # Here: who lists the arguments of a graph, to say what is missing, needs no package for it.
    from tristage_ros.graph.parameter_file import ParameterFile

    try:
        return Machines(**ParameterFile(path).of("machines", namespace, "machines"))
    except ValueError as error:
        told = str(error)
        raise MachinesError(told if str(path) in told else f"{path}: machines: {told}") from error
