"""The demo as a user types it, and interrupted as a user does."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cell_process import alive, orphans

pytestmark = [pytest.mark.serial, pytest.mark.timeout(240)]


@pytest.fixture
def start(ros_domain, free_port, tmp_path):
    started = []

    def start(*arguments):
        command = [
            sys.executable,
            "-m",
            "tristage_ros",
            "demo",
            "--out",
            "run",
            f"can_channel:=127.0.0.1:{free_port}",
        ]
        process = subprocess.Popen(
            [*command, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def node_pids(log):
    lines = log.read_text().splitlines() if log.exists() else []
    return {line.split()[3]: int(line.split("pid=")[1].rstrip(")")) for line in lines if " started (pid=" in line}


def test_the_demo_runs_and_leaves_a_report_and_a_bag(start, tmp_path):
    process = start("--seconds", "4")  # of simulated time, which takes longer where the machine is busy
    out, _ = process.communicate(timeout=220)
    assert process.returncode == 0, out
    assert "run/report.html" in out and "run/bag" in out
    assert re.search(r"(?m)^(Done: |Not done in )", out) and re.search(r"control steps? of \d+ ms", out), out
    html = (tmp_path / "run" / "report.html").read_text()
    assert "mini.safetensors" in html and "put the banana on the blue plate" in html
    assert {path.name for path in (tmp_path / "run").glob("*.png")} >= {"pruning.png", "timings.png", "episode.png"}
    assert list((tmp_path / "run" / "bag").glob("*.mcap"))


@pytest.mark.parametrize("during", ["start", "run"])
def test_ctrl_c_ends_everything_at_once(start, tmp_path, during):
    before = orphans()
    process = start("--seconds", "60")
    log = tmp_path / "run" / "log.txt"
    mark = "started (pid=" if during == "start" else "enable: motors on"
    end = time.monotonic() + 90
    while mark not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < end and process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert time.monotonic() - began < 8.0
    assert process.returncode == 130
    assert "Traceback" not in out + log.read_text()
    assert not any(alive(pid) for pid in node_pids(log).values())
    assert orphans() <= before


def test_a_wrong_argument_starts_nothing(start, tmp_path):
    process = start("pruning:=papper")
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert out.count("\n") == 1 and "papper" in out and "paper, robot" in out
    assert not (tmp_path / "run").exists()


def test_a_taken_can_port_is_named(start, tmp_path, free_port):
    before = orphans()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        out, _ = start("--seconds", "5").communicate(timeout=60)
    assert str(free_port) in out
    assert "Traceback" not in out
    assert orphans() <= before


def test_paths_are_shown_relative_to_where_the_user_stands():
    from tristage_ros.graph.supervisor import shown

    assert shown(Path.cwd() / "a" / "b") == os.path.join("a", "b")


def test_the_page_is_shown_where_there_is_a_display(tmp_path):
    """In a process of its own: webbrowser looks for browsers once."""
    browser, shown = tmp_path / "browser", tmp_path / "shown"
    browser.write_text(f'#!/bin/sh\necho "$1" >>{shown}\n')
    browser.chmod(0o755)
    script = f"""
import os
from pathlib import Path
from rich.console import Console
from tristage_ros.commands import demo
from tristage_ros.reports.report import ReportPaths
for wanted, display in ((True, ""), (False, ":9"), (True, ":9")):
    os.environ["DISPLAY"] = display
    demo._show({{"run": ReportPaths(Path("{tmp_path}/report.html"), {{}})}}, Path("x"), "0", Console(), wanted)
"""
    environment = os.environ | {"BROWSER": f"{browser} %s"}
    environment.pop("WAYLAND_DISPLAY", None)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert shown.read_text() == f"file://{tmp_path}/report.html\n"
