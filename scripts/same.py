"""Whether two commits behave the same: what a refactoring has to pass. `.venv/bin/python scripts/same.py OLD [NEW]`.

Each commit, or the files as they lie here where NEW is not given, is checked out beside this one and runs with this
interpreter: episodes of the simulated cell by every pruning method, action for action and mask for mask, and the replay
of the small bag, bit for bit. Ends with 1 when anything differs. Ten seeds take a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
BAG = Path("test", "data", "small_bag")
FIRST_SEED, RATE = 9000, 0.7
# Where things are, newest place first: an old commit has them where they were then.
PLACES = {
    "Attempts": ("studies.attempt", "evaluation.episodes.attempt"),
    "Cell": ("studies.cell", "evaluation.episodes.cell"),
    "Job": ("studies.cell", "evaluation.episodes.cell"),
    "Variant": ("studies.variant", "evaluation.episodes.variant"),
    "MlaPolicy": ("mla.policy",),
    "find_checkpoint": ("resources",),
}


def main() -> int:
    """Compare, or be one of the two processes that are compared; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="a commit")
    parser.add_argument("new", nargs="?", default="", help="a commit (default: the files as they lie here)")
    parser.add_argument("--seeds", type=int, default=10, help="episodes of every method, task and mode (default: 10)")
    parser.add_argument("--tasks", default="banana", help="comma-separated (default: banana)")
    parser.add_argument("--episodes-only", action="store_true", help="replay nothing")
    parser.add_argument("--as", dest="probe", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        return act(options.probe, options.tasks.split(","), options.seeds)
    with ExitStack() as open_until_the_end:
        folder = Path(open_until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="tristage-same-")))
        trees = [
            open_until_the_end.enter_context(checked_out(commit, folder / str(number)))
            for number, commit in enumerate((options.old, options.new))
        ]
        outs = [folder / f"episodes-{number}.json" for number in range(2)]
        probes = [
            start(tree, [__file__, "old", "--as", str(out), "--seeds", str(options.seeds), "--tasks", options.tasks])
            for tree, out in zip(trees, outs, strict=True)
        ]
        if sum(probe.wait() != 0 for probe in probes):
            sys.exit("error: the episodes of a commit could not be run; what they said is above")
        same = tell(*(json.loads(out.read_text()) for out in outs))
        if not options.episodes_only:
            same &= replays(trees, folder)
    print("the same" if same else "NOT the same")
    return 0 if same else 1


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """Yield a folder with the files of a commit."""
    if not commit:
        yield ROOT
        return
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=False)


def start(tree: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start Python in a checkout, whose package it finds before any installed one."""
    one_thread = {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    return subprocess.Popen([sys.executable, *arguments], cwd=tree, env=os.environ | one_thread)


def found(name: str) -> Any:
    """Return what is called `name`, wherever this commit has it."""
    for place in PLACES[name]:
        try:
            return getattr(importlib.import_module(f"tristage_ros.{place}"), name)
        except ModuleNotFoundError:
            continue
    sys.exit(f"error: this commit has {name} in none of: {', '.join(PLACES[name])}")


def act(out: Path, tasks: Sequence[str], seeds: int) -> int:
    """Run the episodes and write the digests of all control steps, by method, task, mode and seed."""
    variant, cell, job, policy = found("Variant"), found("Cell"), found("Job"), found("MlaPolicy")
    variants = [variant(), *(variant(m, RATE, guard=True) for m in ("random", "fastv", "vla_pruner", "sp_vla"))]
    variants += [variant("tristage", RATE, guard=True, preset="robot"), variant("tristage")]
    steps: list[str] = []
    decide = policy.act

    def noted(self: Any, *arguments: Any, **named: Any) -> Any:
        action, report = decide(self, *arguments, **named)
        masks = (report.masks.keep_2d.cpu().numpy(), report.masks.keep_3d.cpu().numpy())
        arrays = [np.asarray(value) for value in (*astuple(action), *masks)]
        steps.append(hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16])
        return action, report

    policy.act = noted
    results: dict[str, list[str]] = {}
    for mode in ("key frames", "continuous"):
        attempts = found("Attempts")(found("find_checkpoint")("", mode == "continuous"))
        for each in variants:
            print(f"{Path.cwd().name}: {mode}, {each.name}", file=sys.stderr, flush=True)
            for task in tasks:
                for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                    steps.clear()
                    attempts.run(job(cell(task, each, mode), seed))
                    results[f"{each.name} | {task} | {mode} | {seed}"] = list(steps)
        attempts.close()
    out.write_text(json.dumps(results))
    return 0


def tell(old: dict[str, list[str]], new: dict[str, list[str]]) -> bool:
    """Print, by method, task and mode, how many episodes and steps are the same; return whether all are."""
    rows: dict[str, list[int]] = {}
    for name in old | new:
        before, after = old.get(name, []), new.get(name, [])
        row = rows.setdefault(name.rpartition(" | ")[0], [0, 0, 0, 0])
        equal = sum(a == b for a, b in zip(before, after, strict=False))
        row[0] += before == after
        row[1] += 1
        row[2] += equal
        row[3] += max(len(before), len(after))
    print("| method, task, mode | episodes the same | of | control steps the same | of |\n|---|--:|--:|--:|--:|")
    for name, row in rows.items():
        print(f"| {name.replace(' | ', ', ')} | {' | '.join(map(str, row))} |")
    return old == new


def replays(trees: Sequence[Path], folder: Path) -> bool:
    """Replay the small bag with both commits and compare; return whether actions and masks are equal, bit by bit."""
    outs = [folder / f"replay-{number}" for number in range(2)]
    for tree, out in zip(trees, outs, strict=True):
        command = ["-m", "tristage_ros", "replay", str(BAG), "--lockstep", "--every-frame", "--out", str(out)]
        if start(tree, command).wait():
            sys.exit(f"error: {tree} could not replay the bag; what it said is above")
    return start(ROOT, ["-m", "tristage_ros", "compare", *map(str, outs), "--identical"]).wait() == 0


if __name__ == "__main__":
    sys.exit(main())
