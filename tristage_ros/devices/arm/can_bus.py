"""What has to be so before the arm's CAN bus can be opened."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BITRATE = 1_000_000  # of the Piper, fixed
INTERFACES = Path("/sys/class/net")


def bring_up(channel: str) -> str:
    """Return the command that brings a CAN interface up for the Piper."""
    return f"sudo ip link set {channel} up type can bitrate {BITRATE}"


def socketcan_trouble(channel: str) -> str:
    """Say what is wrong with a CAN interface of the kernel and what to do, "" when nothing is."""
    state = INTERFACES / channel / "operstate"
    if not state.exists():
        return f"there is no CAN interface {channel}; plug in the adapter, then bring it up with: {bring_up(channel)}"
    if state.read_text().strip() != "up":
        return f"CAN interface {channel} is {state.read_text().strip()}; bring it up with: {bring_up(channel)}"
    return ""


@contextmanager
def quiet_creation(interface: str) -> Iterator[None]:
    """Hide the SDK's use of a deprecated argument, and keep multicast frames on this computer."""
    local = interface == "udp_multicast" and "CAN_CONFIG" not in os.environ
    if local:
        os.environ["CAN_CONFIG"] = '{"hop_limit": 0}'  # the SDK passes no bus options of its own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        if local:
            del os.environ["CAN_CONFIG"]
