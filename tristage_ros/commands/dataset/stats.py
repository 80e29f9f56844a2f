"""`tristage dataset stats`: what states and actions are like, without a look at any image."""

from __future__ import annotations

import argparse
import json
from collections import Counter

from tristage_ros.commands.dataset.common import counted, dataset_of
from tristage_ros.commands.table import print_table
from tristage_ros.datasets.division import task_of
from tristage_ros.datasets.summary import NAMES, UNITS, Summary


def run(options: argparse.Namespace) -> int:
    """Print a table; return the exit code.

    Raises:
        DatasetError: an episode cannot be used.
        OSError: the file cannot be written.
    """
    dataset = dataset_of(options)
    sums, tasks = {"state": Summary(), "action": Summary()}, Counter[str]()
    for one in dataset.recorded:
        tasks[task_of(one)] += 1
        for row in dataset.labels(one):
            for summary, values in zip(sums.values(), row, strict=True):
                summary.add(values)
    columns = {name: summary.columns() for name, summary in sums.items()}
    rows = [
        (f"{which} {name}", unit, *(f"{values[index]:.4f}" for values in columns[which].values()))
        for which in sums
        for index, (name, unit) in enumerate(zip(NAMES, UNITS, strict=True))
    ]
    names = list(columns["state"])
    print_table(("", "unit", *names), rows, right=names)
    if wrapping := [f"{which} {name}" for which, summary in sums.items() for name in summary.wrapping]:
        print(f"note: {', '.join(wrapping)}: goes over half a turn, where it jumps; mean and range of it mean nothing")
    how = f"at {dataset.rate:g} Hz" if dataset.rate else "key frames"
    print(f"{counted(len(dataset), 'episode')}, {counted(sums['state'].count, 'frame')}, {how}")
    for task, count in tasks.most_common():
        print(f"{counted(count, 'episode')}: {task}")
    if options.json:
        figures = {which: {name: list(v) for name, v in found.items()} for which, found in columns.items()}
        told = {"frames": sums["state"].count, "rate": dataset.rate, "tasks": tasks, "names": NAMES} | figures
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0
