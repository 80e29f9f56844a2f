"""Build a message package, by default that in msg/, against the ROS 2 wheels of the virtual environment that runs this.

build_messages.py [SOURCE PREFIX]: what is in SOURCE goes into PREFIX, by default into the environment itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
SOURCE = SCRIPTS.parent / "msg"


def build_environment() -> dict[str, str]:
    """Return the environment in which CMake finds the wheels and nothing else of ROS."""
    environment = dict(os.environ)
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH"):
        environment.pop(name, None)
    environment["PATH"] = f"{sys.prefix}/bin:{environment['PATH']}"
    environment["AMENT_PREFIX_PATH"] = environment["CMAKE_PREFIX_PATH"] = sys.prefix
    # The wheels start Python a second time to set the library path, which would undo the line above.
    environment["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
    return environment


def build(source: Path, prefix: Path) -> None:
    """Configure, build and install with CMake; raises CalledProcessError when a step fails."""
    with tempfile.TemporaryDirectory(prefix="messages-") as folder:
        options = {
            "CMAKE_BUILD_TYPE": "Release",
            "BUILD_TESTING": "OFF",
            "Python3_EXECUTABLE": sys.executable,
            "CMAKE_INSTALL_PREFIX": prefix,
            "CMAKE_PROJECT_INCLUDE": SCRIPTS / "ros_wheels.cmake",
        }
        configure = ["cmake", "-S", source, "-B", folder, *(f"-D{name}={value}" for name, value in options.items())]
        for command in (configure, ["cmake", "--build", folder, "--parallel"], ["cmake", "--install", folder]):
            subprocess.run(command, check=True, env=build_environment())


if __name__ == "__main__":
    try:
        build(*(map(Path, sys.argv[1:]) if len(sys.argv) == 3 else (SOURCE, Path(sys.prefix))))
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {error.cmd[:2]} exited with {error.returncode}; its own message is above")
