"""The way to the process that logs: nobody waits for it, and what holds at all times gets there."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from tristage_ros.viewing.logger.wire import Record
from tristage_ros.viewing.stream import QUEUE, Stream

# Writes down what comes: the paths, and the first number of each record.
READER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from wire import records
open(sys.argv[2], "w").close()
with open(sys.argv[2], "a") as out:
    for record in records(sys.stdin.buffer):
        out.write(f"{record.path} {record.fields['numbers'][0]:.0f}\\n")
        out.flush()
"""
LARGE = QUEUE // 8  # bytes


@pytest.fixture
def start(tmp_path):
    from tristage_ros.viewing.stream import PROGRAM

    started = []

    def start(code=READER, **options):
        stream = Stream([sys.executable, "-c", code, str(PROGRAM), str(tmp_path / "read")], **options)
        started.append(stream)
        return stream

    yield start
    for stream in started:
        stream.close()


def record(path, number, time, size=8):
    numbers = np.zeros(size // 8)
    numbers[0] = number
    return Record(path, "X", {"numbers": numbers}, time)


def read(tmp_path):
    path = tmp_path / "read"
    return path.read_text().splitlines() if path.exists() else []


def test_everything_gets_there_in_order(start, tmp_path):
    stream = start()
    for number in range(200):
        stream.put(record("a", number, number))
    assert stream.finish() == "" and stream.dropped == 0
    assert read(tmp_path) == [f"a {number}" for number in range(200)]


def test_of_a_full_queue_the_oldest_frames_are_dropped_and_nobody_waits(start, tmp_path):
    stream = start()
    os.kill(stream.process.pid, signal.SIGSTOP)
    for number in range(4):
        stream.put(record("static", number, None))
    put = threading.Thread(target=lambda: [stream.put(record("frame", n, n, LARGE)) for n in range(40)])
    put.start()
    put.join(60)
    assert not put.is_alive(), "a frame waited for a process that does not read"
    assert 25 <= stream.dropped < 40
    os.kill(stream.process.pid, signal.SIGCONT)
    assert stream.finish() == ""
    lines = read(tmp_path)
    frames = [int(line.split()[1]) for line in lines if line.startswith("frame")]
    assert [line for line in lines if line.startswith("static")] == [f"static {n}" for n in range(4)]
    assert len(frames) == 40 - stream.dropped and frames[-5:] == list(range(35, 40))


def test_from_a_file_nothing_is_dropped(start, tmp_path):
    stream = start(patient=True)
    for number in range(30):
        stream.put(record("frame", number, number, LARGE))
    assert stream.finish() == "" and stream.dropped == 0
    assert read(tmp_path) == [f"frame {number}" for number in range(30)]


@pytest.mark.parametrize("patient", [False, True])
def test_a_dead_process_is_told_and_nobody_waits_for_it(start, patient):
    stream = start("import sys; sys.exit('error: no room')", patient=patient)
    end = time.monotonic() + 60
    while not stream.failure:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert stream.failure == "error: no room (exit code 1)"
    for number in range(20):
        stream.put(record("frame", number, number, LARGE))
    assert stream.finish() == stream.failure


def test_a_process_that_hangs_is_ended(start):
    stream = start("import time; time.sleep(600)")
    for number in range(20):
        stream.put(record("frame", number, number, LARGE))
    assert stream.failure == ""
    stream.close()
    assert stream.process.poll() is not None
