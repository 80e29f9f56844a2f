"""A second arm that is to lead: whether it does, on its own CAN bus, to which nothing is sent."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tristage_ros.commands.doctor.finding import Finding, Level
from tristage_ros.devices.arm import traffic
from tristage_ros.devices.arm.leader import MAKE_LEADER, PiperLeader

_LISTENS = 1.6  # s, until whole windows of frames were counted
_GRIPPER, _JOINTS = 0x159, 0x155


def check_leader(interface: str, channel: str) -> Iterator[Finding]:
    """Listen to the leader for a while, and say whether it can lead."""
    leader = PiperLeader(interface, channel)
    leader.start()
    try:
        time.sleep(_LISTENS)
        yield from _judged(leader)
    finally:
        leader.close()


def _judged(leader: PiperLeader) -> Iterator[Finding]:
    name, rates = f"leader on {leader.channel}", leader.traffic.rates
    if complaint := leader.complaint():
        yield Finding(name, Level.FAIL, complaint, "/arm/engage refuses until then")
    elif shifted := traffic.shifted(rates):
        text = f"it tells of itself by shifted ids ({traffic.ids(shifted)}), and sends no commands"
        yield Finding(name, Level.FAIL, text, MAKE_LEADER)
    elif leader.newest() is None:
        text = "nothing is heard: some leaders are silent while they are held still"
        yield Finding(
            name, Level.WARN, text, "move it while this runs; else power it, check its CAN cable and its role"
        )
    elif _GRIPPER not in leader.traffic.heard:
        text = f"leads by {rates.get(_JOINTS, 0.0):.0f} joint targets/s, without its gripper (0x159)"
        yield Finding(name, Level.WARN, text, "the arm's gripper stays as it is; plug the leader's gripper in")
    else:
        yield Finding(name, Level.OK, f"leads by {rates.get(_JOINTS, 0.0):.0f} joint targets/s, gripper too")
