"""The machine that something is measured on: what a reader has to know of it."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path


def cpu_model() -> str:
    """Return what the processor calls itself."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def described(command: str, load: int = 0) -> str:
    """Return the line that belongs above a table: when, where, by which command, beside how many busy processes."""
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    before = os.getloadavg()[0]
    beside = f" --load {load}" if load else ""
    return f"{when}, {cpu_model()}, {os.cpu_count()} cores, load {load} (before: {before:.1f}); {command}{beside}"
