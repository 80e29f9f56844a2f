"""The command `tristage doctor`: check a machine and a robot before the first motion.

It says what is right, what is not, and what to do about it. Nothing is moved or switched.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from tristage_ros import shadowing
from tristage_ros.devices.arm import listeners
from tristage_ros.devices.arm.can_bus import BITRATE, bring_up
from tristage_ros.devices.arm.piper import PiperDriver, PiperError
from tristage_ros.devices.arm.site import load_site
from tristage_ros.graph.machines import alone, stays_here


class Level(Enum):
    """Say how bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """Hold the result of one check."""

    name: str
    level: Level
    text: str
    remedy: str = ""  # what to do, for all that is not OK

    def line(self) -> str:
        """Put it in one or two lines."""
        do = f"\n       do: {self.remedy}" if self.remedy else ""
        return f"{self.level.value:4}  {self.name}: {self.text}{do}"


def ask(command: Sequence[str]) -> str | None:
    """Return what a command of the system prints, None when it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10.0, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True)
class Machine:
    """Say where a check looks; replaced where there is no such machine."""

    root: Path = Path("/")
    ask: Callable[[Sequence[str]], str | None] = ask
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))


def examine(machine: Machine, interface: str, channel: str, cameras: int) -> Iterator[Finding]:
    """Yield what each check finds, the machine first, the arm last."""
    yield from check_ros(machine)
    yield check_numpy()
    yield check_shared_memory(machine)
    yield check_clock(machine)
    yield check_gpu(machine)
    yield from check_cameras(machine, cameras)
    bus = check_bus(machine, channel) if interface == "socketcan" else None
    if bus is not None:
        yield bus
        yield from check_listeners(machine, channel)
    if bus is None or bus.level is not Level.FAIL:
        yield from check_arm(interface, channel)


def run(options: argparse.Namespace, say: Callable[[str], None] = print) -> int:
    """Print every finding; return 1 when something has to be done first, else 0.

    Raises:
        ValueError: the site file that is to be checked is wrong; the message is one line for a person.
    """
    if options.site is not None:
        for line in load_site(options.site, options.cameras_file or "").in_words():
            say(line)
        return 0
    counts = dict.fromkeys(Level, 0)
    for finding in examine(Machine(), options.interface, options.can, options.cameras):
        counts[finding.level] += 1
        say(finding.line())
    say(
        f"{counts[Level.OK]} ok, {counts[Level.WARN]} to consider, {counts[Level.FAIL]} to mend before the first motion"
    )
    return 1 if counts[Level.FAIL] else 0


# The computer: clock, GPU memory, shared memory, the ROS packages, numpy.

_MODEL_MEMORY = 15_000  # MiB of GPU memory for the 7B model in bf16 with its caches
_SHARED_MEMORY = 64 * 2**20  # bytes, for the images between the nodes
_ROS_PACKAGES = ("rclpy", "sensor_msgs", "diagnostic_msgs", "trajectory_msgs", "tristage_msgs")


def check_clock(machine: Machine) -> Finding:
    """Check that the clock is kept by NTP: stamps of several computers are compared."""
    answer = machine.ask(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if answer is None:
        return Finding(
            "clock", Level.WARN, "nobody says whether it is synchronised", "install systemd-timesyncd or chrony"
        )
    if answer.strip() != "yes":
        return Finding("clock", Level.WARN, "not synchronised", "sudo timedatectl set-ntp true")
    return Finding("clock", Level.OK, "synchronised")


def check_gpu(machine: Machine) -> Finding:
    """Check the memory of the GPU."""
    command = ["nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader,nounits"]
    lines = (machine.ask(command) or "").strip().splitlines()
    if not lines:
        return Finding("GPU", Level.WARN, "none", "the 7B model needs one with 16 GB; the mini model runs without")
    name, _, free = lines[0].rpartition(",")
    text = f"{name.strip()}, {int(free) / 1024:.1f} GB free"
    if int(free) < _MODEL_MEMORY:
        return Finding(
            "GPU", Level.WARN, text, "the 7B model needs 15 GB; end what else uses the GPU, or use the mini model"
        )
    return Finding("GPU", Level.OK, text)


def check_shared_memory(machine: Machine) -> Finding:
    """Check that images fit into shared memory, over which the nodes exchange them."""
    try:
        found = os.statvfs(machine.root / "dev/shm")
    except OSError as error:
        return Finding("shared memory", Level.FAIL, f"/dev/shm: {error.strerror}", "mount a tmpfs there")
    size = found.f_bavail * found.f_frsize
    if size < _SHARED_MEMORY:
        return Finding("shared memory", Level.FAIL, f"{size / 2**20:.0f} MiB free", "in a container: --shm-size=256m")
    return Finding("shared memory", Level.OK, f"{size / 2**20:.0f} MiB free")


def check_ros(machine: Machine) -> list[Finding]:
    """Check that the ROS packages can be imported, and say on which domain they would speak."""
    missing = [name for name in _ROS_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return [
            Finding("ROS 2", Level.FAIL, f"cannot import {', '.join(missing)}", "source ROS 2, or type: make setup")
        ]
    domain = machine.environment.get("ROS_DOMAIN_ID", "0")
    if stays_here(machine.environment):
        return [Finding("ROS 2", Level.OK, f"domain {domain}, this machine alone")]
    ((name, value),) = alone(machine.environment.get("ROS_DISTRO", "")).items()
    return [
        Finding("ROS 2", Level.OK, f"domain {domain}, the whole network"),
        Finding(
            "ROS 2 reach",
            Level.WARN,
            "every computer of this network may command the arm",
            f"on one machine alone: export {name}={value}",
        ),
    ]


def check_numpy() -> Finding:
    """Check that the system's compiled packages meet the numpy that they were compiled for."""
    text, _, remedy = shadowing.complaint().rpartition(": ")
    return Finding("numpy", Level.FAIL, text, remedy) if text else Finding("numpy", Level.OK, "one that fits")


# The cameras on USB: how many, how fast, and whether this user may open them.

_INTEL = "8086"
_SUPERSPEED = 5000  # Mbit/s
_UDEV_RULES = "install librealsense's udev rules (99-realsense-libusb.rules) and plug the camera in again"


def check_cameras(machine: Machine, wanted: int = 2) -> list[Finding]:
    """Check every RealSense that is plugged in."""
    found = [device for device in sorted((machine.root / "sys/bus/usb/devices").glob("*")) if _is_realsense(device)]
    findings = [_camera(machine, device) for device in found]
    if len(found) < wanted:
        text = f"{len(found)} of {wanted} RealSense cameras on USB"
        findings.insert(0, Finding("cameras", Level.FAIL, text, "plug them into USB 3 ports of different controllers"))
    return findings


def _is_realsense(device: Path) -> bool:
    return _usb_attribute(device, "idVendor") == _INTEL and "realsense" in _usb_attribute(device, "product").lower()


def _camera(machine: Machine, device: Path) -> Finding:
    name = f"camera {_usb_attribute(device, 'product')}, USB serial {_usb_attribute(device, 'serial')}"
    speed = float(_usb_attribute(device, "speed") or 0)
    if speed < _SUPERSPEED:
        remedy = "use a USB 3 port and the cable that came with the camera"
        return Finding(name, Level.FAIL, f"at {speed:g} Mbit/s, which is USB 2", remedy)
    numbers = [int(_usb_attribute(device, key) or 0) for key in ("busnum", "devnum")]
    node = machine.root / "dev/bus/usb" / f"{numbers[0]:03d}" / f"{numbers[1]:03d}"
    if not os.access(node, os.R_OK | os.W_OK):
        return Finding(name, Level.FAIL, f"no permission to open {node}", _UDEV_RULES)
    return Finding(name, Level.OK, f"at {speed:g} Mbit/s")


def _usb_attribute(device: Path, attribute: str) -> str:
    try:
        return (device / attribute).read_text().strip()
    except OSError:
        return ""


# The CAN bus: there, up, at the right bit rate.


def check_bus(machine: Machine, channel: str) -> Finding:
    """Check a CAN interface of the kernel."""
    name = f"CAN interface {channel}"
    state = machine.root / "sys/class/net" / channel / "operstate"
    if not state.exists():
        here = sorted(path.name for path in (machine.root / "sys/class/net").glob("*can*"))
        known = f"; there are: {', '.join(here)}" if here else "; plug the adapter in (kernel module gs_usb)"
        return Finding(name, Level.FAIL, f"not there{known}", bring_up(channel))
    link = _link_state(machine.ask(["ip", "-details", "-json", "link", "show", channel]))
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


# The arm: it answers, its firmware is known, its motors complain about nothing.

_FRAME_RATE = 2500.0  # per second; a healthy arm sends about 3000
_HOT = 60.0  # deg C


def check_arm(interface: str, channel: str, timeout: float = 3.0) -> list[Finding]:
    """Connect to the arm, read for a second and leave."""
    driver = PiperDriver(interface, channel)
    try:
        driver.connect(timeout)
    except PiperError as error:
        return [
            Finding("arm", Level.FAIL, str(error), "power the arm, check the CAN cable, release its emergency stop")
        ]
    try:
        time.sleep(1.2)  # until the frame rate has been measured
        return [_firmware(driver), _arm_state(driver), _frame_rate(driver), _motors(driver), _gripper(driver)]
    finally:
        driver.close()


def _firmware(driver: PiperDriver) -> Finding:
    zero = "new" if driver.dh_is_offset else "old"
    return Finding("arm firmware", Level.OK, f"{driver.firmware}, {zero} zero of J2 and J3")


def _arm_state(driver: PiperDriver) -> Finding:
    if complaint := driver.read().complaint(motors_off=False):
        return Finding("arm state", Level.FAIL, complaint, "start the graph and call /arm/recover, holding the arm")
    powered = sum(driver.read().motors_enabled)
    return Finding("arm state", Level.OK, f"normal, {powered} of 6 motors have power")


def _frame_rate(driver: PiperDriver) -> Finding:
    feedback = driver.read()
    text = f"{feedback.frames_per_second:.0f} frames/s, {feedback.bus_load:.0%} of the bus"
    if feedback.frames_per_second < _FRAME_RATE:
        return Finding("arm feedback", Level.WARN, text, "other bus traffic or a bad cable: about 3000/s are normal")
    return Finding("arm feedback", Level.OK, text)


def _motors(driver: PiperDriver) -> Finding:
    motors = driver.read().motors
    hottest = float(max(motors.motor_temperature.max(), motors.driver_temperature.max()))
    text = f"{motors.voltage.min():.1f} to {motors.voltage.max():.1f} V, at most {hottest:.0f} deg C"
    if trouble := motors.trouble():
        return Finding("motors", Level.FAIL, f"{trouble}; {text}", "let the arm cool down or check the power supply")
    if hottest > _HOT:
        return Finding("motors", Level.WARN, text, "let the arm cool down")
    return Finding("motors", Level.OK, text)


def _gripper(driver: PiperDriver) -> Finding:
    feedback = driver.read()
    text = f"opening {feedback.gripper * 1e3:.1f} mm"
    if not feedback.gripper_bits & 0x80:
        return Finding("gripper", Level.WARN, f"{text}, not homed", "call /arm/gripper_home before /arm/enable")
    return Finding("gripper", Level.OK, f"{text}, homed")
