"""A second numpy before apt's is told in one line, before anything dies of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tristage_ros import shadowing


def site(folder: Path, *distributions: str) -> str:
    """Make a folder of installed packages; `.egg-info` is how Debian notes them down."""
    for distribution in distributions:
        name, version = distribution.split("-")[:2]
        file = {"dist": "METADATA", "egg": "PKG-INFO"}[distribution.split("-")[2]]
        information = folder / f"{name}-{version}.{distribution.split('-')[2]}-info"
        information.mkdir(parents=True)
        (information / file).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return str(folder)


@pytest.mark.parametrize(
    ("front", "behind", "breaks"),
    [
        ("numpy-2.4.6-dist", "numpy-1.26.4-dist", True),
        ("numpy-2.2.6-dist", "numpy-1.21.5-egg", True),
        ("numpy-1.26.4-dist", "numpy-1.26.4-dist", False),
        ("numpy-1.26.4-dist", "numpy-1.21.5-egg", False),
        ("rich-15.0.0-dist", "numpy-1.26.4-dist", False),
        ("numpy-2.4.6-dist", "rich-13.7.1-dist", False),
        ("numpy-2.4.6-dist", "numpy-2.3.1-dist", False),
    ],
)
def test_a_newer_numpy_in_front_is_told_with_the_way_out(tmp_path: Path, front: str, behind: str, breaks: bool) -> None:
    text = shadowing.complaint([site(tmp_path / "venv", front), site(tmp_path / "apt", behind)])
    assert bool(text) == breaks
    if breaks:
        assert str(tmp_path / "venv") in text
        version = behind.split("-")[1]
        assert text.endswith((f"pip install numpy=={version}", "python3 -m pip uninstall numpy"))
        assert "\n" not in text


def test_it_runs_alone_and_imports_none_of_what_may_be_broken(tmp_path: Path) -> None:
    folders = [site(tmp_path / "venv", "numpy-2.4.6-dist"), site(tmp_path / "apt", "numpy-1.26.4-dist")]
    for folder in folders:
        (Path(folder) / "numpy.py").write_text("raise ImportError")
    script = (
        f"import sys; sys.path[:0] = {folders}; from tristage_ros import shadowing; sys.exit(shadowing.complaint())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "numpy 2.4.6" in done.stderr
