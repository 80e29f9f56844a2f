"""The way to the CAN bus: the adapter on USB, its kernel module, the interface and its state, who else listens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tristage_ros.commands.doctor.finding import Finding, Level, Machine, usb_attribute
from tristage_ros.devices.arm import listeners
from tristage_ros.devices.arm.can_bus import BITRATE, USABLE, bring_up

_ADAPTERS = {  # USB ids that the kernel's module gs_usb drives
    ("1d50", "606f"),
    ("1209", "2323"),
    ("1209", "ca01"),
    ("1cd2", "606f"),
    ("16d0", "0f30"),
    ("16d0", "10b8"),
}
_WIRE = "check the CAN cable, the 120 ohm at both ends, and that the arm has power"
_SERIAL = "if it is a serial adapter (slcan), it was told when it was attached, for 1 Mbit/s by: slcand -s8"
_NO_MODULE_ON_JETSON = (
    "Jetson kernels from JetPack 6 on come without it: build it for exactly this kernel (CONFIG_CAN_GS_USB=m, sources "
    "of the same Jetson Linux release), put gs_usb.ko into /lib/modules/{release}/kernel/drivers/net/can/usb, then: "
    "sudo depmod -a && sudo modprobe gs_usb"
)
_NO_MODULE = (
    "on Ubuntu: sudo apt install linux-modules-extra-{release}; else build the kernel's module (CONFIG_CAN_GS_USB=m)"
)


def check_adapters(machine: Machine, channel: str) -> Iterator[Finding]:
    """Check every USB adapter that gs_usb drives: module there, interface there, the one that is meant."""
    for device in sorted((machine.root / "sys/bus/usb/devices").glob("*")):
        found = usb_attribute(device, "idVendor"), usb_attribute(device, "idProduct")
        if found in _ADAPTERS:
            name = f"CAN adapter {':'.join(found)}"
            interfaces = sorted(path.name for path in device.parent.glob(f"{device.name}:*/net/*"))
            yield _with_interface(machine, name, interfaces, channel) if interfaces else _without(machine, name)


def _with_interface(machine: Machine, name: str, interfaces: list[str], channel: str) -> Finding:
    text = f"interface {', '.join(interfaces)}"
    if channel in interfaces or not (machine.root / "sys/class/net" / channel).exists():
        return Finding(name, Level.OK, text)
    driver = machine.root / "sys/class/net" / channel / "device/driver"
    other = f", by {driver.resolve().name}" if driver.exists() else ""
    remedy = f"if the arm is at this adapter: --can {interfaces[0]}, and can_channel:={interfaces[0]} for the graph"
    return Finding(name, Level.WARN, f"{text}; {channel} is another one{other}", remedy)


def _without(machine: Machine, name: str) -> Finding:
    try:
        release = (machine.root / "proc/sys/kernel/osrelease").read_text().strip()
    except OSError:
        release = "unknown"
    if (machine.root / "sys/module/gs_usb").exists():
        remedy = "plug it out and in again; sudo dmesg tells what the kernel says of it"
        return Finding(name, Level.FAIL, "on USB, gs_usb is loaded, but there is no interface", remedy)
    if _has_module(machine.root / "lib/modules" / release):
        return Finding(name, Level.FAIL, "on USB, but its module gs_usb is not loaded", "sudo modprobe gs_usb")
    text = f"on USB, but the kernel {release} has no module gs_usb"
    remedy = _NO_MODULE_ON_JETSON if "tegra" in release else _NO_MODULE
    return Finding(name, Level.FAIL, text, remedy.format(release=release))


def _has_module(folder: Path) -> bool:
    for name in ("modules.dep", "modules.builtin"):
        try:
            if "gs_usb.ko" in (folder / name).read_text(errors="replace"):
                return True
        except OSError:
            continue
    return False


def check_bus(machine: Machine, channel: str) -> Finding:
    """Check a CAN interface of the kernel: there, up, at the right bit rate, and able to send."""
    name = f"CAN interface {channel}"
    state = machine.root / "sys/class/net" / channel / "operstate"
    if not state.exists():
        here = sorted(path.name for path in (machine.root / "sys/class/net").glob("*can*"))
        known = f"; there are: {', '.join(here)}" if here else "; plug the adapter in (kernel module gs_usb)"
        return Finding(name, Level.FAIL, f"not there{known}", bring_up(channel))
    link = _link_state(machine.ask(["ip", "-details", "-json", "link", "show", channel]))
    again = f"sudo ip link set {channel} down && {bring_up(channel)}"
    if link is not None and link.get("state") == "BUS-OFF":  # which the kernel calls down, too
        text = "BUS-OFF: it has left the bus after too many errors, and neither sends nor hears"
        return Finding(name, Level.FAIL, text, f"{_WIRE}; then: {again}")
    if state.read_text().strip() not in USABLE:
        return Finding(name, Level.FAIL, state.read_text().strip(), bring_up(channel))
    if link is None:
        return Finding(name, Level.WARN, "up; its bit rate is unknown", "install iproute2 for `ip -details link`")
    return _of_link(name, link, again)


def _of_link(name: str, link: dict[str, Any], again: str) -> Finding:
    bitrate = link.get("bittiming", {}).get("bitrate")
    if "LISTEN-ONLY" in link.get("ctrlmode", ()):
        text = "listen-only: it acknowledges nothing and sends nothing"
        return Finding(name, Level.FAIL, text, f"{again} listen-only off")
    if bitrate not in (None, BITRATE):
        return Finding(name, Level.FAIL, f"up at {bitrate} bit/s instead of {BITRATE}", again)
    state = link.get("state")
    if state == "ERROR-WARNING":
        return Finding(name, Level.WARN, f"up, but {state}: frames are damaged or not acknowledged", _WIRE)
    if state not in (None, "ERROR-ACTIVE"):
        return Finding(name, Level.FAIL, f"{state}: nobody acknowledges, or frames are damaged", _WIRE)
    if bitrate is None:
        return Finding(name, Level.WARN, f"up; its driver does not tell whether at {BITRATE} bit/s", _SERIAL)
    return Finding(name, Level.OK, f"up at {BITRATE} bit/s")


def check_listeners(machine: Machine, channel: str) -> list[Finding]:
    """Check that no other program of this computer has the CAN channel open; nothing where the kernel does not say."""
    name, folder = f"listeners on {channel}", machine.root / "proc/net/can"
    if others := listeners.company(channel, ours=0, folder=folder):
        return [Finding(name, Level.WARN, others, f"a graph of ours that runs is one of them; else {listeners.WHO}")]
    return [] if listeners.receivers(channel, folder) is None else [Finding(name, Level.OK, "nobody yet")]


def _link_state(answer: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(answer or "")
        data: dict[str, Any] = found[0]["linkinfo"]["info_data"]
        return data
    except (ValueError, LookupError, TypeError):
        return None
