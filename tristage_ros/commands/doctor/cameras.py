"""The cameras on USB: how many, how fast, and whether this user may open them."""

from __future__ import annotations

import os
from pathlib import Path

from tristage_ros.commands.doctor.finding import Finding, Level, Machine

_INTEL = "8086"
_SUPERSPEED = 5000  # Mbit/s
_RULES = "install librealsense's udev rules (99-realsense-libusb.rules) and plug the camera in again"


def check_cameras(machine: Machine, wanted: int = 2) -> list[Finding]:
    """Check every RealSense that is plugged in."""
    found = [device for device in sorted((machine.root / "sys/bus/usb/devices").glob("*")) if _is_realsense(device)]
    findings = [_device(machine, device) for device in found]
    if len(found) < wanted:
        text = f"{len(found)} of {wanted} RealSense cameras on USB"
        findings.insert(0, Finding("cameras", Level.FAIL, text, "plug them into USB 3 ports of different controllers"))
    return findings


def _is_realsense(device: Path) -> bool:
    return _read(device, "idVendor") == _INTEL and "realsense" in _read(device, "product").lower()


def _device(machine: Machine, device: Path) -> Finding:
    name = f"camera {_read(device, 'product')}, USB serial {_read(device, 'serial')}"
    speed = float(_read(device, "speed") or 0)
    if speed < _SUPERSPEED:
        remedy = "use a USB 3 port and the cable that came with the camera"
        return Finding(name, Level.FAIL, f"at {speed:g} Mbit/s, which is USB 2", remedy)
    numbers = [int(_read(device, key) or 0) for key in ("busnum", "devnum")]
    node = machine.root / "dev/bus/usb" / f"{numbers[0]:03d}" / f"{numbers[1]:03d}"
    if not os.access(node, os.R_OK | os.W_OK):
        return Finding(name, Level.FAIL, f"no permission to open {node}", _RULES)
    return Finding(name, Level.OK, f"at {speed:g} Mbit/s")


def _read(device: Path, attribute: str) -> str:
    try:
        return (device / attribute).read_text().strip()
    except OSError:
        return ""
