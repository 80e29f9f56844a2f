"""What `tristage report` tells of an arm's black box: the last second before the fault, in words and drawn."""

import re
import struct
import time

import cv2
import numpy as np
import pytest

from tristage_ros.bags.black_box import contents as box
from tristage_ros.bags.black_box.writing import write
from tristage_ros.bags.messages import new_message, typestore
from tristage_ros.cli import main
from tristage_ros.devices.arm.black_box import SENT, TICK, BusRecord, Ring
from tristage_ros.devices.arm.clock import DILATION_FRAME, dilation_data
from tristage_ros.devices.arm.values import ArmMode
from tristage_ros.reports.black_box.frames import ARM, OTHERS, US
from tristage_ros.reports.black_box.record import is_black_box, read
from tristage_ros.reports.black_box.summary import summarize

HOME = np.array([0.0, 1.2, -1.1, 0.0, 0.9, 0.0])
FAULT = "joint 2 is blocked: 0.15 rad short, pushing with 12 N m; it lets go"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Four seconds, in which J2 turns at 0.5 rad/s until it is blocked 0.3 s before the fault at 3 s."""
    now, wall = time.monotonic(), time.time()
    begin, frames, ticks = now - 4.0, BusRecord(30_000), Ring(TICK, 1000)

    def frame(at, identifier, data=bytes(8), sent=False):
        frames.add(begin + at, wall - 4.0 + at, identifier, SENT * sent, 8, data)

    for k in range(400):
        at = k * 0.01
        position, target, velocity, effort = HOME.copy(), HOME.copy(), np.zeros(6), np.zeros(6)
        position[1] += 0.5 * np.clip(at - 2.0, 0.0, 0.7)
        target[1] += 0.5 * np.clip(at - 1.9, 0.0, 1.1)
        velocity[1], effort[1] = 0.5 * (2.0 <= at < 2.7), 12.0 * (2.7 <= at < 3.2) + 2.0
        mode, values = ArmMode.FAULT if at >= 3.0 else ArmMode.MOVING, (*position, 0.05, *velocity, *effort, 0.0)
        ticks.add(begin + at, wall - 4.0 + at, begin + at, *target, 0.05, *values, mode, at < 3.2)
        frame(at, 0x2A5)
        frame(at, 0x155, sent=True)
        frame(at, 0x2A1, struct.pack(">8B", 1, 7 if at >= 2.95 else 0, 1, 0, 0, 0, 0, 0))
        frame(at, 0x262, struct.pack(">HhbBH", 240, 30, 30, 0x40 | 0x10 * (at >= 2.96), 500))
    frame(2.5, 0x151, bytes([1, 1, 45, 0, 0, 0, 0, 0]), sent=True)
    for k in range(30):
        frame(2.6 + 0.01 * k, 0x156)
    kind = "tristage_msgs/msg/ArmStatus"
    statuses = []
    for k in range(80):
        fields = {"mode": 4 if k >= 60 else 3, "reason": "on its way", "speed_scale": 0.3, "command_source": 1}
        data = bytes(typestore().serialize_cdr(new_message(kind, firmware="S-V1.8-9", **fields), kind))
        statuses.append(box.Kept(begin + 0.05 * k, box.STATUS, kind, data))
    said = [
        (1.0, box.INFO, "service", "arm/enable (clients: /anna) accepted: motors on"),
        (1.8, box.INFO, "trajectory", "trajectory accepted: 5 points to go"),
        (2.2, box.WARN, "chunk", "chunk 7 refused: too old"),
        (2.4, box.INFO, "parameter", "speed_scale = 0.3 accepted"),
        (3.0, box.ERROR, box.FAULT, FAULT),
        (3.4, box.INFO, "service", "arm/stop called"),
    ]
    events = [box.Event(begin + at, wall - 4.0 + at, *rest) for at, *rest in said]
    path = tmp_path_factory.mktemp("boxes") / box.name(wall)
    write(box.Contents(path, 5, now, wall, "can0", frames.pieces(), ticks.pieces(), events, statuses))
    return path


def test_the_steps_are_of_10_ms_and_end_at_the_fault(recorded):
    told = read(recorded)
    steps = told.steps
    assert told.fault == FAULT and told.start == pytest.approx(-3.0, abs=0.02)
    assert np.diff(steps.times) == pytest.approx(0.01) and steps.times[[0, -1]] == pytest.approx([-1.0, 0.5])
    at = steps.at(-0.5)
    assert steps.measured[at, 1] == pytest.approx(1.2 + 0.25, abs=6e-3)
    assert steps.target[at, 1] == pytest.approx(1.2 + 0.30, abs=6e-3)
    assert steps.mode[at] is ArmMode.MOVING and steps.mode[steps.at(0.1)] is ArmMode.FAULT
    assert np.isnan(steps.target[steps.at(0.3)]).all(), "nothing was sent any more"
    assert np.isfinite(steps.measured[steps.at(0.3)]).all()


def test_what_changes_on_the_bus_gets_a_word_and_what_repeats_does_not(recorded):
    words = [(word.source, word.text, word.count) for word in read(recorded).words]
    assert words == [
        (US, "0x151 CAN control, MOVE J, 45 %", 1),
        (OTHERS, "0x156, a master's", 30),
        (ARM, "0x2a1 CAN control, collision, MOVE J", 1),
        (ARM, "0x262 motor 2: collision, enabled", 1),
    ]


def test_the_summary_says_what_it_was_how_fast_and_who_asked(recorded):
    rows = {row.name: row.value for row in summarize(read(recorded))}
    assert rows["Fault"] == FAULT
    assert rows["Before it"] == "moving: on its way; the arm belonged to the trajectory"
    assert rows["Speed scale"] == "0.3"
    assert re.match(
        r"J2 0\.50 rad/s, \d\.\d\d s before, 0\.00 rad/s at the fault", rows["Fastest joint in the last second"]
    )
    assert rows["Target ahead of the arm at the fault"].startswith("J2 +0.2")
    assert rows["Largest effort in the last second"] == "J2 14.0 N m"
    assert rows["Chunks"] == "1 refused"
    calls = rows["Last calls and changes"]
    assert "2.0 s before: arm/enable (clients: /anna)" in calls and "0.6 s before: speed_scale = 0.3" in calls
    assert "arm/stop" not in calls
    heard, sent = map(int, re.findall(r"(\d+) frames heard and (\d+) sent", rows["Bus in the last second"])[0])
    assert heard == pytest.approx(330, abs=6) and sent == pytest.approx(102, abs=3)
    tool = int(re.match(r"at most (\d+) mm/s", rows["Tool in the last second"])[1])
    assert tool == pytest.approx(0.5 * 300, rel=0.6), "half a radian per second, some 0.3 m from J2"


def test_the_command_writes_a_page_with_a_picture_into_a_folder_of_the_files_name(recorded, capsys):
    assert main(["report", str(recorded)]) == 0
    page = recorded.with_suffix("") / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text(encoding="utf-8")
    for words in (FAULT, "trajectory accepted: 5 points to go", "motor 2: collision", "(30 times)", "<details>"):
        assert words in text
    picture = cv2.imread(str(page.with_name("fault.png")))
    assert picture.shape[0] > 1000 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_one_that_was_asked_for_is_told_by_its_end(tmp_path):
    frames, now, wall = BusRecord(100), time.monotonic(), time.time()
    frames.sent(0x4AF, bytes(8))
    event = box.Event(now, wall, box.INFO, box.REQUEST, "written at a person's call")
    path = tmp_path / box.name(wall)
    frames.add(now - 0.1, wall - 0.1, 0x2A5, 0, 8, bytes(8))
    frames.add(now - 0.05, wall - 0.05, DILATION_FRAME, 0, 8, dilation_data(3.5))
    write(box.Contents(path, 5, now, wall, "can0", frames.pieces(), events=[event]))
    assert main(["report", str(path), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "none: written at a person" in page and "passed 3.5 times more slowly" in page


def test_a_recorded_run_is_no_black_box_and_neither_is_what_cannot_be_read(record_run, tmp_path):
    run = record_run().parent
    assert not is_black_box(run / "bag") and not is_black_box(tmp_path / "nothing.mcap")
    assert main(["report", str(run)]) == 0 and (run / "report.html").exists()
