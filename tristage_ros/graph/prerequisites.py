"""What is installed: what the nodes import, with one line about what of it is not there, and packages of ROS 2.

Packages of a sourced ROS 2 are found without ROS 2 itself, in the ament index and the folders below its prefixes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from tristage_ros.graph.arguments import GraphError

OF_EVERY_NODE = ("numpy", "rclpy", "yaml")
OF_NODE = {  # by executable
    "arm": ("can", "piper_sdk", "ruckig", "scipy", "tristage_msgs", "visualization_msgs"),
    "camera": ("cv2", "pyrealsense2", "rosbags"),
    "episodes": ("cv2", "rosbags", "scipy", "tristage_msgs"),
    "point_cloud": ("cv2", "fpsample", "rosbags", "scipy", "tristage_msgs"),
    "policy": ("cv2", "fpsample", "rosbags", "safetensors", "scipy", "tokenizers", "torch", "tristage_msgs"),
    "recorder": ("cv2", "rosbags", "scipy", "tristage_msgs"),
    "remote_policy": ("cv2", "msgpack", "rosbags", "scipy", "tristage_msgs", "websockets"),
    "rerun_viewer": ("cv2", "rosbags", "scipy", "tristage_msgs"),
    "robot_model": ("scipy", "tristage_msgs"),
    "simulation": (
        "OpenGL",
        "can",
        "can_remote",
        "cv2",
        "fpsample",
        "mujoco",
        "rosbags",
        "ruckig",
        "scipy",
        "tristage_msgs",
    ),
    "viewer": (),
}
ROS = ("builtin_interfaces", "launch", "launch_ros", "rclpy", "visualization_msgs")
MESSAGES = ("tristage_msgs",)
SYSTEM = ("cv2", "matplotlib", "numpy", "scipy", "yaml")  # in a virtual environment these are the system's
SOURCE = "source /opt/ros/$ROS_DISTRO/setup.bash"
BUILD = "ln -s tristage_ros/msg src/tristage_msgs in the workspace, colcon build, source install/setup.bash"
ROSDEP = "rosdep install --from-paths src --ignore-src -y"
ACTIVATE = "activate the virtual environment that has them, or in one of your own pip install -r locks/$ROS_DISTRO.txt"
FIND = (  # without the current folder, in which one that is called like a module may be
    "import sys; from importlib.util import find_spec; del sys.path[0]; "
    "print(*(name for name in sys.argv[1:] if find_spec(name) is None))"
)


def require(executables: Iterable[str], python: str, *others: str) -> None:
    """Raise GraphError when the interpreter `python` lacks what the nodes `executables` import, or `others`."""
    if lacking := missing(executables, python, *others):
        raise GraphError(complaint(lacking, python))


def missing(executables: Iterable[str], python: str, *others: str) -> list[str]:
    """Return which modules of the nodes `executables` the interpreter `python` does not find; nothing is imported."""
    wanted = {*others, *OF_EVERY_NODE, *(module for name in executables for module in OF_NODE[name])}
    return subprocess.run(
        [python, "-c", FIND, *sorted(wanted)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()


def complaint(modules: Collection[str], python: str) -> str:
    """Return which `modules` the interpreter `python` lacks, and what to type, in one line."""
    ways = {
        SOURCE: [module for module in modules if module in ROS],
        BUILD: [module for module in modules if module in MESSAGES],
        ROSDEP: [module for module in modules if module in SYSTEM],
    }
    known = [module for found in ways.values() for module in found]
    ways[ACTIVATE] = [module for module in modules if module not in known]
    told = "; ".join(f"{', '.join(found)}: {way}" for way, found in ways.items() if found)
    return f"{python} does not find what the nodes import: {told}"


def interpreter(script: Path) -> str:
    """Return the interpreter that runs an installed `script`, as its first line says."""
    with script.open("rb") as file:
        words = file.readline().decode(errors="replace").removeprefix("#!").split()
    if Path(words[0]).name == "env":
        name = next(word for word in words[1:] if not word.startswith("-"))
        return shutil.which(name) or name
    return words[0]


def prefixes() -> list[Path]:
    """Return the folders that ROS 2 packages are installed below, the first one wins."""
    sourced = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return [Path(prefix) for prefix in (*sourced, sys.prefix) if prefix]


def is_installed(package: str) -> bool:
    """Tell whether the ament index of a prefix knows `package`."""
    index = Path("share", "ament_index", "resource_index", "packages")
    return any((prefix / index / package).exists() for prefix in prefixes())


def program(package: str, executable: str) -> Path | None:
    """Return the path of what `ros2 run` would start, None where there is none."""
    paths = (prefix / "lib" / package / executable for prefix in prefixes())
    return next((path for path in paths if os.access(path, os.X_OK) and path.is_file()), None)
