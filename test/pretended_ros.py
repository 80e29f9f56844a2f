"""A ROS 2 prefix in which everything that the graph looks for is installed: programs that say how they were started."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

# What each package's program is; the others are looked for, not run.
PROGRAMS = {
    "tf2_ros": "static_transform_publisher",
    "robot_state_publisher": "robot_state_publisher",
    "realsense2_camera": "realsense2_camera_node",
    "diagnostic_aggregator": "aggregator_node",
    "foxglove_bridge": "foxglove_bridge",
    "rqt_gui": "rqt_gui",
    "rviz2": "rviz2",
    "rqt_plot": "",
    "rqt_image_view": "",
    "rqt_robot_monitor": "",
}
PROGRAM = """\
#!{python}
import json, pathlib, signal, sys
with (pathlib.Path({started!r}) / {package!r}).open("a") as log:
    print(json.dumps(sys.argv[1:]), file=log)
signal.sigwait({{signal.SIGINT, signal.SIGTERM}})
"""


def install(prefix: Path) -> Path:
    """Install the packages below `prefix`, once; return the prefix."""
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True, exist_ok=True)
    (prefix / "started").mkdir(exist_ok=True)
    for package, name in PROGRAMS.items():
        (index / package).touch()
        if name:
            program = prefix / "lib" / package / name
            program.parent.mkdir(parents=True, exist_ok=True)
            text = PROGRAM.format(python=sys.executable, started=str(prefix / "started"), package=package)
            program.write_text(text)
            program.chmod(0o755)
    return prefix


def started(prefix: Path, package: str) -> list[list[str]]:
    """Return the arguments of every start of a package's program."""
    log = prefix / "started" / package
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def versions() -> str:
    """Return the versions that matter, in one line."""
    import cv2
    import matplotlib
    import numpy
    import scipy

    python = ".".join(map(str, sys.version_info[:3]))
    modules = {"NumPy": numpy, "SciPy": scipy, "Matplotlib": matplotlib, "OpenCV": cv2}
    return f"Python {python}, " + ", ".join(f"{name} {module.__version__}" for name, module in modules.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Install it, and print the versions of this Python's packages.")
    parser.add_argument("prefix", type=Path)
    install(parser.parse_args().prefix)
    print(versions())
