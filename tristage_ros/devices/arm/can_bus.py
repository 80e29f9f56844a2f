"""The arm's CAN bus: what has to be so before it can be opened, and which frames this software may send on it.

Frames that could drop the arm (0x150 emergency stop and reset, 0x471 disable) or move a zero (0x159 with 0xAE, 0x475)
are not among those that may be sent, save for two that a person may ask for. No piper_sdk here: the doctor looks at the
bus where the SDK is missing, too.
"""

from __future__ import annotations

import os
import socket
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BITRATE = 1_000_000  # of the Piper, fixed
INTERFACES = Path("/sys/class/net")
USABLE = ("up", "unknown")  # operstates; drivers that tell no carrier, such as slcan, leave it at unknown


def bring_up(channel: str) -> str:
    """Return the command that brings a CAN interface up for the Piper."""
    return f"sudo ip link set {channel} up type can bitrate {BITRATE}"


def socketcan_trouble(channel: str) -> str:
    """Say what is wrong with a CAN interface of the kernel and what to do, "" when nothing is."""
    state = INTERFACES / channel / "operstate"
    if not state.exists():
        return f"there is no CAN interface {channel}; plug in the adapter, then bring it up with: {bring_up(channel)}"
    told = state.read_text().strip()
    return "" if told in USABLE else f"CAN interface {channel} is {told}; bring it up with: {bring_up(channel)}"


class ChannelTakenError(RuntimeError):
    """Say which process has the arm on a bus."""


class ChannelLock:
    """Hold a CAN channel for this process: two that command one arm would fight.

    An abstract socket, which ends with its process and which every program of this network namespace sees.
    """

    def __init__(self, interface: str, channel: str) -> None:
        """Name the channel."""
        self._name, self._channel = f"\0tristage-arm-{interface}-{channel}", channel
        self._socket: socket.socket | None = None

    def take(self) -> None:
        """Take the channel. Raises ChannelTakenError where another driver has it."""
        held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            held.bind(self._name)
            held.listen()
        except OSError as error:
            held.close()
            raise ChannelTakenError(
                f"process {_holder(self._name)} has the arm on {self._channel} already: stop it first"
            ) from error
        self._socket = held

    def release(self) -> None:
        """Leave the channel to others."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def _holder(name: str) -> int | str:
    """Return the process that listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.settimeout(1.0)
            asking.connect(name)
            pid: int = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        except OSError:
            return "unknown"
        return pid


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


# What only a master sends: who hears them has company on the bus, or an arm in the role of a leader.
OF_A_MASTER = frozenset({*range(0x150, 0x160), 0x470, 0x471, 0x474, 0x475})
_ALWAYS: dict[int, Callable[[bytes], bool]] = {
    0x151: lambda data: data[0] == 1 and data[1] == 1 and data[3] == 0,  # CAN control, MOVE J, not MIT
    0x155: lambda data: True,  # targets of J1, J2
    0x156: lambda data: True,  # J3, J4
    0x157: lambda data: True,  # J5, J6
    0x159: lambda data: data[6] == 1 and data[7] == 0,  # gripper enabled, zero untouched
    0x471: lambda data: data[1] == 2,  # enable motors
    0x472: lambda data: 1 <= data[0] <= 6 and data[1] in (1, 2),  # ask for a motor's limits, which sets none
    0x4AF: lambda data: True,  # ask for the firmware version
}
_FOR_A_PERSON: dict[int, Callable[[bytes], bool]] = {
    0x150: lambda data: data == b"\2" + bytes(7),  # reset: cuts the motors' power
    0x159: lambda data: data[6] in (0, 2, 3),  # gripper off, its errors cleared, its zero set
}


def permits(arbitration_id: int, data: bytes, for_person: bool) -> bool:
    """Tell whether a frame may leave; `for_person`: someone called the service that needs it."""
    tests = [_ALWAYS.get(arbitration_id), _FOR_A_PERSON.get(arbitration_id) if for_person else None]
    return any(test(data) for test in tests if test)
