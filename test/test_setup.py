"""scripts/setup.sh: what it refuses, which build of torch it takes and from where, and when it does nothing."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "setup.py").exists():
    pytest.skip("needs the source tree", allow_module_level=True)
pytestmark = pytest.mark.timeout(600)  # pip, in environments of its own

# Everything of the set-up but what needs this machine's apt and a compiler.
MAIN = """
missing_system_packages() { :; }
build_messages() { messages_wanted >"$MESSAGES_STAMP"; }
main
"""
BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(folder + "/cell-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("cell-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: cell\\nVersion: 1\\n")
        wheel.writestr("cell-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("cell-1.dist-info/RECORD", "")
    return "cell-1-py3-none-any.whl"
"""


def write_wheel(index: Path, name: str, version: str, requires: str = "") -> None:
    """Add a wheel that holds nothing to a folder that is served as a package index."""
    (index / name).mkdir(parents=True, exist_ok=True)
    information = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    with zipfile.ZipFile(index / name / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{information}/METADATA", metadata)
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[str]:
    """Serve pypi/ (torch with CUDA) and cpu/ (torch without) on this machine; give the address."""
    write_wheel(tmp_path / "served/pypi", "torch", "2.13.0", "Requires-Dist: nvidia\n")
    write_wheel(tmp_path / "served/pypi", "nvidia", "13")
    write_wheel(tmp_path / "served/cpu", "torch", "2.13.0+cpu")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a small package that scripts/setup.sh sets up."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "scripts", tree / "scripts")
    (tree / "msg").mkdir()
    backend = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"requirements-venv.txt": "torch>=2.5\n", "constraints.txt": "nvidia==13\ntorch==2.13.0\n"}
    files |= {"requirements.txt": "", "setup.py": "", "setup.cfg": "", "msg/A.msg": ""}
    files |= {"pyproject.toml": backend, "backend.py": BACKEND}
    for name, text in files.items():
        (tree / name).write_text(text)
    return tree


def say(tree: Path, script: str, **environment: str) -> str:
    """Run functions of the set-up without this machine's settings of pip; return what they printed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIP_") and name != "TORCH"}
    command = ["bash", "-c", f"source scripts/setup.sh; {script}"]
    done = subprocess.run(command, cwd=tree, env=inherited | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def set_up(tree: Path, indexes: str, **environment: str) -> str:
    """Run the set-up with the served indexes; return what it said."""
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{indexes}/pypi/", "PYTHON": sys.executable}
    return say(tree, MAIN, **(settings | {"TORCH_INDEX": f"{indexes}/cpu/"} | environment))


def installed(tree: Path) -> set[str]:
    """Name what pip installed into .venv, with versions."""
    command = [tree / ".venv/bin/python", "-m", "pip", "list", "--format=freeze"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return {line for line in lines if line.startswith(("torch", "nvidia"))}


@pytest.mark.long
def test_torch_without_cuda_comes_from_its_own_index_and_stays(tree: Path, indexes: str) -> None:
    assert "torch for cpu" in set_up(tree, indexes, TORCH="cpu")
    assert installed(tree) == {"torch==2.13.0+cpu"}
    assert set_up(tree, indexes) == set_up(tree, indexes, TORCH="cpu") == ""
    (tree / "setup.cfg").write_text("# changed")
    assert "rebuilding" not in set_up(tree, indexes, TORCH_INDEX="http://127.0.0.1:9/cpu")
    assert installed(tree) == {"torch==2.13.0+cpu"}
    assert say(tree, "venv_is_whole || echo rebuild", TORCH="cuda") == "rebuild\n"


@pytest.mark.long
def test_index_without_an_answer_costs_gigabytes_and_says_so_once(tree: Path, indexes: str) -> None:
    environment = {"TORCH": "cpu", "TORCH_INDEX": "http://127.0.0.1:9/cpu"}
    assert "2.7 GB to download" in set_up(tree, indexes, **environment)
    assert installed(tree) == {"torch==2.13.0", "nvidia==13"}
    assert set_up(tree, indexes, **environment) == ""


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("", ""),
        ("Collecting numpy==2.2 (from -c c.txt (line 3))\n  Downloading numpy-2.2.whl.metadata (62 kB)\n"
         "Collecting torch>=2.5", "looking: 2 packages found, torch"),
        ("Collecting numpy==2.2\n  Downloading numpy-2.2-cp311.whl (16.8 MB)\n"
         "  Using cached https://x/y/torch-2.13-cp311.whl (1.2 GB)\nDownloading a_b-1.0.tar.gz (500 kB)",
         "downloading: 3 packages, 1217 MB, a_b 500 kB"),
        ("Downloading a-1.whl (1 MB)\nInstalling collected packages: a, b, c", "installing 3 packages, 0 are there"),
        ("Get:1 http://deb x\nSetting up libegl1:amd64 (1.2)", "setting up libegl1:amd64"),
    ],
)  # fmt: skip
def test_what_pip_and_apt_say_is_told_in_a_line(tree: Path, log: str, told: str) -> None:
    (tree / "log").write_text(log)
    assert say(tree, "how_far <log").strip() == told


def test_a_long_step_says_how_far_it_is(tree: Path) -> None:
    (tree / ".venv").mkdir()
    told = 'say() { echo "told: $*"; touch told; }; '
    step = 'run "cannot" bash -c "echo Collecting numpy; until [[ -e told ]]; do sleep 0.1; done"; echo end'
    said = say(tree, f'{told} : >"$LOG"; {step}', TELL_EVERY="1")
    assert said == "told: looking: 1 packages found, numpy\nend\n"


def test_gpu_decides_once(tree: Path, tmp_path: Path) -> None:
    command = tmp_path / "nvidia-smi"
    for answer, build in (("true", "cuda"), ("false", "cpu")):
        command.write_text(f"#!/bin/sh\n{answer}\n")
        command.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        if not Path("/dev/nvidiactl").exists():
            assert say(tree, "torch_wanted", PATH=path) == f"{build}\n"
        venv = f"mkdir -p .venv/bin; ln -sf {sys.executable} .venv/bin/python"
        stamp = 'printf "sum\\ncuda\\n$VENV" >$PACKAGES_STAMP'
        assert say(tree, f"{venv}; {stamp}; torch_wanted", PATH=path) == "cuda\n"
        shutil.rmtree(tree / ".venv")


def test_beside_apt_the_extra_index_gives_torch_without_cuda(indexes: str, tmp_path: Path, tree: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("torch==2.13.0\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{indexes}/pypi/"}
    command = [sys.executable, "-m", "pip", "download", "-q", "-r", lock, "--extra-index-url", f"{indexes}/cpu/"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert [path.name for path in tmp_path.glob("*.whl")] == ["torch-2.13.0+cpu-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("commands", "environment", "message"),
    [
        ({"uname": "echo Linux aarch64"}, {}, "build with colcon"),
        ({"uname": "echo Darwin arm64"}, {}, "build with colcon"),
        ({}, {"PYTHON": "/bin/false"}, "PYTHON=/bin/false is not a Python 3.10"),
        ({}, {"PYTHON": "/no/such/python"}, "PYTHON=/no/such/python is not a Python 3.10"),
        ({}, {"TORCH": "rocm"}, "TORCH=rocm is neither cpu nor cuda"),
    ],
)
def test_setup_refuses_with_the_way_out(
    tree: Path, commands: dict[str, str], environment: dict[str, str], message: str
) -> None:
    for name, script in commands.items():
        command = tree / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    (tree / ".venv").mkdir()
    environment = os.environ | environment | {"PATH": f"{tree}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "scripts/setup.sh"], cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr
    assert (tree / ".venv").exists()
