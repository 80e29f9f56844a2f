"""The real viewer: its environment is installed (once on a machine), and what it shows is looked at in a browser."""

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from reports.browser import Browser

from tristage_ros.cli import main
from tristage_ros.viewing.environment import Environment, ViewerError

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}  # 127.0.0.1 and ::1, as the kernel writes them


@pytest.fixture(scope="module")
def environment():
    """Return the installed environment; skip where the package index cannot be reached."""
    cache = Path(tempfile.gettempdir()) / "tristage-test-rerun"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.delenv("DISPLAY", raising=False)
        patch.delenv("WAYLAND_DISPLAY", raising=False)
        place = Environment()
        try:
            place.make(print)
        except ViewerError as error:
            pytest.skip(str(error))
        yield place


@pytest.fixture
def show(environment, small_bag):
    """Return a running `tristage show` and the address that it tells."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tristage_ros", "show", str(small_bag)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert select.select([process.stdout], [], [], 120)[0], "no address was told"
    yield process, process.stdout.readline().strip()
    if process.poll() is None:
        process.kill()
    process.wait()


def listening(session):
    """Return the local addresses at which the processes of a session listen, by TCP."""
    inodes = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int((process / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                inodes |= {re.sub(r"\D", "", os.readlink(fd)) for fd in (process / "fd").iterdir()}
        except OSError:  # it has ended
            continue
    lines = [
        line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    return [line[1].split(":")[0] for line in lines if line[3] == "0A" and line[9] in inodes]


def seen(png):
    """Return which share of the cell's view is brown as its table and light grey as its arm, of the images blue."""
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    height, width = pixels.shape[:2]
    cell, images = pixels[height // 10 : height * 6 // 10, : width * 7 // 10], pixels[:, width * 3 // 4 :]
    table = np.abs(cell - (125, 103, 79)).max(axis=-1) < 14
    arm = (np.ptp(cell, axis=-1) < 12) & (cell.min(axis=-1) > 130)
    plate = images[..., 2] > images[..., :2].max(axis=-1) + 60
    return {"table": table.mean(), "arm": arm.mean(), "plate": plate.mean()}


def test_the_page_shows_the_cell_and_asks_nobody_but_this_machine(show, tmp_path):
    process, url = show
    assert url.startswith("http://127.0.0.1:")
    browser = Browser(tmp_path, webgl=True)
    try:
        assert len(addresses := listening(process.pid)) == 2 and set(addresses) <= LOOPBACK
        browser.resize(960, 600)  # software draws it
        browser.open(url)
        end = time.monotonic() + 500
        while not ((now := seen(browser.screenshot()))["table"] > 0.1 and now["arm"] > 0.01 and now["plate"] > 0.003):
            assert time.monotonic() < end, now
            time.sleep(5)
        requests = {event["request"]["url"] for event in browser.of_kind("Network.requestWillBeSent")}
        errors = [e for e in browser.of_kind("Runtime.consoleAPICalled") if e["type"] in ("error", "assert")]
        errors += [e for e in browser.of_kind("Log.entryAdded") if e["entry"]["level"] == "error"]
        errors += browser.of_kind("Runtime.exceptionThrown")
    finally:
        browser.close()
    assert not errors
    assert {re.match(r"(https?://[^:/]+)|(data|blob):", url)[0] for url in requests} <= {
        "http://127.0.0.1",
        "data:",
        "blob:",
    }
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert listening(process.pid) == []


def test_a_recording_has_what_is_logged(environment, small_bag, logged, tmp_path, capfd):
    assert main(["report", str(small_bag), "--format", "rrd", "--out", str(tmp_path)]) == 0
    (told,) = capfd.readouterr().out.splitlines()
    assert told == str(tmp_path / "report.rrd") and [path.name for path in tmp_path.iterdir()] == ["report.rrd"]
    printed = subprocess.run(
        [environment.viewer, "rrd", "print", told],
        env=environment.variables(),
        capture_output=True,
        text=True,
        check=True,
    )
    kept = {(path, name) for path, names in re.findall(r" - /(\S+) - data columns: \[(.*)\]", printed.stdout)
            for name in re.findall(r"(\w+):", names)}  # fmt: skip
    assert {(record.path, record.archetype) for record in logged[0]} <= kept


def test_what_cannot_be_read_leaves_nothing(environment, tmp_path, capfd):
    (tmp_path / "bag").mkdir()
    assert main(["report", str(tmp_path), "--format", "rrd"]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
