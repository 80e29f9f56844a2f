"""Install tristage_ros with pip or, as an ament_python package, with colcon."""

from __future__ import annotations

import subprocess
from pathlib import Path

from setuptools import find_packages, setup

NAME = "tristage_ros"
NODES = ("arm", "camera", "point_cloud", "policy", "recorder", "robot_model", "simulation", "viewer")
SHIPPED = ("config", "launch", "msg")


def shared_files() -> list[tuple[str, list[str]]]:
    """List what goes below the prefix's share folder, as (destination, files)."""
    files: dict[str, list[str]] = {
        "share/ament_index/resource_index/packages": [f"resource/{NAME}"],
        f"share/{NAME}": ["package.xml"],
    }
    for path in sorted(path for top in SHIPPED for path in Path(top).rglob("*") if path.is_file()):
        # A package.xml below share/tristage_ros would be taken for a second package.
        if "__pycache__" not in path.parts and path.name not in ("package.xml", "CMakeLists.txt"):
            files.setdefault(f"share/{NAME}/{path.parent}", []).append(str(path))
    return list(files.items())


def interpreter() -> str:
    """Return what the scripts are run with: the Python of the activated environment, not the one that runs colcon.

    Ctrl-C is held back, where this machine's env can, until `tristage_ros.start` answers it: launch systems send it at
    any moment, and Python, for the tenth of a second in which it starts, answers it with a traceback.
    """
    held = "--block-signal=INT"
    able = subprocess.run(["env", held, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    return f"/usr/bin/env -S {held} python3" if able else "/usr/bin/env python3"


setup(
    name=NAME,
    version="0.1.0",
    description="Real-robot inference of MLA with tri-stage token pruning on the AgileX Piper",
    author="tristage_ros maintainers",
    author_email="maintainers@example.com",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["**/*.json", "**/*.xml"]},
    data_files=shared_files(),
    # The rest is in package.xml and requirements.txt: with ROS 2 some of it comes from the system, not from pip.
    install_requires=["setuptools"],
    zip_safe=False,
    options={"build_scripts": {"executable": interpreter()}},
    entry_points={
        "console_scripts": [
            "tristage = tristage_ros.start:tristage",
            *(f"{node} = tristage_ros.start:{node}" for node in NODES),
        ]
    },
)
