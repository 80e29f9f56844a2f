"""What a trial came to: its verdict from results and bags, and its page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.bags.messages import new_message, typestore
from tristage_ros.bags.writer import BagWriter
from tristage_ros.devices.arm.kinematics import forward, tool_pose
from tristage_ros.reports.report import report
from tristage_ros.reports.trial.file import Plan, Result, Trial
from tristage_ros.reports.trial.measures import Measures, measured
from tristage_ros.reports.trial.verdict import rows, sentences, verdict

SPEED = 0.1  # rad/s of the first joint
HELD = [1.2, -1.1, 0.0, 0.9, 0.0]  # rad, the others
# Pairs: 12 with two successes, 5 with b's alone, 1 with a's alone, 2 with none.
OUTCOMES = (
    [("success", "success")] * 12 + [("failure", "success")] * 5 + [("success", "abort")] + [("failure",) * 2] * 2
)


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a bag of 2 s in which the arm turns about its base, refuses four chunks and has one fault."""
    path = tmp_path_factory.mktemp("turning") / "bag"
    with BagWriter(path) as writer:
        for tick in range(200):
            stamp = 10**18 + tick * 10**7
            time = new_message("builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
            header = new_message("std_msgs/msg/Header", stamp=time, frame_id="base_link")
            names, position = [*(f"joint{i}" for i in range(1, 7))], np.array([SPEED * tick / 100, *HELD])
            states = new_message("sensor_msgs/msg/JointState", header=header, name=names, position=position)
            mode = 4 if 150 <= tick < 160 else 3
            status = new_message("tristage_msgs/msg/ArmStatus", header=header, mode=mode, chunks_refused=7 + tick // 45)
            for topic, message in (("/joint_states", states), ("/arm/status", status)):
                data = bytes(typestore().serialize_cdr(message, message.__msgtype__))
                writer.write(topic, message.__msgtype__, data, stamp)
    return path


@pytest.fixture
def trial(bag: Path, tmp_path: Path) -> Trial:
    """Return a finished trial; of all its episodes the bags are one."""
    plan = Plan({"pruning": "unpruned"}, {"pruning": "robot"}, len(OUTCOMES), 3, "operator", 60.0)
    results = list(_results(plan))
    place = Collection(tmp_path / "episodes").begin()
    place.bag.symlink_to(bag)
    Collection(tmp_path / "episodes").finish(place)
    trial = Trial(tmp_path, plan, plan.order(), results)
    trial.write()
    return trial


def _results(plan: Plan) -> Iterator[Result]:
    for pair, (outcomes, order) in enumerate(zip(OUTCOMES, plan.order(), strict=True), 1):
        for place, side in enumerate(order, 1):
            outcome = outcomes["ab".index(side)]
            seconds = 20.0 + pair + (pair % 2 + 1.0 if side == "b" else 0.0)  # b takes one or two s longer
            yield Result(pair, place, outcome, "the task is done" if outcome == "success" else "dropped it", seconds, 1)


def test_a_bag_tells_path_smoothness_refusals_and_faults(bag: Path) -> None:
    found = measured(bag)
    tool = tool_pose(forward(np.array([[0.0, *HELD]])))[0, :3, 3]
    radius = float(np.hypot(tool[0], tool[1]))
    # Of 40 periods of 50 ms the first and the last are not whole: 38 positions.
    assert found.path == pytest.approx(37 * 0.05 * SPEED * radius, rel=1e-4) and radius > 0.1
    assert found.jerk == pytest.approx(0.0, abs=0.1) and found.reversals == 0.0
    assert (found.refused, found.faults) == (4, 1)


def test_the_verdict_is_that_of_a_pocket_calculator(trial: Trial) -> None:
    found = verdict(trial)
    assert (found.a.success.successes, found.b.success.successes, found.n) == (13, 17, 20)
    assert found.a.success.low == pytest.approx(0.4329, abs=1e-4) and found.b.success.high == pytest.approx(
        0.9476, abs=1e-4
    )
    difference = found.difference
    assert difference.difference == pytest.approx(0.2) and difference.p_value == pytest.approx(14 / 64)
    assert (difference.only_first, difference.only_second) == (5, 1), "first is b"
    assert found.solved == 12 and found.changes["time to success, s"].difference == pytest.approx(1.5)
    assert found.changes["time to success, s"].mean == pytest.approx(20.0 + 6.5 + 1.5)
    assert found.changes["path of the tool, m"].difference == 0.0
    assert (found.b.aborts, found.a.aborts, found.a.ended) == (1, 0, {"dropped it": 7})
    assert (found.a.refused, found.b.faults) == (80, 20)
    first, *others = rows(found)
    assert first[0] == "success" and first[3].startswith("+20.0 points [-") and first[3].endswith("p = 0.219")
    assert {"time to success, s", "aborts", "faults", "chunks refused"} <= {row[0] for row in others}
    no, least, _ = sentences(found)
    assert no.startswith("No difference in success was shown (of 20 pairs a alone succeeded in 1, b alone in 5)")
    assert "show a difference of 37 points or more" in least
    assert json.loads(json.dumps(found.to_dict()))["difference"]["only_b"] == 5


def test_a_bag_that_is_gone_is_told_and_counts_in_success_all_the_same(trial: Trial) -> None:
    (trial.folder / "episodes" / "0001" / "bag").unlink()
    found = verdict(trial)
    assert found.b.success.successes == 17 and "path of the tool, m" not in found.changes
    assert found.a.refused == 0 and len(found.unread) == 1


def test_the_page_needs_nothing_beside_it(trial: Trial, tmp_path: Path) -> None:
    paths = report(trial.folder, tmp_path / "out", {})
    html = paths.html.read_text()
    assert "pruning:=unpruned" in html and "+20.0 points" in html and "dropped it" in html and "data:image/png" in html
    assert paths.figures.keys() == {"trial"} and html.count("<tr>") > 40


def test_measures_of_an_empty_bag_are_unknown(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag"):
        pass
    assert measured(tmp_path / "bag") == Measures()
