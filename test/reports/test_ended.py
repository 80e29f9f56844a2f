"""How a run ended in words, in seconds of the cell where these were longer, and two runs side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tristage_ros.bags.messages import new_message
from tristage_ros.devices.arm.smoothness import smoothness
from tristage_ros.reports.compare.compare import read_steps
from tristage_ros.reports.dilation import TOPIC, clock_of
from tristage_ros.reports.ended import sentences, side_by_side
from tristage_ros.reports.report import ReportPaths
from tristage_ros.reports.run import TASK_DONE, read_run
from tristage_ros.reports.summary import summarize


def told(dilation: float, at: float) -> tuple[float, str, Any]:
    return at, TOPIC, new_message("std_msgs/msg/Float64", data=dilation)


def done(state: bool, at: float) -> tuple[float, str, Any]:
    return at, TASK_DONE, new_message("std_msgs/msg/Bool", data=state)


def test_seconds_of_the_cell_are_counted_as_it_was_told() -> None:
    messages = [(10.0, 1.0), (20.0, 4.0), (15.0, 2.0), (25.0, 0.0), (30.0, 2.0)]
    clock = clock_of((time, new_message("std_msgs/msg/Float64", data=value)) for time, value in messages)
    assert clock.at(20.0) == 20.0 and clock.at(28.0) == pytest.approx(22.0)
    assert clock.at(34.0) == pytest.approx(24.5) and clock.at(5.0) == 5.0


@pytest.mark.parametrize(
    ("also", "expected"),
    [
        ([], ["12 control steps of"]),
        ([done(False, 0.4), done(True, 3.8)], ["Done: the task, 3.0 s after the arm was enabled.", "12 control"]),
        ([done(False, 0.4)], [r"Not done in \d\.\d s: the task.", "12 control"]),
        (
            [told(1.0, 0.1), told(2.0, 0.8), done(False, 0.4), done(True, 3.8)],
            [
                r"Done: the task, 1.5 simulated s \(3.0 s of the clock\) after",
                "12 control",
                "up to 2 times more slowly than the clock",
            ],
        ),
    ],
)
def test_a_run_ends_in_words(record_run, also: Sequence[Any], expected: list[str]) -> None:
    run = read_run(record_run(12, also=also))
    said = sentences(run)
    assert len(said) == len(expected)
    for sentence, words in zip(said, expected, strict=True):
        assert re.search(words, sentence), sentence
    rates = [step.rate for step in run.pruning if step.pruned]
    assert f"{np.mean(rates):.0%} of the visual tokens pruned" in " ".join(said)


def test_where_time_was_slowed_the_report_says_so_and_counts_by_it(record_run) -> None:
    real, slowed = (record_run(12, also=also, name=name) for name, also in (("real", []), ("slowed", [told(4.0, 0.0)])))
    rows = {row.name: row for row in summarize(read_run(slowed), {})}
    assert "4 times more slowly" in rows["Simulated time"].value and rows["Simulated time"].alarming
    assert "Simulated time" not in {row.name for row in summarize(read_run(real), {})}
    run = read_run(slowed)
    stamps = (0.4 + 0.05 * np.arange(96)) / 4.0
    assert run.joints_moved.jerk == pytest.approx(smoothness(stamps, run.joint_positions[:, :6]).jerk, rel=0.01)
    assert run.joints_moved.jerk > 10.0 * read_run(real).joints_moved.jerk
    assert read_steps(slowed).joints_moved.jerk == pytest.approx(run.joints_moved.jerk)


def test_two_runs_are_put_side_by_side(record_run, tmp_path) -> None:
    also = ([done(False, 0.4), done(True, 3.8)], [done(False, 0.4)])
    both = tmp_path / "both"
    both.mkdir()
    reports = {}
    for k, (name, steps) in enumerate({"pruned": 12, "unpruned": 1}.items()):
        run, folder = read_run(record_run(steps, also=also[k], name=name)), both / name
        reports[name] = ReportPaths(folder / "report.html", {"episode": folder / "episode.png"}, run)
    html = side_by_side(reports, "3", both).read_text()
    assert "the task, seed 3" in html and "done after 3.0 s" in html and "not done" in html
    assert "times as fast" in html and "<td>0%</td>" in html
    for name in reports:
        assert f'href="{name}/report.html"' in html and f'src="{name}/episode.png"' in html
    assert not re.search(r"https?://|<script|<link", html)
