from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from reports.browser import Browser
from tristage_ros import cli
from tristage_ros.bags.changes import Change
from tristage_ros.bags.facts import TOPIC, TYPE, Facts
from tristage_ros.bags.messages import definitions, new_message, typestore
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.bags.writer import BagWriter
from tristage_ros.devices.arm.kinematics import forward, tool_pose
from tristage_ros.devices.arm.smoothness import smoothness
from tristage_ros.reports import figures
from tristage_ros.reports.episode_figure import episode
from tristage_ros.reports.figures import salience
from tristage_ros.reports.report import report
from tristage_ros.reports.run import Run, read_run, site_of
from tristage_ros.reports.smoothness import SMOOTHNESS
from tristage_ros.reports.summary import LIMITS, arm_events, limits_exceeded, summarize
from tristage_ros.resources import resource

FIGURES = {"episode", "pruning", "salience", "timings", "views", "trajectory", "joints"}
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


def test_what_the_bag_knows_of_the_run_is_told(tmp_path: Path) -> None:
    facts = Facts(versions={"torch": "2.9", "numpy": "2.0"}, checkpoint={"sha256": "0123abcd"})
    with BagWriter(tmp_path / "bag") as writer:
        writer.write(TOPIC, TYPE, facts.message(), 5)
    told = values(read_run(tmp_path / "bag"))
    assert told["SHA-256 of the weights"] == "0123abcd" and told["Versions"] == "torch 2.9"
    with BagWriter(tmp_path / "foreign") as writer:
        message = new_message(TYPE, data="not ours")
        writer.write(TOPIC, TYPE, bytes(typestore().serialize_cdr(message, TYPE)), 5)
        done = new_message("std_msgs/msg/Bool", data=True)
        writer.write(
            "/tristage/task_done", done.__msgtype__, bytes(typestore().serialize_cdr(done, done.__msgtype__)), 6
        )
    assert "Versions" not in values(read_run(tmp_path / "foreign"))


@pytest.mark.parametrize(
    ("states", "told", "alarming"),
    [
        ([False], "no: put the banana on the plate", True),
        ([False, True], "yes, after 20.0 s: put the banana on the plate", False),
        ([False, True, False], "no: put the banana on the plate", True),
    ],
)
def test_whether_the_task_is_done_is_told(tmp_path: Path, states: list[bool], told: str, alarming: bool) -> None:
    facts = Facts(parameters={"policy": {"instruction": "put the banana on the plate"}})
    with BagWriter(tmp_path / "bag") as writer:
        writer.write(TOPIC, TYPE, facts.message(), 5)
        for index, state in enumerate(states):
            message = new_message("std_msgs/msg/Bool", data=state)
            data = bytes(typestore().serialize_cdr(message, "std_msgs/msg/Bool"))
            writer.write("/tristage/task_done", "std_msgs/msg/Bool", data, 5 + index * 20 * 10**9)
    run = read_run(tmp_path / "bag")
    assert values(run)["Task done"] == told and ("Task done" in alarms(run)) == alarming


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
        "Wanted camera frames missed": "4",
        "Set-points slowed or clamped": "6 of 240",
        "Arm faults": "none",
        "Joint limits respected": "yes",
    }
    assert {name: summary[name] for name in expected} == expected
    assert alarms(run) == set()


def without_smoothness(bag: Path) -> Path:
    """Write a bag anew as it was before arm status had the six figures."""
    kind, store = "tristage_msgs/msg/ArmStatus", get_typestore(Stores.ROS2_KILTED)
    lines = (definitions() / "ArmStatus.msg").read_text().splitlines()
    kept = [line for line in lines if not re.match(r"float32 (target|measured)_(reversals|variation|jerk)", line)]
    assert len(kept) == len(lines) - 6
    store.register(get_types_from_msg("\n".join(kept), kind))
    with BagReader(bag) as recorded, Writer(bag.parent / "old", version=9) as old:
        connection = old.add_connection("/arm/status", kind, typestore=store)
        for message in recorded.messages("/arm/status"):
            fields = {name: getattr(message.value, name) for name, _ in store.fielddefs[kind][1]}
            old.write(connection, message.stamp, bytes(store.serialize_cdr(store.types[kind](**fields), kind)))
    return bag.parent / "old"


def test_without_an_arm_nothing_is_told_of_how_it_moved(record_run) -> None:
    told = values(read_run(record_run(3, ["joint_states", "status"])))
    assert not any(name.startswith(SMOOTHNESS) for name in told)


def test_how_the_arm_moved_is_told_of_new_and_old_recordings(record_run, tmp_path: Path) -> None:
    bag = record_run(12)
    run = read_run(bag)
    stamps = 0.4 + 0.05 * np.arange(96)
    moved = smoothness(stamps, run.joint_positions[:, :6])
    assert moved.reversals > 0.0 and moved.jerk > 0.0
    told = values(run)
    reversals, variation, jerk = (told[f"{name} of the joints"] for name in SMOOTHNESS)
    assert reversals.endswith(f", measured {100 * moved.reversals:.1f} %") and reversals.startswith("targets ")
    assert variation.endswith(f", measured {moved.variation:.2f} rad")
    assert jerk == f"targets 2.5 rad/s³, measured {moved.jerk:.1f} rad/s³"
    sent = smoothness(stamps[8:], run.joint_positions[8:, :6])  # before it was enabled there are no targets
    assert run.targets_moved.variation == pytest.approx(sent.variation, rel=1e-3)
    assert variation in report(bag, tmp_path / "out", {}).html.read_text()
    old = values(read_run(without_smoothness(bag)))
    assert old["RMS jerk of the joints"] == "targets -, measured -"
    assert old["Total variation of the joints"] == f"{variation.split(',')[0]}, measured -"


@pytest.mark.parametrize(
    ("figure", "without", "words"),
    [
        (figures.pruning_rates, ["pruning"], "/tristage/pruning"),
        (figures.timings, ["timings"], "/tristage/timings"),
        (episode, ["pruning"], "/tristage/pruning"),
        (salience, ["pruning"], "/tristage/pruning"),
        (figures.views, ["image_raw"], "color/image_raw"),
        (figures.joints, ["joint_states", "status"], "/joint_states and /arm/status"),
        (figures.trajectory, ["joint_states"], "/joint_states"),
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
        (figures.trajectory, "status"),
        (episode, "overlay"),
        (episode, "timings"),
        (episode, "joint_states"),
        (episode, "front"),
        (figures.views, "wrist"),
    ],
)
def test_half_a_figure_is_drawn(record_run, figure, without: str) -> None:
    assert figures.draw(figure, read_run(record_run(3, [without]))).axes


def test_the_strip_runs_from_first_to_last_and_its_numbers_are_in_the_curves(record_run) -> None:
    run = read_run(record_run(30))
    axes = figures.draw(episode, run).axes
    titles = [ax.get_title("left") for ax in axes if ax.images and ax.get_title("left")]
    assert [title.split(":")[0] for title in titles] == [str(k) for k in range(1, 9)]
    rates = next(ax for ax in axes if ax.get_title("left") == "Share of tokens pruned")
    marks = {text.get_text(): text.xy[0] for text in rates.texts}
    assert marks["1"] == pytest.approx(run.step_times[0], abs=0.05)
    assert marks["8"] == pytest.approx(run.step_times[-1], abs=0.05)
    shown = [line.get_ydata() for line in rates.get_lines()[:2]]
    np.testing.assert_allclose(shown[0], [100 * step.rate_2d for step in run.pruning])
    np.testing.assert_allclose(shown[1], [100 * step.rate_3d for step in run.pruning])


def test_what_was_set_meanwhile_is_marked_where_it_took_hold(record_run) -> None:
    run = read_run(record_run(12))
    changes = [Change(run.start + 2 * 10**9, 5, 1, {"pruner.tau_2d": 0.3}, {"pruner.tau_2d": 0.08})]
    marked = replace(run, changes=changes)
    for figure, place in ((figures.pruning_rates, 5.5), (episode, 2.0)):
        lines = [line for ax in figures.draw(figure, marked).axes for line in ax.get_lines()]
        assert [line.get_xdata()[0] for line in lines if line.get_label() == "set otherwise"] == [place] * 2
        assert "set otherwise" not in {line.get_label() for ax in figures.draw(figure, run).axes for line in ax.lines}


def test_salience_is_drawn_by_set(record_run) -> None:
    run = read_run(record_run(9))
    for number, step in enumerate(run.pruning):
        step.salience_2d_by_set = np.array([0.1, 0.2, 0.3 + 0.01 * number])
    ax = next(ax for ax in figures.draw(salience, run).axes if "M_2d by semantic set" in ax.get_title("left"))
    drawn = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    np.testing.assert_allclose(drawn["object"], 0.3 + 0.01 * np.arange(9), rtol=1e-6)
    np.testing.assert_allclose(drawn["background"], 0.1, rtol=1e-6)


def test_the_path_is_that_of_the_arm_with_the_zero_of_its_firmware(record_run) -> None:
    run = read_run(record_run(3))
    for offset, firmware in ((True, "S-V1.8-9"), (False, "S-V1.5-2")):
        for _, status in run.status:
            status.firmware = firmware
        expected = tool_pose(forward(run.joint_positions[5, :6], offset))[:3, 3]
        np.testing.assert_allclose(figures.tool_path(run)[5], expected)


def test_the_site_is_named_and_drawn_where_the_tool_went(record_run) -> None:
    run = read_run(record_run(6))
    assert site_of(run) is None
    text = resource("config", "sites", "raised_table.yaml").read_text(encoding="utf-8")
    run.facts.files["arm.site_file"] = text.replace("tcp: 0.120", "tcp: 0.110")
    run.facts.parameters["arm"] = {"site_file": "/cell/raised_table.yaml"}
    (row,) = [row for row in summarize(run, {}) if row.name == "Site"]
    assert row.value == "/cell/raised_table.yaml: table 0.05 m, the shelf, tool 0.25 m/s"
    figure = figures.draw(figures.trajectory, run)
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"keep out: the shelf", "table", "no part of the arm outside", "nor the tool"} <= names
    boxes = [patch.get_bbox().bounds for patch in figure.axes[0].patches]
    assert any(np.allclose(bounds, (0.10, 0.42, 0.60, 0.18)) for bounds in boxes)
    flange = forward(run.joint_positions[:, :6])
    np.testing.assert_allclose(figures.tool_path(run), tool_pose(flange, 0.110)[:, :3, 3])
    run.facts.files["arm.site_file"] = "of an older version"
    assert site_of(run) is None


def test_a_long_recording_keeps_pictures_from_all_of_it(record_run, monkeypatch) -> None:
    monkeypatch.setattr("tristage_ros.reports.run.PICTURES", 4)
    run = read_run(record_run(30))
    shown = [run.seconds(view) for view in run.views["front"]]
    assert 4 <= len(shown) < 8 and shown[0] < 0.1 * run.duration and shown[-1] > 0.75 * run.duration
    assert len(run.pruning) == 30


def test_modes_fill_the_band(record_run) -> None:
    run = read_run(record_run(3))
    band = figures.draw(figures.joints, run).axes[-1].patches
    # Rectangles, or before matplotlib 3.9 polygons.
    across = [patch.get_patch_transform().transform(patch.get_path().vertices)[:, 0] for patch in band]
    starts, ends = [x.min() for x in across], [x.max() for x in across]
    assert starts[0] == pytest.approx(0.0) and ends[-1] == pytest.approx(run.duration)
    assert ends[:-1] == pytest.approx(starts[1:])


def test_a_run_of_one_step_and_one_of_nothing_but_its_facts(record_run, tmp_path: Path) -> None:
    assert report(record_run(1), tmp_path / "one", {}).figures.keys() == FIGURES
    with BagWriter(tmp_path / "empty") as writer:
        writer.write(TOPIC, TYPE, Facts(versions={"torch": "2.9"}).message(), 5)
    empty = report(tmp_path / "empty", tmp_path / "none", {})
    html = empty.html.read_text()
    assert empty.figures == {}
    assert html.count("not recorded</p>") == len(FIGURES) + 2
    assert "&lt;camera&gt;/color/image_raw was not recorded" in html


@pytest.mark.parametrize("topic", ["", "/chatter"])
def test_a_bag_with_nothing_to_tell_is_an_error_that_names_its_topics(tmp_path: Path, capsys, topic: str) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        if topic:
            text = bytes(typestore().serialize_cdr(new_message(TYPE, data="hello"), TYPE))
            writer.write(topic, TYPE, text, 5)
    assert cli.main(["report", str(tmp_path / "bag"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert ("/chatter (1 std_msgs/msg/String)" if topic else "it has no topic at all") in said
    assert not (tmp_path / "out").exists()


def test_a_topic_of_ours_with_another_type_is_not_taken_for_it(record_run, tmp_path: Path) -> None:
    path = record_run(1, ["joint"])
    with BagWriter(tmp_path / "bag") as writer, BagReader(path) as bag:
        for message in bag.messages():
            writer.write(message.topic, message.type_name, message.serialized, message.stamp)
        writer.write("/joint_states", TYPE, bytes(typestore().serialize_cdr(new_message(TYPE, data="x"), TYPE)), 7)
    assert len(read_run(tmp_path / "bag").joint_times) == 0


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


def refused(second: int, reason: str) -> dict[str, Any]:
    stamp = new_message("builtin_interfaces/msg/Time", sec=second)
    return {"mode": 2, "chunk_stamp": stamp, "chunk_state": 3, "chunk_reason": reason}


def test_faults_and_refusals_are_told_once_by_kind(tmp_path: Path) -> None:
    told = [
        {"mode": 2},
        refused(1, "observation 0.6 s old"),
        refused(1, "observation 0.6 s old"),  # the same chunk, said again
        refused(2, "observation 0.9 s old"),
        {"mode": 4, "reason": "joint 2 overheated"},
        {"mode": 4, "reason": "joint 2 overheated"},
        {"mode": 2},
        {"mode": 4, "reason": "joint 2 overheated"},
    ]
    with BagWriter(tmp_path / "run" / "bag") as writer:
        for second, fields in enumerate(told):
            message = new_message("tristage_msgs/msg/ArmStatus", **fields)
            data = bytes(typestore().serialize_cdr(message, message.__msgtype__))
            writer.write("/arm/status", message.__msgtype__, data, second * 10**9)
    events = [(event.what, event.reason, event.times) for event in arm_events(read_run(tmp_path / "run"))]
    assert events == [
        ("fault", "joint 2 overheated", (4.0, 7.0)),
        ("chunk refused", "observation 0.6 s old", (1.0, 3.0)),
    ]
    html = report(tmp_path / "run", tmp_path / "out", {}).html.read_text()
    assert "<h1>Run run</h1>" in html and '<td class="alarm">fault</td>' in html and "4.0 … 7.0 s" in html


def test_in_a_browser_every_picture_is_shown_and_nothing_is_complained_of_or_fetched(
    record_run, tmp_path: Path
) -> None:
    html = report(record_run(), tmp_path / "out", {"checkpoint": "m.safetensors"}).html
    alone = tmp_path / "elsewhere" / "page.html"  # without the PNGs beside it
    alone.parent.mkdir()
    alone.write_bytes(html.read_bytes())
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(alone)
        shown = browser.evaluate("[...document.images].map(i => [i.alt, i.complete && i.naturalWidth > 300])")
        wider = browser.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        complaints = browser.of_kind("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        fetched = [event["request"]["url"] for event in browser.of_kind("Network.requestWillBeSent")]
    finally:
        browser.close()
    assert len(shown) == len(FIGURES) and all(visible for _, visible in shown), shown
    assert not wider
    assert complaints == []
    assert {url.split(":")[0] for url in fetched} <= {"file", "data"}
