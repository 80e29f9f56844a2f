"""The computer, as far as arm and model need it: clock, GPU, shared memory, folders, ROS packages, numpy, cameras."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from tristage_ros import shadowing
from tristage_ros.commands.doctor.finding import Finding, Level, Machine, usb_attribute
from tristage_ros.graph import middleware

_MODEL_MEMORY = 15_000  # MiB of GPU memory for the 7B model in bf16 with its caches
_OTHERS = 5  # nodes beside the cameras: point cloud, policy, arm, recorder, monitor
_RMW = "unset RMW_IMPLEMENTATION, or see by `ros2 topic hz /front/color/image_raw` that no image is lost"
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


def check_shared_memory(machine: Machine, cameras: int = 2) -> Finding:
    """Check that images fit into shared memory, over which the nodes of a cell exchange them."""
    nodes = [True] * cameras + [False] * _OTHERS
    try:
        told = middleware.check_shared_memory(nodes, machine.environment, machine.root / "dev/shm")
    except middleware.MiddlewareError as error:
        return Finding("shared memory", Level.FAIL, error.what, error.remedy)
    return Finding("shared memory", Level.OK, told)


def check_folders(machine: Machine, here: Path) -> list[Finding]:
    """Check that runs (below `here`), black boxes and temporary files can be written; logs are with ROS 2."""
    folders = {"runs": here, "temporary files": Path(machine.environment.get("TMPDIR") or tempfile.gettempdir())}
    with suppress(middleware.MiddlewareError):  # said with ROS 2
        folders["black boxes"] = middleware.ros_home(machine.environment)
    remedies = {
        "runs": "change into a folder that is yours, or give run_dir:=FOLDER",
        "temporary files": "export TMPDIR=FOLDER",
        "black boxes": "export ROS_HOME=FOLDER, or the arm's parameter black_box_dir",
    }
    found = {name: middleware.unwritable(folder) for name, folder in folders.items()}
    return [
        Finding(f"folder of {name}", Level.FAIL, f"{folders[name]} cannot be written ({why})", remedies[name])
        for name, why in found.items()
        if why
    ] or [Finding("folders", Level.OK, "can be written")]


def check_ros(machine: Machine) -> list[Finding]:
    """Check that the ROS packages can be imported, and say on which domain they would speak."""
    missing = [name for name in _ROS_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return [
            Finding("ROS 2", Level.FAIL, f"cannot import {', '.join(missing)}", "source ROS 2, or type: make setup")
        ]
    try:
        middleware.check(machine.environment)
    except middleware.MiddlewareError as error:
        return [Finding("ROS 2", Level.FAIL, error.what, error.remedy)]
    distribution = machine.environment.get("ROS_DISTRO", "")
    domain = machine.environment.get(middleware.DOMAIN) or "0"
    chosen = machine.environment.get(middleware.IMPLEMENTATION) or "rmw_fastrtps_cpp"
    here = middleware.stays_here(machine.environment)
    reach = "this machine alone" if here else "the whole network"
    findings = [
        Finding("ROS 2", Level.OK, f"{distribution or 'ROS_DISTRO not set'}, {chosen}, domain {domain}, {reach}")
    ]
    if chosen not in middleware.FASTDDS:
        findings.append(Finding("middleware", Level.WARN, f"{chosen} is not tried", _RMW))
    if int(domain) in middleware.CROWDED:
        text = f"{domain}: its ports are among those that Linux gives to any connection"
        findings.append(Finding("domain", Level.WARN, text, "export ROS_DOMAIN_ID=0, or up to 101"))
    if not here:
        ((name, value),) = middleware.alone(distribution).items()
        unread = middleware.unread(machine.environment)
        text = "every computer of this network may command the arm"
        text += f"; {unread} is set, which {distribution or 'this ROS 2'} does not read" if unread else ""
        findings.append(
            Finding("ROS 2 reach", Level.WARN, text, f"on one machine alone: export {name}={value}"),
        )
    return findings


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
    return usb_attribute(device, "idVendor") == _INTEL and "realsense" in usb_attribute(device, "product").lower()


def _camera(machine: Machine, device: Path) -> Finding:
    name = f"camera {usb_attribute(device, 'product')}, USB serial {usb_attribute(device, 'serial')}"
    speed = float(usb_attribute(device, "speed") or 0)
    if speed < _SUPERSPEED:
        remedy = "use a USB 3 port and the cable that came with the camera"
        return Finding(name, Level.FAIL, f"at {speed:g} Mbit/s, which is USB 2", remedy)
    numbers = [int(usb_attribute(device, key) or 0) for key in ("busnum", "devnum")]
    node = machine.root / "dev/bus/usb" / f"{numbers[0]:03d}" / f"{numbers[1]:03d}"
    if not os.access(node, os.R_OK | os.W_OK):
        return Finding(name, Level.FAIL, f"no permission to open {node}", _UDEV_RULES)
    return Finding(name, Level.OK, f"at {speed:g} Mbit/s")
