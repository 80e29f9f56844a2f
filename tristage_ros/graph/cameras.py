"""The nodes of the cameras, as the cameras file describes them: drivers, and static transforms for users of tf2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tristage_ros.graph.namespaces import GLOBAL_NAMES
from tristage_ros.graph.ros_packages import is_installed
from tristage_ros.perception.extrinsics import load_extrinsics

# What our node always does, and realsense2_camera must be told. Its own transforms would give the frames two parents.
LIKE_OURS = {"align_depth.enable": True, "enable_sync": True, "publish_tf": False}


class CameraGraphError(ValueError):
    """Say why the cameras cannot be started; the message is one line for a person."""


def driver_nodes(driver: str, path: Path) -> list[dict[str, Any]]:
    """Return one node per camera of the file `path`, as the fields of a NodeSpec; `driver` is one of `CAMERA_DRIVERS`.

    Raises:
        CameraGraphError: the file is wrong or lacks a serial number, or the driver is not installed.
    """
    serials = serial_numbers(path)
    if driver == "realsense2":
        if not is_installed("realsense2_camera"):
            raise CameraGraphError(
                "camera_driver:=realsense2 needs realsense2_camera, not installed or not sourced here: "
                "sudo apt install ros-$ROS_DISTRO-realsense2-camera; camera_driver:=tristage needs nothing more"
            )
        program = {
            "package": "realsense2_camera",
            "executable": "realsense2_camera_node",
            "remappings": GLOBAL_NAMES,
        }
        return [{"name": n, **program, "parameters": {**_named(n, s), **LIKE_OURS}} for n, s in serials.items()]
    return [{"name": n, "executable": "camera", "parameters": _named(n, s)} for n, s in serials.items()]


def mount_nodes(path: Path) -> list[dict[str, Any]]:
    """Return one static transform per camera of the file `path`, as the fields of a NodeSpec; none without tf2.

    Raises:
        CameraGraphError: the file is wrong.
    """
    if not is_installed("tf2_ros"):
        return []
    nodes = []
    for name, mount in _mounts(path).items():
        x, y, z = mount.pose[:3, 3]
        qx, qy, qz, qw = mount.quaternion
        numbers = {"x": x, "y": y, "z": z, "qx": qx, "qy": qy, "qz": qz, "qw": qw}
        frames = {"frame-id": mount.parent, "child-frame-id": f"{name}_color_optical_frame"}
        words = [f"{value:.9f}" for value in numbers.values()] + list(frames.values())
        arguments = tuple(
            part for key, word in zip((*numbers, *frames), words, strict=True) for part in (f"--{key}", word)
        )
        program = {
            "package": "tf2_ros",
            "executable": "static_transform_publisher",
            "remappings": GLOBAL_NAMES,
        }
        nodes.append({"name": f"{name}_mount", **program, "arguments": arguments})
    return nodes


def serial_numbers(path: Path) -> dict[str, str]:
    """Return the serial number of every camera of a cameras file, by name.

    Raises:
        CameraGraphError: the file is wrong, or a camera has none or shares one.
    """
    names = list(_mounts(path))
    cameras = yaml.safe_load(path.read_text(encoding="utf-8"))["cameras"]
    serials: dict[str, str] = {}
    for name in names:
        serial = cameras[name].get("serial_no")
        if not isinstance(serial, str) or not serial.removeprefix("_"):
            raise CameraGraphError(
                f"{path}: camera {name!r}: serial_no is {serial!r}; write it in quotes, as `tristage calibrate-cameras "
                "--list` tells it, and give the file by cameras_file:=FILE"
            )
        if serial in serials.values():
            raise CameraGraphError(f"{path}: camera {name!r}: serial_no {serial} is that of another camera, too")
        serials[name] = serial
    return serials


def _named(name: str, serial: str) -> dict[str, object]:
    # Without the underscore, a parameter file or a launch system takes the number for a number.
    return {"camera_name": name, "serial_no": f"_{serial.removeprefix('_')}"}


def _mounts(path: Path) -> dict[str, Any]:
    try:
        return load_extrinsics(path)
    except (OSError, ValueError) as error:
        raise CameraGraphError(str(error)) from error
