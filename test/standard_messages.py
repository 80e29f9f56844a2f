"""As much of control_msgs as the tests need, where no ROS 2 distribution brings it: PyPI has none."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "test" / "control_messages"
SCRIPT = ROOT / "scripts" / "build_messages.py"


def control_actions() -> ModuleType:
    """Return control_msgs.action: what is installed, or built from `SOURCE` once, which takes some 20 s."""
    if importlib.util.find_spec("control_msgs") is None:
        _load(_built(ROOT / ".pytest_cache" / f"messages-{hashlib.sha256(sys.prefix.encode()).hexdigest()[:8]}"))
    return importlib.import_module("control_msgs.action")


def _built(below: Path) -> Path:
    """Return the prefix `below` that it was built into, now or before."""
    files = [*sorted(SOURCE.iterdir()), SCRIPT, SCRIPT.with_name("ros_wheels.cmake"), ROOT / "constraints.txt"]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    prefix, stamp = below / "control_msgs", below / "control_msgs.stamp"
    below.mkdir(parents=True, exist_ok=True)
    with (below / "control_msgs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes test at once
        if not stamp.exists() or stamp.read_text() != key:
            stamp.unlink(missing_ok=True)
            done = subprocess.run([sys.executable, SCRIPT, SOURCE, prefix], capture_output=True, text=True)
            assert done.returncode == 0, f"control_msgs cannot be built: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            stamp.write_text(key)
    return prefix


def _load(prefix: Path) -> None:
    """Make it importable; its libraries are looked for by name where nobody looks below `prefix`."""
    for library in sorted((prefix / "lib").glob("*.so")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    sys.path.append(str(prefix / "lib" / version / "site-packages"))
    importlib.invalidate_caches()
