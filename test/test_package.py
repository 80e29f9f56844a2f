"""The package as others get it: manifests, dependencies, locks and the files that are installed."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import tristage_ros

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "setup.py").exists():
    pytest.skip("needs the source tree", allow_module_level=True)

ROSDEP_KEYS = {name: f"python3-{name}" for name in ("matplotlib", "numpy", "scipy", "yaml")} | {"cv2": "python3-opencv"}
PIP_NAMES = {"can": "python-can", "can_remote": "python-can-remote", "open3d": "open3d-cpu", "OpenGL": "PyOpenGL"}
# Of these apt's compiled packages need apt's versions; see locks/apt.
OF_APT = {"matplotlib", "opencv-python", "opencv-python-headless", "pyyaml", "scipy", "setuptools"}
LOCKS = {"humble": "3.10", "jazzy": "3.12", "lyrical": "3.14"}
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
INSTALLED = ("tristage_ros", "config", "launch", "msg", "resource", "package.xml", "setup.py", "setup.cfg")


def requirements(file: str) -> list[Requirement]:
    """Read the requirements of a pip file, without what it includes."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def imported_modules() -> set[str]:
    """Name every top-level module that the package or a launch file imports, anywhere in a file."""
    names = set()
    for file in [*(ROOT / "tristage_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(str(node.module).partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"tristage_ros"}


def copy_tree(destination: Path, names: tuple[str, ...]) -> None:
    """Copy files and folders of the source tree."""
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, destination / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, destination / name)


@pytest.mark.parametrize("manifest", ["package.xml", "msg/package.xml"])
def test_manifest_is_valid_and_of_this_version(manifest: str) -> None:
    catkin_pkg = pytest.importorskip("catkin_pkg.package")
    warnings: list[str] = []
    package = catkin_pkg.parse_package(str(ROOT / manifest), warnings=warnings)
    package.validate(warnings)
    assert warnings == []
    assert package.version == tristage_ros.__version__ == distribution("tristage_ros").version


def test_every_import_is_declared() -> None:
    depends = {element.text for element in ET.parse(ROOT / "package.xml").getroot().findall("exec_depend")}
    pip = {canonicalize_name(requirement.name) for requirement in requirements("requirements.txt")}
    by_rosdep = {module for module in imported_modules() if ROSDEP_KEYS.get(module, module) in depends}
    by_pip = {module for module in imported_modules() if canonicalize_name(PIP_NAMES.get(module, module)) in pip}
    # Of tests (`tristage bench fuzz` says what to install); of the viewer's own environment, and what lies beside it.
    assert imported_modules() - by_rosdep - by_pip == {"hypothesis", "rerun", "blueprint", "wire"}


@pytest.mark.parametrize("python", ["3.10.0", "3.11.0", "3.12.0", "3.13.0"])
def test_every_requirement_is_pinned_once_for_each_python(python: str) -> None:
    environment = {"python_version": python[:4], "python_full_version": python, "sys_platform": "linux"}
    pins: dict[str, Requirement] = {}
    for pin in requirements("constraints.txt"):
        if pin.marker is None or pin.marker.evaluate(environment):
            assert canonicalize_name(pin.name) not in pins
            pins[canonicalize_name(pin.name)] = pin
    for wanted in requirements("requirements.txt") + requirements("requirements-venv.txt"):
        if wanted.marker is not None and not wanted.marker.evaluate(environment):
            continue
        (exact,) = pins[canonicalize_name(wanted.name)].specifier
        assert exact.operator == "=="
        assert wanted.specifier.contains(exact.version), wanted


@pytest.mark.parametrize("distribution_of_ros", LOCKS)
def test_lock_pins_every_requirement_and_puts_nothing_before_apts_packages(distribution_of_ros: str) -> None:
    python = LOCKS[distribution_of_ros]
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    lock = requirements(f"locks/{distribution_of_ros}.txt")
    used = [pin for pin in lock if not pin.marker or pin.marker.evaluate(environment)]
    pins = {canonicalize_name(pin.name): pin.specifier for pin in used}
    assert all(specifier.operator == "==" for pin in pins.values() for specifier in pin)
    assert not OF_APT & set(pins)
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))], "torch without CUDA needs none"
    for wanted in requirements("requirements.txt"):
        if not wanted.marker or wanted.marker.evaluate(environment):
            (pin,) = pins[canonicalize_name(wanted.name)]
            assert wanted.specifier.contains(pin.version), wanted
    apt = ROOT / "locks" / "apt" / f"{distribution_of_ros}.txt"
    numpy = [str(pin.specifier) for pin in requirements(str(apt)) if pin.name == "numpy"] if apt.exists() else []
    assert [str(specifier) for name, specifier in pins.items() if name == "numpy"] == numpy


def test_console_scripts_lead_to_functions() -> None:
    scripts = {script.name: script for script in distribution("tristage_ros").entry_points}
    assert set(scripts) == {"tristage", *NODES}
    for script in scripts.values():
        assert callable(script.load()), script


def test_wheel_holds_every_file(tmp_path: Path) -> None:
    if Version(version("setuptools")) < Version("70.1"):
        pytest.importorskip("wheel", reason="setuptools packs wheels itself since 70.1")
    copy_tree(tmp_path, INSTALLED)
    subprocess.run([sys.executable, "setup.py", "-q", "bdist_wheel"], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    packed = [name.partition(".data/data/share/tristage_ros/")[2] or name for name in zipfile.ZipFile(wheel).namelist()]
    shipped = [path for top in ("tristage_ros", "config", "launch") for path in (ROOT / top).rglob("*")]
    expected = {str(path.relative_to(ROOT)) for path in shipped if path.is_file() and "__pycache__" not in path.parts}
    assert expected - set(packed) == set()
    assert any(name.endswith("share/ament_index/resource_index/packages/tristage_ros") for name in packed)


def test_shared_memory_holds_several_frames_and_fits_a_container() -> None:
    text = (ROOT / "config" / "fastdds.xml").read_text()
    segment = int(re.search(r"<segment_size>(\d+)<", text)[1])
    frame = 640 * 480 * (3 + 2) + 4096 * 6 * 4  # colour, depth, cloud
    assert segment >= 5 * frame
    assert 3 * segment <= 64e6  # /dev/shm of a container; the simulation, the point cloud and the policy publish


def build(tree: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run setup.py as colcon does."""
    command = [sys.executable, "setup.py", *arguments]
    return subprocess.run(command, cwd=tree, env=os.environ | environment, capture_output=True, text=True)


def test_colcon_test_takes_pytest(tmp_path: Path) -> None:
    copy_tree(tmp_path, INSTALLED)
    assert build(tmp_path, "-q", "egg_info").returncode == 0
    assert "[test]\npytest\n" in (tmp_path / "tristage_ros.egg-info" / "requires.txt").read_text()


@pytest.mark.parametrize("command", ["install", "develop"])
def test_colcon_build_without_the_messages_ends_with_the_line_to_type(tmp_path: Path, command: str) -> None:
    copy_tree(tmp_path, INSTALLED)
    done = build(tmp_path, command, COLCON="1", AMENT_PREFIX_PATH=f"/nowhere{os.pathsep}{tmp_path}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"ln -s {tmp_path}/msg src/tristage_msgs" in done.stderr
    found = tmp_path / "share/ament_index/resource_index/packages/tristage_msgs"
    found.parent.mkdir(parents=True)
    found.touch()
    done = build(tmp_path, "--version", command, COLCON="1", AMENT_PREFIX_PATH=f"/nowhere{os.pathsep}{tmp_path}")
    assert done.stdout.strip() == tristage_ros.__version__
    assert build(tmp_path, "--version", command, AMENT_PREFIX_PATH="").returncode == 0  # pip and Debian's packaging


@pytest.mark.skipif(
    Version(version("setuptools")) >= Version("80"), reason="setuptools 80 has no develop: colcon copies instead"
)
def test_scripts_of_a_symlinked_build_take_the_python_of_the_path(tmp_path: Path) -> None:
    copy_tree(tmp_path, INSTALLED)
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tmp_path / "prefix" / "lib" / python / "site-packages"
    site.mkdir(parents=True)
    folder = str(tmp_path / "build")
    done = build(tmp_path, "develop", "--editable", "--build-directory", folder, "--no-deps", "--prefix",
                 str(tmp_path / "prefix"), PYTHONPATH=str(site))  # fmt: skip
    assert done.returncode == 0, done.stderr
    scripts = sorted((tmp_path / "prefix/lib/tristage_ros").iterdir())
    assert [script.name for script in scripts if script.name != "tristage"] == sorted(NODES)
    (first,) = {script.read_text().partition("\n")[0] for script in scripts}
    assert first.startswith("#!/usr/bin/env ") and first.endswith(" python3")
