"""Install tristage_ros with pip or, as an ament_python package, with colcon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.develop import develop

NAME = "tristage_ros"
MESSAGES = "tristage_msgs"
NODES = (
    "arm",
    "camera",
    "episodes",
    "point_cloud",
    "policy",
    "recorder",
    "remote_policy",
    "rerun_viewer",
    "robot_model",
    "simulation",
    "viewer",
)
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


class DevelopForAnyPython(develop):
    """Give scripts of a symlinked build the interpreter that [build_scripts] gives to copied ones."""

    def write_script(self, script_name: str, contents: str, *arguments: object) -> None:
        """Write a script under another first line."""
        interpreter = self.get_finalized_command("build_scripts").executable
        super().write_script(script_name, f"#!{interpreter}\n{contents.partition(chr(10))[2]}", *arguments)


def check_messages() -> None:
    """End a colcon build to which the messages are unknown: it would succeed, and no node would start."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    index = Path("share", "ament_index", "resource_index", "packages", MESSAGES)
    builds = {"install", "develop"}.intersection(sys.argv) and "COLCON" in os.environ
    if builds and not any((Path(prefix) / index).exists() for prefix in prefixes):
        sys.exit(
            f"error: {MESSAGES} is not in this workspace: colcon does not look for a package inside another. "
            f"Type this in the workspace, and build again:  ln -s {Path(__file__).resolve().parent}/msg src/{MESSAGES}"
        )


check_messages()
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
    extras_require={"test": ["pytest"]},  # by this `colcon test` knows that the tests are pytest's
    zip_safe=False,
    options={"build_scripts": {"executable": interpreter()}},
    cmdclass={"develop": DevelopForAnyPython},
    entry_points={
        "console_scripts": [
            "tristage = tristage_ros.start:tristage",
            *(f"{node} = tristage_ros.start:{node}" for node in NODES),
        ]
    },
)
