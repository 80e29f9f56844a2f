"""The CAN bus: there, up, at the right bit rate."""

from __future__ import annotations

import json
from typing import Any

from tristage_ros.commands.doctor.finding import Finding, Level, Machine
from tristage_ros.devices.arm.can_bus import BITRATE, bring_up


def check_bus(machine: Machine, channel: str) -> Finding:
    """Check a CAN interface of the kernel."""
    name = f"CAN interface {channel}"
    state = machine.root / "sys/class/net" / channel / "operstate"
    if not state.exists():
        here = sorted(path.name for path in (machine.root / "sys/class/net").glob("*can*"))
        known = f"; there are: {', '.join(here)}" if here else "; plug the adapter in (kernel module gs_usb)"
        return Finding(name, Level.FAIL, f"not there{known}", bring_up(channel))
    link = _link(machine.ask(["ip", "-details", "-json", "link", "show", channel]))
    if state.read_text().strip() != "up":
        return Finding(name, Level.FAIL, state.read_text().strip(), bring_up(channel))
    if link is None:
        return Finding(name, Level.WARN, "up; its bit rate is unknown", "install iproute2 for `ip -details link`")
    bitrate = link.get("bittiming", {}).get("bitrate")
    if bitrate != BITRATE:
        down = f"sudo ip link set {channel} down && {bring_up(channel)}"
        return Finding(name, Level.FAIL, f"up at {bitrate} bit/s instead of {BITRATE}", down)
    if link.get("state") not in (None, "ERROR-ACTIVE"):
        return Finding(name, Level.FAIL, f"{link['state']}", "check cable, termination and that the arm is powered")
    return Finding(name, Level.OK, f"up at {BITRATE} bit/s")


def _link(answer: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(answer or "")
        data: dict[str, Any] = found[0]["linkinfo"]["info_data"]
        return data
    except (ValueError, LookupError, TypeError):
        return None
