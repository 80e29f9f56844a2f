"""The vendor's SDK on one CAN bus: the only module that imports piper_sdk.

It encodes and decodes frames. Reading is left to whoever opens the bus, because the SDK's own threads cannot be stopped
and stamp frames with the bus's clock.
"""

from __future__ import annotations

import itertools
from typing import Any

import can
from piper_sdk import C_PiperInterface_V2, LogLevel

from tristage_ros.devices.arm.can_bus import BITRATE, quiet_creation, socketcan_trouble

_numbers = itertools.count()


class PiperError(RuntimeError):
    """Say what is wrong between this computer and the arm, and what to do about it."""


def new_sdk(interface: str, channel: str) -> Any:
    """Return an SDK of its own for a bus, which is not opened yet."""
    name = f"{interface}:{channel}#{next(_numbers)}"  # the SDK keeps one instance per name
    return C_PiperInterface_V2(name, judge_flag=False, can_auto_init=False, logger_level=LogLevel.SILENT)


def require_up(interface: str, channel: str) -> None:
    """Refuse an interface of the kernel that is not there or not up.

    Raises:
        PiperError: what is wrong, and what to do.
    """
    if interface == "socketcan" and (trouble := socketcan_trouble(channel)):
        raise PiperError(trouble)


def open_bus(sdk: Any, interface: str, channel: str) -> Any:
    """Open the bus of an SDK, without a thread; return the SDK's wrapper of it, which has one bus for both directions.

    Raises:
        PiperError: it cannot be opened.
    """
    try:
        with quiet_creation(interface):
            sdk.CreateCanBus(channel, interface, BITRATE, judge_flag=False)
    except ConnectionError as error:
        raise PiperError(f"cannot open {interface} bus {channel}: {error.__context__}") from error
    bus = sdk.GetCanBus()
    if bus.recv_bus is None:
        raise PiperError(f"cannot open {interface} bus {channel}")
    # one bus for both directions: nobody would ever empty the receive queue of a second one
    bus.send_bus.shutdown()
    bus.send_bus = bus.recv_bus
    return bus


def close_bus(sdk: Any) -> None:
    """Leave the bus of an SDK."""
    bus = sdk.GetCanBus().recv_bus
    sdk.DisconnectPort()
    if bus is not None:
        can.BusABC.shutdown(bus)  # where the peer has gone first, the bus' own shutdown breaks off half-way
