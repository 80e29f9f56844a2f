"""Feed whatever reads what is not ours with inputs that nobody would write: `tristage bench fuzz`."""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from tristage_ros.bench.options import FUZZED

if TYPE_CHECKING:
    from tristage_ros.bench.fuzz.judge import Kind

ROOM = 1 << 30  # bytes beyond what a process has before the first input
ROW = "{:24}{:>9}{:>10}{:>9}{:>10}{:>9}"


def run(options: argparse.Namespace) -> int:
    """Try inputs of every kind asked for, each in a process of its own; return 1 when something is found.

    Raises:
        ValueError: hypothesis is not installed, or no kind is called so.
    """
    try:
        import hypothesis  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError("this needs hypothesis: pip install hypothesis, or apt install python3-hypothesis") from None
    names = [name for name in FUZZED if not options.only or {name, name.split("/")[0]} & set(options.only)]
    if options.input:
        return _repeat(names, options.input)
    print(ROW.format("kind", "inputs", "accepted", "refused", "findings", "seconds"), flush=True)
    found = [_one(name, options.inputs, options.seed, Path(options.out)) for name in names]
    return int(any(found))


def kind_of(name: str, folder: Path) -> Kind:
    """Return the kind called `name`, such as "images/rvl"; what it writes is in `folder`."""
    module, _, kind = name.partition("/")
    kinds: dict[str, Kind] = importlib.import_module(f"tristage_ros.bench.fuzz.{module}").kinds(folder)
    return kinds[kind]


def _one(name: str, inputs: int, seed: int, out: Path) -> bool:
    """Try one kind in a process of its own, print its row, and keep what was found; return whether anything was."""
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="tristage-fuzz-") as folder:
        here, there = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(name, inputs, seed, Path(folder), there))
        worker.start()
        there.close()
        try:
            counts, findings = here.recv()
        except EOFError:  # it died
            worker.join()
            counts, findings = {}, [(f"ended with {worker.exitcode}", Path(folder, "last").read_bytes())]
        worker.join()
    tried = sum(counts.values()) + len(findings)
    figures = tried, counts.get("accepted", 0), counts.get("refused", 0), len(findings)
    print(ROW.format(name, *figures, f"{time.monotonic() - began:.1f}"), flush=True)
    _keep(name, findings, out)
    return bool(findings)


def _work(name: str, inputs: int, seed: int, folder: Path, results: Connection) -> None:
    from tristage_ros.bench.fuzz.judge import search

    warnings.simplefilter("ignore")
    _confine()
    last = folder / "last"
    last.write_bytes(b"")
    kind = kind_of(name, folder)
    _leave_room()
    outcome = search(kind, inputs, seed, last.write_bytes)
    results.send((dict(outcome.counts), list(outcome.findings.values())))


def _confine() -> None:
    """Keep to one thread, and let nobody read what C libraries say of a bad image."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _leave_room() -> None:
    """Let this process take ROOM more than it has, and no more."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, hard))


def _keep(name: str, findings: list[tuple[str, bytes]], out: Path) -> None:
    for number, (what, data) in enumerate(findings, 1):
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{name.replace('/', '-')}-{number}"
        path.write_bytes(data)
        print(f"  {what}\n  repeat it: tristage bench fuzz --only {name} --input {path}", flush=True)


def _repeat(names: Sequence[str], path: Path) -> int:
    """Read one input again; an error that is none of ours comes as it is."""
    from tristage_ros.bench.fuzz.judge import Finding, examine, told

    if len(names) != 1:
        raise ValueError("--input is of one kind: name it by --only")
    with tempfile.TemporaryDirectory(prefix="tristage-fuzz-") as folder:
        try:
            kind = kind_of(names[0], Path(folder))
            _leave_room()
            print(examine(kind, path.read_bytes()))
        except Finding as error:
            print(told(error))
            return 1
    return 0
