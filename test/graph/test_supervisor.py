"""The supervisor: one exit ends all, Ctrl-C ends all once, nothing is left behind."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tristage_ros.graph.graph import Graph, GraphError, NodeSpec
from tristage_ros.graph.supervisor import remove_unused, run

SCRIPT = """
import sys
from pathlib import Path
from tristage_ros.graph.graph import Graph, NodeSpec
from tristage_ros.start import flush
from tristage_ros.graph.supervisor import run
nodes = tuple(NodeSpec(f"n{i}", "sh", package="", arguments=("-c", text)) for i, text in enumerate(sys.argv[1:]))
code = run(Graph("test", nodes, Path("none.yaml"), {"MARK": "set"}))
flush()
sys.exit(code)
"""
MARK = f"marker-{os.getpid()}-"  # of this run of the tests
PATIENT = "trap 'echo bye; exit 0' TERM; echo ready $MARK; while :; do sleep 0.05; done"


BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def start(*scripts, grace=None):
    impatient = f"from tristage_ros.graph.supervisor import PatientManager\nPatientManager.GRACE = {grace}\n"
    return subprocess.Popen(
        [sys.executable, "-c", (impatient if grace else "") + SCRIPT, *scripts],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=BUFFERED,
    )


def wait_for(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"never printed {text!r}")


def alive(marker):
    found = [p for p in Path("/proc").glob("[0-9]*/cmdline") if marker.encode() in _read(p)]
    return [p for p in found if p.parent.name != str(os.getpid())]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_node_that_dies_ends_the_run_with_its_name_and_code():
    process = start(PATIENT + f" # {MARK}dies", "sleep 0.5; exit 7")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 7
    assert "n1 ended with exit code 7" in err
    assert "bye" in out  # the other one was asked to stop
    assert not alive(f"{MARK}dies")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_stops_every_node_cleanly(number):
    process = start(PATIENT + f" # {MARK}interrupt", PATIENT + f" # {MARK}interrupt")
    wait_for(process, "ready set")
    wait_for(process, "ready set")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out.count("bye") == 2
    assert "Traceback" not in out + err
    assert not alive(f"{MARK}interrupt")


def test_where_nobody_reads_any_more_an_interrupt_still_stops_every_node():
    """As with `tristage run ... | tee`, which the same Ctrl-C ends."""
    process = start(PATIENT + f" # {MARK}pipe")
    wait_for(process, "ready set")
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    process.stderr.close()
    assert not alive(f"{MARK}pipe")


def test_a_full_pipe_that_nobody_reads_holds_up_neither_the_nodes_nor_their_end(tmp_path):
    said = "x" * 200
    chatty = f"trap 'exit 0' TERM; while :; do echo {said}; echo . >> {tmp_path}/lines; sleep 0.001; done # {MARK}full"
    process = start(chatty)
    lines = tmp_path / "lines"
    end = time.monotonic() + 60
    while not lines.exists() or lines.stat().st_size < 2 * 800:  # a pipe takes 64 KiB
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    process.stdout.close()
    process.stderr.close()
    assert not alive(f"{MARK}full")


def test_a_line_of_any_length_is_printed_whole():
    out, _ = start("head -c 9000 /dev/zero | tr '\\0' x; echo").communicate(timeout=20)
    assert out.count("x") == 9000


def test_a_node_that_ignores_the_signal_is_killed():
    process = start(f"trap '' TERM; echo ready; while :; do sleep 0.05; done # {MARK}stubborn", grace=1)
    wait_for(process, "ready")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert not alive(f"{MARK}stubborn")


def test_a_node_that_takes_its_time_to_stop_is_left_to_it():
    slow = "trap 'sleep 6; echo bye; exit 0' TERM; echo ready $MARK; while :; do sleep 0.05; done"
    process = start(PATIENT, slow)
    for _ in range(2):
        wait_for(process, "ready set")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and out.count("bye") == 2 and "SIGKILL" not in out


def test_a_program_that_is_not_installed_is_named():
    with pytest.raises(GraphError, match="no-such-program is not installed"):
        run(Graph("test", (NodeSpec("x", "no-such-program", package="y"),), Path("none"), {}))


def test_the_complaint_of_the_node_that_ended_the_run_is_repeated():
    _, err = start(PATIENT, "echo 'error: the cable is green'; exit 2").communicate(timeout=20)
    assert "n1 ended with exit code 2: the cable is green" in err


def test_shared_memory_that_somebody_uses_is_left_alone():
    free, held = (Path("/dev/shm") / f"fastdds_test_{os.getpid()}_{name}" for name in ("free", "held"))
    for path in (free, held):
        path.touch()
    holder = subprocess.Popen(
        ["sh", "-c", f"exec 3<{held}; echo held; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        remove_unused({free, held})
        assert not free.exists() and held.exists()
    finally:
        holder.communicate(b"\n")
        held.unlink(missing_ok=True)


def test_a_port_at_which_somebody_begins_to_listen_is_left_alone():
    files = [Path("/dev/shm") / f"{name}" for name in (f"fastdds_port{os.getpid()}", f"fastdds_port{os.getpid()}_el")]
    files.append(Path("/dev/shm") / f"sem.fastdds_port{os.getpid()}_mutex")
    for path in files:
        path.touch()
    with files[1].open() as lock:  # this process is not asked what it maps, as one would be that mapped nothing yet
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_unused(set(files))
        assert all(path.exists() for path in files)
    remove_unused(set(files))
    assert not any(path.exists() for path in files)
