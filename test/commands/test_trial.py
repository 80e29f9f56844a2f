"""`tristage trial`: an operator at a terminal, blind and interrupted; bad input; one run, and the real cell."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from pseudo_terminal import Terminal
from rclpy.parameter import Parameter
from std_msgs.msg import Bool, Float64
from std_srvs.srv import Trigger

from commands.test_teach import Arm, spinning
from tristage_ros import cli
from tristage_ros.bags.episodes.folder import Collection
from tristage_ros.bags.messages import new_message, typestore
from tristage_ros.bags.writer import BagWriter
from tristage_ros.commands.trial.attempt import Attempt, AttemptError
from tristage_ros.commands.trial.runs import read_run
from tristage_ros.commands.trial.unattended import unattended
from tristage_ros.nodes.recorder.episodes import EpisodesNode
from tristage_ros.reports.trial.file import Plan, Result, Trial, opened
from tristage_ros.ros import qos

PRETENDED = Path(__file__).parents[1] / "pretended_attempt.py"
A, B = "pruning:=robot", "pruning:=unpruned"
SIDES = ("--a", A, "--b", B)


def moved_bag(path):
    """Write a bag of 2 s in which the first joint turns by 0.2 rad and the arm refuses three chunks."""
    with BagWriter(path) as writer:
        for tick in range(200):
            stamp = 10**18 + tick * 10**7
            time_ = new_message("builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
            header = new_message("std_msgs/msg/Header", stamp=time_, frame_id="base_link")
            names = [*(f"joint{i}" for i in range(1, 7)), "gripper"]
            position = np.array([0.001 * tick, 1.2, -1.1, 0.0, 0.9, 0.0, 0.03])
            states = new_message("sensor_msgs/msg/JointState", header=header, name=names, position=position)
            status = new_message("tristage_msgs/msg/ArmStatus", header=header, mode=3, chunks_refused=tick // 60)
            for topic, message in (("/joint_states", states), ("/arm/status", status)):
                kind = message.__msgtype__
                writer.write(topic, kind, bytes(typestore().serialize_cdr(message, kind)), stamp)
    return path


@pytest.fixture
def table(ros_domain, tmp_path):
    """Return what sits an operator down at a terminal."""
    what, terminals = tmp_path / "what.json", []

    def sit_down(*words, by_itself=None):
        bag = tmp_path / "bag" if (tmp_path / "bag").exists() else moved_bag(tmp_path / "bag")
        what.write_text(json.dumps({"bag": str(bag), "by_itself": by_itself or {}}))
        command = [sys.executable, str(PRETENDED), str(what), "trial", *SIDES, "--out", str(tmp_path / "t"), *words]
        terminals.append(Terminal(command, width=150, height=20))
        return terminals[-1]

    yield sit_down
    for terminal in terminals:
        terminal.end()


def plain(seen):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)


def run_one(terminal, heading, *keys):
    """Do one run: wait until it may start, start it, press keys."""
    terminal.read_until(lambda seen: f"{heading}   " in plain(seen) and "[s] start" in plain(seen).split(heading)[-1])
    terminal.type("s")
    terminal.read_until(lambda seen: "[y] success" in plain(seen).split(heading)[-1])
    for key in keys:
        words, pressed = key if isinstance(key, tuple) else ("", key)
        terminal.read_until(lambda seen, words=words: words in plain(seen).split(heading)[-1])
        terminal.type(pressed)


def test_an_operator_is_blind_interrupted_and_told_at_the_end(table, tmp_path, capsys):
    words = ("-n", "2", "--max-seconds", "30")
    terminal = table(*words)
    run_one(terminal, "pair 1 of 2, run 1", "y")
    run_one(terminal, "pair 1 of 2, run 2", "n", ("because:", "2"))
    run_one(terminal, "pair 2 of 2, run 1")
    assert "Set the scene again" in plain(terminal.seen) and "0001/start.png" in plain(terminal.seen)
    terminal.process.send_signal(signal.SIGKILL)
    terminal.process.wait(20)
    saw = plain(terminal.seen)

    before = opened(tmp_path / "t")
    assert [(r.outcome, r.reason, r.episode) for r in before.results] == [
        ("success", "the task is done", 1),
        ("failure", "dropped it", 2),
    ]
    assert cli.main(["report", str(tmp_path / "t")]) == 2
    told = capsys.readouterr().err
    assert "2 of 4 runs done: 1 failure, 1 success; there is a verdict once all are" in told and told.count("\n") == 1

    terminal = table(*words, by_itself={"5": "arm fault: J2 blocked"})
    run_one(terminal, "pair 2 of 2, run 1", "x", ("because:", "stood in the way\x7fy\r"))
    run_one(terminal, "pair 2 of 2, run 2", ("It ended: arm fault: J2 blocked", "y"))
    terminal.read_until(lambda seen: "written: " in seen)
    assert terminal.process.wait(30) == 0
    *blind, verdict = re.split(r"a: pruning:=robot", plain(terminal.seen))
    assert len(blind) == 1 and not re.search(r"pruning|robot|unpruned|\bside\b", saw + blind[0])

    trial = opened(tmp_path / "t")
    assert trial.results[:2] == before.results
    assert [(r.outcome, r.reason, r.episode) for r in trial.results[2:]] == [
        ("abort", "stood in the way"[:-1] + "y", 4),
        ("success", "arm fault: J2 blocked", 5),
    ]
    started = [json.loads(line) for line in (tmp_path / "what.started").read_text().splitlines()]
    names = ["001-1", "001-2", "002-1", "002-1", "002-2"]
    assert [each["name"] for each in started] == names, "the run that was cut off is asked again, no other"
    for each in started:
        pair, place = map(int, each["name"].split("-"))
        assert {"a": A, "b": B}[trial.side(pair, place)] == f"pruning:={each['pruning']}"
        assert int(each["seed"]) == trial.plan.seed + pair, "both runs of a pair have one scene"

    found = json.loads((tmp_path / "t" / "verdict.json").read_text())
    assert found["a"]["success"]["successes"] + found["b"]["success"]["successes"] == 2
    assert found["a"]["refused"] == found["b"]["refused"] == 6 and found["smallest"] is None
    assert "2 pairs can show no difference, however large" in verdict and "b - a" in verdict


BAD = {
    "the same run": (["--a", "pruning:=robot", "--b", ""], "the same run"),
    "no pair": (["-n", "0"], "-n 0"),
    "an unknown argument": (["--b", "prunning:=none"], "no launch argument is called 'prunning'"),
    "an unknown preset": (["--b", "pruning:=nune"], "nune"),
    "no text and no file": (["--b", "nune.yaml"], "neither NAME:=VALUE"),
    "the trial's own": (["--b", "seed:=7"], "seed is the trial's own"),
    "half a graph": (["--b", "policy:=false"], "policy:=false"),
    "another scene": (["--b", "task:=box"], "task:=box"),
    "a real arm and nobody": (["--a", "hardware:=piper", "--b", "hardware:=piper engine:=recompute"], "hardware:=sim"),
    "a seed that is none": (["--seed", "-4"], "--seed -4"),
}


@pytest.mark.parametrize("words, told", BAD.values(), ids=BAD)
def test_what_makes_no_trial_is_told_in_a_line(words, told, tmp_path, capsys):
    given = ["trial", *SIDES, "-n", "2", "--unattended", "--out", str(tmp_path / "t"), *words]
    assert cli.main(given) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1 and not (tmp_path / "t").exists()


def test_without_a_terminal_somebody_has_to_judge(tmp_path, capsys):
    assert cli.main(["trial", *SIDES, "-n", "2", "--out", str(tmp_path / "t")]) == 2
    assert "need a terminal; --unattended" in capsys.readouterr().err and not (tmp_path / "t").exists()


def test_a_yaml_file_is_a_run_as_well(tmp_path, capsys):
    (tmp_path / "b.yaml").write_text("pruning: unpruned\nvaried: true\n")
    words = ["--a", "pruning:=unpruned varied:=true", "--b", str(tmp_path / "b.yaml"), "-n", "1", "--unattended"]
    assert cli.main(["trial", *words]) == 2 and "the same run" in capsys.readouterr().err


def test_paths_are_in_full_and_names_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = read_run("pruning:=mine.yaml checkpoint:=random site_file:='a site.yaml' namespace:=cell1", "a")
    assert given == {
        "namespace": "cell1", "checkpoint": "random",
        "pruning": str(tmp_path / "mine.yaml"), "site_file": str(tmp_path / "a site.yaml"),
    }  # fmt: skip
    assert read_run("pruning:=unpruned", "b") == {"pruning": "unpruned"}


def finished(folder, n=3, outcomes=("success",) * 6):
    plan = Plan({"pruning": "robot"}, {"pruning": "unpruned"}, n, 5, "cell", 30.0)
    results = [Result(k // 2 + 1, k % 2 + 1, outcome, "why", 10.0 + k, k + 1) for k, outcome in enumerate(outcomes)]
    folder.mkdir()
    Trial(folder, plan, plan.order(), results).write()
    return folder / "trial.json"


OTHERS = {
    "n": (["-n", "4"], "n is 3, not 4"),
    "a": (["--a", "pruning:=paper"], "pruning of a is robot, not paper"),
    "the seed": (["--seed", "6"], "seed is 5, not 6"),
    "the limit": (["--max-seconds", "31"], "max_seconds is 30.0, not 31.0"),
}


@pytest.mark.parametrize("words, told", OTHERS.values(), ids=OTHERS)
def test_another_trial_is_not_gone_on_with(words, told, tmp_path, capsys):
    file = finished(tmp_path / "t", outcomes=("success",) * 5)
    before = file.read_bytes()
    given = ["trial", *SIDES, "-n", "3", "--unattended", "--max-seconds", "30", "--out", str(tmp_path / "t"), *words]
    assert cli.main(given) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1 and file.read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"success"', '"succes"', "'succes'"),
        ('"seed": 5', '"seed": 6', "order"),
        ("}", "", "not JSON"),
        ('"n": 3', '"m": 3', "'m'"),
        ('"place": 2', '"place": 1', "place 1"),
    ],
)
def test_a_damaged_file_is_named_and_left(old, new, told, tmp_path, capsys):
    file = finished(tmp_path / "t")
    damaged = file.read_text().replace(old, new, 1)
    file.write_text(damaged)
    for command in (["trial", *SIDES, "-n", "3", "--unattended", "--max-seconds", "30", "--out"], ["report"]):
        assert cli.main([*command, str(tmp_path / "t")]) == 2
        err = capsys.readouterr().err
        assert "trial.json is damaged" in err and told in err and err.count("\n") == 1
    assert file.read_text() == damaged


def test_the_order_is_drawn_pair_by_pair_and_a_matter_of_the_seed():
    order = Plan({}, {"pruning": "unpruned"}, 400, 11).order()
    assert order == Plan({}, {"pruning": "unpruned"}, 400, 11).order() != Plan({}, {}, 400, 12).order()
    first = order.count("ab")
    assert set(order) == {"ab", "ba"} and 160 < first < 240
    assert 160 < sum(one == other for one, other in pairwise(order)) < 240, "nobody can guess the next"


class Cell(Arm):
    """What a run needs of the graph; its task is done as soon as the arm may move."""

    def __init__(self):
        super().__init__()
        self.refuses = True
        self.create_service(Trigger, "/policy/reset", lambda _, answer: self.answer("reset", answer))
        self.done = self.create_publisher(Bool, "/tristage/task_done", qos.LATCHED)
        self.dilation = self.create_publisher(Float64, "/arm/time_dilation", qos.LATCHED)
        self.diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(0.2, self.say)

    def say(self):
        parts = [DiagnosticStatus(level=b"\0", name=name) for name in ("point_cloud: cloud", "policy: policy")]
        self.diagnostics.publish(DiagnosticArray(status=parts))

    def answer(self, name, answer):
        answer = super().answer(name, answer)
        if name == "enable":
            answer.success = not self.refuses
            self.done.publish(Bool(data=not self.refuses))
        return answer


def test_a_run_is_recorded_judged_and_stopped(ros_context, tmp_path, monkeypatch):
    graph = SimpleNamespace(trouble=str, end=lambda: None)
    for process in ("GraphProcess", "OwnRecorder"):
        monkeypatch.setattr(f"tristage_ros.commands.trial.attempt.{process}", lambda *_: graph)
    with contextlib.ExitStack() as nodes:
        cell, recorder = (
            nodes.enter_context(contextlib.contextmanager(spinning)(node())) for node in (Cell, EpisodesNode)
        )
        cell.dilation.publish(Float64(data=2.0))
        recorder.set_parameters([Parameter("folder", value=str(tmp_path / "episodes"))])
        attempt = Attempt(tmp_path, "001-1", {"seed": "3", "task": "box"})
        with pytest.raises(AttemptError, match="arm/enable: enable: done"):
            unattended(attempt, 30.0, threading.Event(), str)
        cell.refuses = False
        ended = unattended(attempt, 30.0, threading.Event(), str)
        attempt.end(ended)
    assert (ended.outcome, ended.reason) == ("success", "the task is done") and ended.seconds < 5.0
    assert cell.called == ["reset", "enable", "reset", "enable", "stop"]
    refused, done = Collection(tmp_path / "episodes").places()
    assert refused.is_whole and refused.read().outcome == "" and attempt.number == 2
    episode = done.read()
    assert done.is_whole and (episode.outcome, episode.reason) == ("success", "the task is done")
    assert episode.task == "close the box" and episode.seconds >= 2.0, "until it stayed done for a second of the cell's"


@pytest.mark.long
@pytest.mark.serial
def test_two_unattended_runs_in_the_real_cell(ros_domain, tmp_path):
    command = [sys.executable, "-m", "tristage_ros", "trial", *SIDES, "-n", "1", "--unattended", "--max-seconds", "60"]
    done = subprocess.run(
        [*command, "--seed", "20000", "--out", "t"], cwd=tmp_path, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    trial = opened(tmp_path / "t")
    assert len(trial.results) == 2 and all(result.seconds > 1.0 for result in trial.results)
    found = json.loads((tmp_path / "t" / "verdict.json").read_text())
    assert found["unread"] == [] and found["a"]["faults"] == found["b"]["faults"] == 0
    assert "2 of 2 runs done" not in done.stdout and "pair 1 of 1, run 2: " in done.stdout
    assert cli.main(["report", str(tmp_path / "t")]) == 0 and "<img" in (tmp_path / "t" / "report.html").read_text()
