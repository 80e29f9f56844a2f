"""Folders of episodes made of others: parts of one, or several in one. Files are linked, so that they take no room.

A folder gets its name when all of it is there; before, it lies beside, and nothing in the folders that it is made of
is touched.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from tristage_ros.bags.episodes.episode import BAG, SIDECAR, Episode
from tristage_ros.bags.facts import read_facts
from tristage_ros.bags.reader import BagReader
from tristage_ros.datasets.recorded import Recorded
from tristage_ros.datasets.values import DatasetError

PARTIAL = ".partial"
ORIGIN = "from"  # key in an episode's file


def divided(
    episodes: Sequence[tuple[Recorded, str]], shares: Mapping[str, float], seed: int
) -> dict[str, list[Recorded]]:
    """Return which episodes belong to which part: of every task the same shares, drawn by `seed`.

    Args:
        episodes: with their tasks.
        shares: by part, their sum is 1.
        seed: of the draw.

    Raises:
        DatasetError: a part would be empty.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Recorded]] = {name: [] for name in shares}
    ends = np.cumsum(list(shares.values()))
    for task in sorted({task for _, task in episodes}):
        ours = [one for one, its in episodes if its == task]
        bounds = np.round(ends * len(ours)).astype(int)
        for name, some in zip(parts, np.split(rng.permutation(len(ours)), bounds[:-1]), strict=True):
            parts[name] += [ours[index] for index in some]
    if empty := [name for name, ours in parts.items() if not ours]:
        raise DatasetError(f"{len(episodes)} episodes leave nothing for {', '.join(empty)}: give it a larger share")
    return {name: sorted(ours, key=lambda one: one.where) for name, ours in parts.items()}


def gathered(parts: Mapping[str, Sequence[Recorded]], out: Path) -> None:
    """Make the folder `out` with a folder of episodes, numbered from 1, for each of `parts`; "" is `out` itself.

    Raises:
        DatasetError: it is there already, or what is known of an episode is wrong.
        OSError: it cannot be written; nothing of it stays.
    """
    require_new(out)
    beside = out.with_name(out.name + PARTIAL)
    shutil.rmtree(beside, ignore_errors=True)
    try:
        for name, episodes in parts.items():
            for number, one in enumerate(episodes, 1):
                _place(one, beside / name / f"{number:04d}")
        beside.rename(out)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def require_new(out: Path) -> None:
    """Raise DatasetError where there is something at `out` already."""
    if out.exists():
        raise DatasetError(f"{out}: it is there already; nothing is written over, give another name")


def task_of(recorded: Recorded) -> str:
    """Return the sentence that the policy is told; empty where nobody wrote it down.

    Raises:
        DatasetError: what is known of the episode is wrong, or its bag cannot be read.
    """
    if task := recorded.read().task:
        return task
    try:
        with BagReader(recorded.bag) as bag:
            return str(read_facts(bag).parameters.get("policy", {}).get("instruction", ""))
    except ValueError as error:
        raise DatasetError(f"{recorded.where}: {error}") from error


def _place(one: Recorded, folder: Path) -> None:
    known = one.read()
    known = known if one.kept else Episode(task=task_of(one))
    folder.mkdir(parents=True)
    if one.kept:
        for file in one.folder.iterdir():
            if file.is_file() and file.name != SIDECAR:
                _link(file, folder / file.name)
    for file in [one.bag] if one.bag.is_file() else sorted(one.bag.iterdir()):
        (folder / BAG).mkdir(exist_ok=True)
        _link(file, folder / BAG / file.name)
    origin = known.others.get(ORIGIN) or one.where
    replace(known, others=known.others | {ORIGIN: origin}).written(folder)


def _link(file: Path, to: Path) -> None:
    with suppress(OSError):  # another disk, or one that knows no links
        os.link(file, to)
        return
    shutil.copy2(file, to)
