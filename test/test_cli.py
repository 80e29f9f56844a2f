"""What is typed wrong is answered in one line, with exit code 2."""

import argparse
import functools
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tristage_ros.bench.options import add_measurements
from tristage_ros.cli import main

WITH_TORCH = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
TORCH = functools.partial(pytest.param, marks=WITH_TORCH)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["run", "piper_push"], "piper_pick"),
        (["run", "piper_pick", "hardware=piper"], "name:=value"),
        (["run", "piper_pick", "hardware:=ur5"], "sim, piper"),
        (["run", "piper_pick", "speed:=1"], "no launch argument is called 'speed'"),
        (["run", "piper_pick", "seed:=-3"], "seed:=-3"),
        (["run", "piper_pick", "seed:=1", "seed:=2"], "twice"),
        (["demo", "record:=false"], "--out"),
        (["demo", "hardware:=piper", "checkpoint:=/nowhere"], "/nowhere"),
        (["demo", "checkpoint:=/nowhere.safetensors"], "no checkpoint at /nowhere.safetensors"),
        (["report", "/nowhere/bag"], "/nowhere/bag"),
    ],
)
def test_wrong_words_are_named_in_one_line(typed, words, capsys):
    assert main(typed) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert words in error


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("tristage_ros.nodes.arm", "python -m tristage_ros.nodes arm"),
        ("tristage_ros.nodes.viewer", "python -m tristage_ros.nodes viewer"),
        ("tristage_ros.nodes.two_machines", "tristage bench two-machines"),
        ("tristage_ros.nodes.recording_cost", "tristage bench recording"),
        ("tristage_ros.evaluation.arm", "tristage bench arm"),
    ],
)
def test_what_is_typed_otherwise_now_is_told(module, words):
    done = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr == f"error: type: {words}\n"


def test_every_measurement_has_a_module_that_runs_it(capsys):
    bench = argparse.ArgumentParser()
    measurements = dict(add_measurements(bench))
    assert len(measurements) == 9
    for module, parser in measurements.items():
        assert importlib.util.find_spec(module) is not None
        parser.print_help()
    assert "reactions" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", ["x", "0", "-5", "nan", "inf"])
def test_a_duration_is_positive(seconds, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--seconds", seconds])
    assert stop.value.code == 2
    assert "--seconds" in capsys.readouterr().err


@WITH_TORCH
def test_interrupted_it_says_so_in_one_line(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("tristage_ros.bench.model.command.run", interrupted)
    assert main(["bench", "--size", "tiny"]) == 130
    assert capsys.readouterr().err == "interrupted: what was not finished is not written\n"


BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
TRISTAGE = [sys.executable, "-m", "tristage_ros"]


@pytest.mark.parametrize("environment", [BUFFERED, BUFFERED | {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], TORCH(["bench", "--quick", "--only", "pruning"])])
def test_where_the_reader_has_seen_enough_it_ends_in_silence(words, environment):
    """As with `tristage ... | head -1`."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [*TRISTAGE, *words], stdout=write, stderr=subprocess.PIPE, env=environment, check=False, timeout=200
    )
    os.close(write)
    assert process.returncode in (0, 1, 141)  # what was said before the reader left; 1 is how rich leaves
    assert b"Traceback" not in process.stderr and b"rror" not in process.stderr


def test_a_closed_output_is_no_obstacle():
    shell = shlex.join([*TRISTAGE, "--version"])
    assert subprocess.run(["sh", "-c", f"{shell} >&-"], env=BUFFERED, check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "code"), [TORCH(["run", "piper_pick"], 0), TORCH(["bench", "--size", "mini"], 130), (["demo"], 130)]
)
@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0])
def test_ctrl_c_as_it_starts_ends_it_in_a_line_at_most(words, code, delay, tmp_path):
    held = ["env", "--block-signal=INT"]
    process = subprocess.Popen([*held, *TRISTAGE, *words], cwd=tmp_path, stderr=subprocess.PIPE, env=BUFFERED)
    while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(os.fsencode(sys.executable)):
        time.sleep(0.001)
    time.sleep(delay)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, error = process.communicate(timeout=20)
    assert process.returncode == code
    assert b"Traceback" not in error and error.count(b"\n") <= 1


SPEAK = [["monitor", "--once"], ["stop"], ["record"], ["run", "piper_pick"], ["demo"], ["replay", "nowhere"]]


@pytest.mark.parametrize("words", SPEAK)
@pytest.mark.parametrize(("name", "value"), [("ROS_DOMAIN_ID", "abc"), ("RMW_IMPLEMENTATION", "rmw_nobody_cpp")])
def test_a_variable_that_ros_would_end_on_is_named_in_one_line(words, name, value, monkeypatch, capsys):
    monkeypatch.setenv(name, value)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {name} is {value}") and error.count("\n") == 1


def test_an_arm_is_stopped_where_no_log_can_be_written():
    environment = BUFFERED | {"HOME": "/proc/nowhere", "ROS_DOMAIN_ID": "98"}
    environment.pop("ROS_HOME")
    done = subprocess.run([*TRISTAGE, "stop"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "press the emergency stop" in done.stderr


def test_a_terminal_of_ascii_gets_what_it_can_show():
    said = "from tristage_ros.start import streams; streams(); print('rad/s²'); import sys; print('°', file=sys.stderr)"
    environment = BUFFERED | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run([sys.executable, "-c", said], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "rad/s?\n", "?\n")


HOME_PATHS = [
    ["run", "piper_pick", "parameters:=~/x.yaml"],
    ["run", "piper_pick", "checkpoint:=~/x.safetensors"],
    ["run", "piper_pick", "cameras_file:=$HOME/x.yaml"],
    ["run", "piper_pick", "site_file:=~/x.yaml"],
    ["run", "piper_pick", "pruning:=~/x.yaml"],
    ["report", "~/x"],
    ["doctor", "--site=~/x.yaml"],
]


@pytest.mark.parametrize("words", HOME_PATHS)
def test_a_home_is_expanded_where_no_shell_does_it(words, monkeypatch, capsys):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "/home/somebody/x" in error and error.count("\n") == 1


@pytest.mark.parametrize("text", ["run_dir:=~nobody.at.all/x", "run_dir:=$NOBODY_SET_IT/x"])
def test_a_home_or_a_variable_that_is_none_is_refused(text, capsys):
    assert main(["run", "piper_pick", "record:=true", text]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("words", [["run", "piper_pick"], ["evaluate", "--table", "2"]])
def test_a_misspelt_rendering_backend_is_named_in_one_line(words, monkeypatch, capsys):
    monkeypatch.setenv("MUJOCO_GL", "egll")
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("error: MUJOCO_GL is 'egll'; type: export MUJOCO_GL=egl")
