from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tristage_ros.bags.messages import new_message, typestore
from tristage_ros.bags.reader import BagError
from tristage_ros.bags.writer import BagWriter
from tristage_ros.evaluation import figures
from tristage_ros.evaluation.report import report
from tristage_ros.evaluation.run import Run, read_run
from tristage_ros.evaluation.summary import LIMITS, limits_exceeded, summarize

FIGURES = {"pruning", "timings", "overlays", "views", "joints"}
PNG = b"\x89PNG\r\n\x1a\n"


def values(run: Run, **facts: object) -> dict[str, str]:
    return {row.name: row.value for row in summarize(run, facts)}


def alarms(run: Run, **facts: object) -> set[str]:
    return {row.name for row in summarize(run, facts) if row.alarming}


def test_report_is_one_file_that_needs_no_network(record_run, tmp_path: Path) -> None:
    facts = {"checkpoint": "mini.safetensors", "instruction": "pick <b>it</b>"}
    paths = report(record_run(), tmp_path / "out", facts)
    html = paths.html.read_text()
    assert paths.figures.keys() == FIGURES
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert len(images) == html.count("<img") == len(FIGURES)
    assert [b64decode(image) for image in images] == [path.read_bytes() for path in paths.figures.values()]
    assert all(path.read_bytes().startswith(PNG) for path in paths.figures.values())
    assert not re.search(r"https?://|<script|<link", html)
    assert "pick &lt;b&gt;it&lt;/b&gt;" in html
    assert "no frame for 0.6 s" in html, "the warning in /diagnostics"
    assert "RANDOM" not in html


def test_random_weights_are_in_bold_red(record_run, tmp_path: Path) -> None:
    html = report(record_run(2, ["image", "overlay", "joint"]), tmp_path, {"checkpoint": ""}).html.read_text()
    assert '<td class="alarm">RANDOM WEIGHTS' in html
    assert re.search(r"\.alarm\{color:#c00000;font-weight:bold", html)


def test_checkpoint_is_looked_up_in_the_diagnostics(record_run) -> None:
    run = read_run(record_run(2))
    assert values(run)["Checkpoint"] == "mini.safetensors"
    assert values(run, checkpoint="other.safetensors")["Checkpoint"] == "other.safetensors"


def test_summary_says_what_happened(record_run) -> None:
    run = read_run(record_run(12))
    summary = values(run)
    pruned = [step for step in run.pruning if step.pruned]
    ages = [step.action_age_ms for step in run.timings]
    assert len(pruned) == 11
    rate = f"{100 * np.mean([step.rate_2d for step in pruned]):.0f} %"
    assert summary["Pruned of 2D tokens, mean of pruned steps"].startswith(rate)
    assert summary["Camera to action"] == f"median {np.median(ages):.0f} ms, p95 {np.percentile(ages, 95):.0f} ms"
    assert float(summary["Control rate"].removesuffix(" Hz")) == pytest.approx(2.5, rel=0.05)
    expected = {
        "Control steps": "12",
        "Steps on all tokens": "1 (step 1)",
        "First step on all tokens": "yes",
        "Action chunks": "12 accepted, 0 refused",
        "Camera frames skipped": "4",
        "Set-points slowed or clamped": "6 of 240",
        "Arm faults": "none",
        "Joint limits respected": "yes",
    }
    assert {name: summary[name] for name in expected} == expected
    assert alarms(run) == set()


@pytest.mark.parametrize(
    ("figure", "without", "words"),
    [
        (figures.pruning_rates, ["pruning"], "/tristage/pruning"),
        (figures.timings, ["timings"], "/tristage/timings"),
        (figures.overlays, ["overlay"], "/tristage/overlay"),
        (figures.views, ["image_raw"], "color/image_raw"),
        (figures.joints, ["joint_states", "status"], "/joint_states and /arm/status"),
    ],
)
def test_a_figure_without_its_topic_says_so(record_run, figure, without: list[str], words: str) -> None:
    with pytest.raises(figures.NotRecordedError, match=words):
        figures.draw(figure, read_run(record_run(3, without)))


@pytest.mark.parametrize(
    ("figure", "without"),
    [
        (figures.joints, "joint_states"),
        (figures.joints, "status"),
        (figures.overlays, "pruning"),
        (figures.views, "wrist"),
    ],
)
def test_half_a_figure_is_drawn(record_run, figure, without: str) -> None:
    assert figures.draw(figure, read_run(record_run(3, [without]))).axes


def test_the_overlays_shown_run_from_first_to_last(record_run) -> None:
    axes = figures.draw(figures.overlays, read_run(record_run(30))).axes
    titles = [ax.get_title("left") for ax in axes]
    assert titles[0] == "step 1: all tokens kept"
    assert titles[-1].startswith("step 30: kept 2D ")
    assert len(titles) == 8


def test_modes_fill_the_band(record_run) -> None:
    run = read_run(record_run(3))
    band = figures.draw(figures.joints, run).axes[-1].patches
    assert band[0].get_x() == pytest.approx(0.0)
    ends = [patch.get_x() + patch.get_width() for patch in band]
    assert ends[-1] == pytest.approx(run.duration)
    assert ends[:-1] == pytest.approx([patch.get_x() for patch in band[1:]])


def test_a_run_of_one_step_and_a_bag_of_nothing(record_run, tmp_path: Path) -> None:
    assert report(record_run(1), tmp_path / "one", {}).figures.keys() == FIGURES
    with BagWriter(tmp_path / "empty"):
        pass
    empty = report(tmp_path / "empty", tmp_path / "none", {})
    html = empty.html.read_text()
    assert empty.figures == {}
    assert html.count("was not recorded") == len(FIGURES) + 1
    assert "&lt;camera&gt;/color/image_raw was not recorded" in html


def test_a_missing_bag_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="nowhere"):
        report(tmp_path / "nowhere", tmp_path / "out", {})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("joint", "position", "words"),
    [
        (2, 0.05, ["joint3 by 2.9°"]),
        (4, -1.3, ["joint5 by 4.6°"]),
        (6, 0.08, ["gripper by 10.0 mm"]),
        (2, 0.005, []),
        (6, -0.001, []),
    ],
)
def test_joints_beyond_their_limits_are_named(joint: int, position: float, words: list[str]) -> None:
    positions = np.tile(LIMITS.mean(axis=1), (5, 1))
    positions[3, joint] = position
    assert limits_exceeded(positions) == words


def trouble(tmp_path: Path, **fields: Any) -> Run:
    """Return a run of one arm status."""
    message = new_message("tristage_msgs/msg/ArmStatus", **fields)
    with BagWriter(tmp_path / "trouble") as writer:
        data = bytes(typestore().serialize_cdr(message, message.__msgtype__))
        writer.write("/arm/status", message.__msgtype__, data, 5)
    return read_run(tmp_path / "trouble")


@pytest.mark.parametrize(
    ("fields", "name", "words"),
    [
        ({"mode": 4, "reason": "joint 2 overheated"}, "Arm faults", "joint 2 overheated"),
        ({"chunks_accepted": 4, "chunks_refused": 1}, "Action chunks", "4 accepted, 1 refused"),
    ],
)
def test_troubles_of_the_arm_are_alarms(tmp_path: Path, fields: dict[str, Any], name: str, words: str) -> None:
    run = trouble(tmp_path, **fields)
    assert values(run)[name] == words
    assert alarms(run, checkpoint="x") == {name}


def test_a_first_step_that_pruned_is_an_alarm(record_run: Callable[..., Path]) -> None:
    run = read_run(record_run(3))
    run.pruning[0].pruned = True
    assert "First step on all tokens" in alarms(run)
