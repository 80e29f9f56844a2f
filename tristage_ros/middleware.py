"""Variables that the DDS middleware reads; older distributions know them by other names, or not at all."""

from __future__ import annotations

import os

from tristage_ros.resources import resource

OLD_PROFILES = ("humble", "iron", "jazzy")  # distributions whose FastDDS is older than 3
NO_RANGE = ("humble",)  # that do not know ROS_AUTOMATIC_DISCOVERY_RANGE


def profile(name: str) -> dict[str, str]:
    """Return the variables that make FastDDS read the profile `config/NAME`."""
    path = str(resource("config", name))
    old = {"FASTRTPS_DEFAULT_PROFILES_FILE": path} if os.environ.get("ROS_DISTRO") in OLD_PROFILES else {}
    return {"FASTDDS_DEFAULT_PROFILES_FILE": path, **old}


def alone() -> dict[str, str]:
    """Return the variables that keep nodes off the network."""
    old = {"ROS_LOCALHOST_ONLY": "1"} if os.environ.get("ROS_DISTRO") in NO_RANGE else {}
    return {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", **old}
