"""How far two runs are apart: numbers that can be worked out by hand, limits, and what a person gets to see."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from tristage_ros.bags.facts import Facts
from tristage_ros.bags.messages import new_message, typestore
from tristage_ros.bags.reader import BagError
from tristage_ros.bags.writer import BagWriter
from tristage_ros.reports.compare.command import compare_and_tell
from tristage_ros.reports.compare.compare import Step, Steps, compare, read_steps
from tristage_ros.reports.compare.options import LIMITS

ACTION, PRUNING, TIMINGS = (f"tristage_msgs/msg/{name}" for name in ("ActionChunk", "PruningStats", "StageTimings"))
SECOND = 10**9


def step(index, *, move=(0.0, 0.0, 0.0), turn=0.0, gripper=1.0, keep=(True, False, True, False), ms=100.0, rate=0.5):
    """Return the control step at second `index`; `turn` is about z, in degrees."""
    half = np.radians(turn) / 2
    stamp = new_message("builtin_interfaces/msg/Time", sec=100 + index)
    header = new_message("std_msgs/msg/Header", stamp=stamp)
    action = new_message(
        ACTION,
        header=header,
        translation=[new_message("geometry_msgs/msg/Vector3", x=move[0], y=move[1], z=move[2])],
        orientation=[new_message("geometry_msgs/msg/Quaternion", z=float(np.sin(half)), w=float(np.cos(half)))],
        gripper=np.array([gripper], np.float32),
    )
    pruning = new_message(
        PRUNING, header=header, rate=rate, rate_2d=rate, rate_3d=rate, keep_2d=np.array(keep), keep_3d=np.array(keep)
    )
    timings = new_message(TIMINGS, header=header, total_ms=ms)
    return Step((100 + index) * SECOND, action, pruning, timings)


def run(*steps, facts=None):
    return Steps("run", facts or Facts(), list(steps))


def test_a_run_is_identical_to_itself():
    one = run(step(0), step(1, move=(0.1, 0.2, 0.3), turn=30.0))
    result = compare(one, one)
    assert result.identical and result.first_difference is None and result.steps == 2
    assert all(spread.max == 0.0 for spread in result.action.values())
    assert result.violations(dict.fromkeys(set(LIMITS) - {"masks"}, 0.0) | {"masks": 1.0}, identical=True) == []


def test_differences_are_told_axis_by_axis_in_mm_degrees_and_percent():
    first = run(step(0), step(1), step(2), step(3))
    second = run(step(0), step(1, move=(0.004, 0.0, -0.002)), step(2, turn=10.0), step(3, gripper=0.75))
    result = compare(first, second)
    assert result.action["x"].max == pytest.approx(4.0) and result.action["x"].mean == pytest.approx(1.0)
    assert result.action["x"].p95 == pytest.approx(np.percentile([0, 4, 0, 0], 95))
    assert result.action["z"].max == pytest.approx(2.0) and result.action["y"].max == 0.0
    assert result.action["about z"].max == pytest.approx(10.0) and result.action["about x"].max == pytest.approx(0.0)
    assert result.action["gripper"].max == pytest.approx(25.0)
    assert not result.identical and result.first_difference == 2
    measures = result.measures()
    assert measures["position_mm"] == pytest.approx(4.0) and measures["rotation_deg"] == pytest.approx(10.0)


def test_a_turn_past_180_degrees_does_not_wrap():
    result = compare(run(step(0, turn=179.0)), run(step(0, turn=-179.0)))
    assert result.action["about z"].max == pytest.approx(2.0)


def test_masks_rates_and_times():
    first = run(step(0, rate=0.5, ms=100.0), step(1, rate=0.5, ms=100.0))
    second = run(step(0, rate=0.5, ms=150.0), step(1, keep=(True, True, True, False), rate=0.25, ms=170.0))
    result = compare(first, second)
    assert result.masks_2d == [1.0, 0.75] and result.masks_3d == [1.0, 0.75]
    assert result.rates["rate"] == [[0.5, 0.5], [0.5, 0.25]]
    assert result.measures()["rate"] == pytest.approx(0.25)
    assert result.measures()["slower_ms"] == pytest.approx(60.0)


def test_steps_that_only_one_run_has_are_counted_not_compared():
    result = compare(run(step(0), step(1), step(2)), run(step(1), step(2), step(3), step(4)))
    assert (result.steps, result.only_first, result.only_second) == (2, 1, 2)
    assert not result.identical
    assert result.violations({"unmatched": 2}) == ["unmatched is 3, at most 2 allowed"]


def test_limits_hold_or_are_named():
    result = compare(run(step(0)), run(step(0, move=(0.005, 0, 0), keep=(False, False, True, False))))
    assert result.violations({"position_mm": 5.1, "masks": 0.7, "rotation_deg": 0.0}) == []
    assert result.violations({"position_mm": 4.9}) == ["position_mm is 5, at most 4.9 allowed"]
    assert result.violations({"masks": 0.8}) == ["masks is 0.75, at least 0.8 allowed"]
    assert result.violations({}, identical=True) == ["the runs are not identical"]
    assert result.measures().keys() == LIMITS.keys()


def test_clouds_of_different_sizes_agree_in_nothing():
    assert compare(run(step(0)), run(step(0, keep=(True, False)))).masks_3d == [0.0]


def test_what_was_set_differently_is_named():
    facts = Facts({"policy": {"seed": 0}}, {"policy.pruning": "tau_2d: 0.08"})
    other = replace(facts, files={"policy.pruning": "tau_2d: 0.1"}, parameters={"policy": {"seed": 1}})
    result = compare(run(step(0), facts=facts), run(step(0), facts=other))
    assert result.settings == ["policy.seed: 0 -> 1", "pruning.tau_2d: 0.08 -> 0.1"]


def test_what_nobody_set_is_no_change():
    live = {"control": "keyframe", "frame_sends": "rate", "seed": 0}
    replayed = {"control": "frame", "frame_sends": "keyframe", "seed": 0, "sweeps": 0}  # of newer software
    first = Facts({"policy": live}, {"policy.pruning": ""}, {"open3d": "0.20.0"})
    second = Facts({"policy": replayed}, {"policy.pruning": ""}, {"open3d-cpu": "0.20.0"})
    assert compare(run(step(0), facts=first), run(step(0), facts=second)).settings == []
    other = replace(second, files={"policy.pruning": "tau_2d: 0.1"}, versions={"open3d-cpu": "0.21.0"})
    assert compare(run(step(0), facts=first), run(step(0), facts=other)).settings == [
        "pruning.tau_2d: not set -> 0.1", "version of open3d: 0.20.0 -> 0.21.0",
    ]  # fmt: skip


@pytest.mark.parametrize("color", ["jpeg", "png", "raw", None])
def test_pictures_with_loss_are_told_where_a_replay_saw_them(tmp_path, capsys, color):
    moved = {"live": 0.0, "replay": 0.014}
    for name, distance in moved.items():
        with BagWriter(tmp_path / name, color=color or "jpeg") as writer:
            one = step(0, move=(distance, 0.0, 0.0))
            for topic in ("action", "pruning"):
                message = getattr(one, topic)
                data = bytes(typestore().serialize_cdr(message, message.__msgtype__))
                writer.write(f"/tristage/{topic}", message.__msgtype__, data, one.stamp)
            if name == "live" and color:
                pixels = np.random.default_rng(0).integers(0, 256, 48 * 64 * 3, dtype=np.uint8)
                image = new_message(
                    "sensor_msgs/msg/Image", height=48, width=64, encoding="rgb8", step=192, data=pixels
                )
                data = bytes(typestore().serialize_cdr(image, image.__msgtype__))
                writer.write("/front/color/image_raw", image.__msgtype__, data, one.stamp)
    paths = tmp_path / "live", tmp_path / "replay"
    assert compare_and_tell(*paths, tmp_path / "out", {}, False, Console(width=120)) == 0
    printed = capsys.readouterr().out
    assert ("recorded as JPEG, with loss" in printed) is (color == "jpeg")
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["lossy"] is (color == "jpeg")
    assert compare_and_tell(paths[0], paths[0], tmp_path / "out", {}, False, Console(width=120)) == 0
    assert "JPEG" not in capsys.readouterr().out


@pytest.fixture
def bag(tmp_path):
    def write(name, *steps, topics=("action", "pruning", "timings")):
        with BagWriter(tmp_path / name) as writer:
            for one in steps:
                for topic in topics:
                    message = getattr(one, topic)
                    data = bytes(typestore().serialize_cdr(message, message.__msgtype__))
                    writer.write(f"/tristage/{topic}", message.__msgtype__, data, one.stamp)
        return writer.path

    return write


def test_two_bags_become_a_table_json_and_curves(bag, tmp_path):
    first, second = bag("a", step(0), step(1)), bag("b", step(0), step(1, move=(0.01, 0, 0)))
    console = Console(record=True, width=120)
    assert compare_and_tell(first, second, tmp_path / "out", {}, False, console) == 0
    text = console.export_text()
    assert "the first that differs is step 2" in text and "10.00" in text
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["action"]["x"]["max"] == pytest.approx(10.0) and written["measures"]["position_mm"] > 9
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 10_000
    assert compare_and_tell(first, second, tmp_path / "out", {"position_mm": 5.0}, False, console) == 1
    assert "too different: position_mm is 10, at most 5 allowed" in console.export_text()


def test_how_the_arm_moved_is_told_of_both_runs(tmp_path):
    paths = [tmp_path / "smooth", tmp_path / "jittery"]
    for path, jitter in zip(paths, (0.0, 0.05), strict=True):
        with BagWriter(path) as writer:
            for one in (step(0), step(1)):
                for topic in ("action", "pruning"):
                    message = getattr(one, topic)
                    data = bytes(typestore().serialize_cdr(message, message.__msgtype__))
                    writer.write(f"/tristage/{topic}", message.__msgtype__, data, one.stamp)
            for tick in range(100):
                stamp = new_message("builtin_interfaces/msg/Time", sec=100 + tick // 50, nanosec=tick % 50 * 20_000_000)
                position = np.full(6, 0.01 * tick + jitter * (tick // 10 % 2))
                header = new_message("std_msgs/msg/Header", stamp=stamp)
                names = [f"joint{i}" for i in range(1, 7)]
                message = new_message("sensor_msgs/msg/JointState", header=header, name=names, position=position)
                data = bytes(typestore().serialize_cdr(message, message.__msgtype__))
                writer.write("/joint_states", message.__msgtype__, data, 100 * SECOND + tick * 20_000_000)
    console = Console(record=True, width=120)
    compare_and_tell(*paths, tmp_path / "out", {}, False, console)
    lines = console.export_text().splitlines()
    (row,) = [line for line in lines if "Direction reversals, measured" in line]
    assert "0.0 %" in row and not any("targets" in line for line in lines)
    smooth, jittery = json.loads((tmp_path / "out" / "comparison.json").read_text())["moved"]["measured"]
    assert smooth["reversals"] == 0.0 < jittery["reversals"] and smooth["jerk"] < 1.0 < jittery["jerk"]


def test_the_command_compares_and_its_exit_code_says_how(bag, tmp_path):
    first, second = bag("a", step(0)), bag("b", step(0, turn=3.0))
    command = [sys.executable, "-m", "tristage_ros", "compare", first, second, "--out", tmp_path / "out"]
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    done = subprocess.run([*command, "--limit", "rotation_deg=2"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "rotation_deg is 3" in done.stdout
    done = subprocess.run([*command[:4], first, "/nowhere"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "/nowhere cannot be read" in done.stderr and "Traceback" not in done.stderr


def test_a_bag_without_actions_is_named(bag):
    with pytest.raises(BagError, match="has no messages on /tristage/action: there is nothing to compare"):
        read_steps(bag("a", step(0), topics=("pruning",)))
