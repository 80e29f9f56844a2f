"""Files that did not arrive: a pointer of Git LFS in their place, or a download that was cut off."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from tristage_ros.json_text import parse

POINTER = b"version https://git-lfs.github.com/spec/"
LONGEST_POINTER = 1024  # bytes
ZIP = b"PK\x03\x04"  # what a .pt file begins with
MOST = 10**18  # bytes, which no file has
LONGEST_HEADER = 100_000_000  # bytes, of a safetensors file


def complaint(path: str | Path) -> str:
    """Return why a file is not what was to be downloaded, and what to do; empty where it may be read.

    Raises:
        OSError: it is not there, or not to be opened.
    """
    with Path(path).open("rb") as stream:
        head = stream.read(LONGEST_POINTER)
        if not head:
            return f"{path} is empty: download it again"
        if head.startswith(POINTER):
            size = re.search(rb"^size (\d{1,18})$", head, re.MULTILINE)
            whole = f" ({_words(int(size[1]))})" if size else ""
            return f"{path} is a pointer of Git LFS, not the file itself{whole}: run git lfs pull where it was cloned"
        size_now = Path(path).stat().st_size
        if head.startswith(ZIP):
            return "" if _is_zip(path) else f"{path} is cut off after {_words(size_now)}: download it again"
        size_whole = _safetensors_bytes(head, path)
    if size_now < size_whole:
        return f"{path} is cut off, {_words(size_now)} of {_words(size_whole)}: download it again"
    return ""


def _safetensors_bytes(head: bytes, path: str | Path) -> int:
    """Return how long a safetensors file says that it is; at least what its header takes; 0 for any other file."""
    length = int.from_bytes(head[:8], "little")
    if length > LONGEST_HEADER or head[8:9] != b"{":
        return 0
    with Path(path).open("rb") as stream:
        header = stream.read(8 + length)[8:]
    if len(header) < length:
        return 8 + length
    try:
        ends = [int(entry["data_offsets"][1]) for name, entry in parse(header).items() if name != "__metadata__"]
    except (ArithmeticError, ValueError, LookupError, TypeError):
        return 0
    return 8 + length + min(max(ends, default=0), MOST)


def _is_zip(path: str | Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # of several disks, it says
        return False


def _words(size: int) -> str:
    """Return a size in bytes for print."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size} bytes"
