"""What becomes of the arm's last minute in a file: its rings' bounds, contents, rotation, and places that refuse."""

import os
import pickle
import resource
import subprocess
import sys
import time

import can
import numpy as np
from rosbags.rosbag2 import Reader

from tristage_ros.bags.black_box import contents as box
from tristage_ros.bags.black_box.writing import write
from tristage_ros.bags.facts import read_facts
from tristage_ros.bags.messages import CAN_FRAME, new_message, typestore
from tristage_ros.bags.reader import BagReader
from tristage_ros.devices.arm import black_box
from tristage_ros.devices.arm.black_box import FRAME, BusRecord, LoopRecord
from tristage_ros.devices.arm.guard import Setpoint
from tristage_ros.devices.arm.values import ArmFeedback, ArmMode, MotorHealth

FSIZE = resource.RLIMIT_FSIZE  # the size of a file beyond which a write fails, as on a full disk


def arm(stamp):
    health = MotorHealth(*(np.zeros(6) for _ in range(4)), (0x40,) * 6)
    position, effort = np.arange(6) / 10, np.arange(6.0)
    return ArmFeedback(stamp, position, np.full(6, 0.5), effort, 0.03, 0.7, 0xC0, health, 1, 0, 0, 3040.0, 0.4)


def frame(identifier, data=bytes(8), **flags):
    return can.Message(arbitration_id=identifier, data=data, is_extended_id=flags.pop("extended", False), **flags)


def contents(folder, frames=None, loop=None, **more):
    now, wall = time.monotonic(), time.time()
    pieces = {name: ring.pieces() for name, ring in (("frames", frames), ("ticks", loop)) if ring}
    return box.Contents(folder / box.name(wall), 20, now, wall, "can0", **pieces, **more)


def test_a_ring_keeps_the_newest_and_never_grows():
    ring = BusRecord(capacity=1000)
    before = ring.nbytes
    for number in range(2500):
        ring.received(frame(number % 0x800, number.to_bytes(8, "big")))
    assert ring.nbytes == before == 1000 * FRAME.itemsize
    kept = black_box.records(FRAME, ring.pieces(), time.monotonic())
    assert [int.from_bytes(data.tobytes(), "big") for data in kept["data"]] == list(range(1500, 2500))
    assert (np.diff(kept["monotonic"]) >= 0).all() and abs(kept["wall"][-1] - time.time()) < 1.0


def test_a_ring_of_the_real_size_holds_a_minute_of_both_directions():
    assert BusRecord().nbytes // FRAME.itemsize >= 60 * (3040 + 500)


def test_what_is_older_than_a_minute_or_came_while_it_was_copied_is_left_out():
    ring = BusRecord(capacity=10)
    for stamp in (10.0, 40.0, 99.0, 101.0):
        ring.add(stamp, stamp, 0x2A5, 0, 8, bytes(8))
    assert black_box.records(FRAME, ring.pieces(), 100.0)["monotonic"].tolist() == [40.0, 99.0]


def test_a_fault_is_noted_once_however_long_it_lasts_and_anew_after_it_was_cleared():
    loop, faults = LoopRecord(capacity=10), []
    for fault in ("", "blocked", "blocked", "", "blocked"):
        loop.tick(ArmMode.FAULT if fault else ArmMode.HOLDING, None, arm(1.0), 0, fault)
        faults.append(loop.fault)
    assert faults[0] is None and faults[1] is faults[2] is faults[3] is not faults[4]
    assert faults[4].text == "blocked"


def test_the_file_holds_every_frame_as_the_standard_has_it_and_every_tick(tmp_path):
    frames, loop = BusRecord(), LoopRecord()
    frames.received(frame(0x2A1, bytes(range(8))))
    frames.received(frame(0x1FFFFFFF, b"\1\2", extended=True))
    frames.received(frame(0x123, b"", is_remote_frame=True))
    frames.received(frame(0x20, bytes(8), is_error_frame=True))
    frames.sent(0x155, b"\7" * 8)
    loop.tick(ArmMode.DISABLED, None, arm(time.monotonic()), 0, "")
    measured = arm(time.monotonic())
    for sent in (1, 2):  # the joints are those of before
        loop.tick(ArmMode.MOVING, Setpoint(np.full(6, 0.25), 0.04, ""), measured, sent, "")
    event = box.Event(time.monotonic(), time.time(), box.ERROR, box.FAULT, "it hit a wall")
    text = bytes(typestore().serialize_cdr(new_message("std_msgs/msg/String", data="x"), "std_msgs/msg/String"))
    kept = box.Kept(time.monotonic(), "/arm/other", "std_msgs/msg/String", text)
    given = contents(tmp_path, frames, loop, events=[event], messages=[kept], parameters={"can_channel": "can0"})
    assert write(given) == 12
    with BagReader(given.path) as bag:
        assert bag.complete and bag.topics[box.RECEIVED] == bag.topics[box.SENT] == CAN_FRAME
        told = {topic: [m.value for m in bag.messages(topic)] for topic in bag.topics}
        assert read_facts(bag).parameters == {"arm": {"can_channel": "can0"}}
    heard = [(f.id, f.is_rtr, f.is_extended, f.is_error, f.dlc, bytes(f.data)) for f in told[box.RECEIVED]]
    assert heard == [
        (0x2A1, False, False, False, 8, bytes(range(8))),
        (0x1FFFFFFF, False, True, False, 2, b"\1\2" + bytes(6)),
        (0x123, True, False, False, 0, bytes(8)),
        (0x20, False, False, True, 8, bytes(8)),
    ]
    (sent,) = told[box.SENT]
    assert (sent.id, bytes(sent.data), sent.header.frame_id) == (0x155, b"\7" * 8, "can0")
    assert abs(sent.header.stamp.sec - time.time()) < 60
    assert [list(s.position) for s in told[box.SETPOINTS]] == [[0.25] * 6 + [0.04]] * 2
    assert len(told[box.JOINTS]) == 2 and list(told[box.JOINTS][1].effort) == [0, 1, 2, 3, 4, 5, 0.7]
    assert (told[box.EVENTS][0].name, told[box.EVENTS][0].msg) == (box.FAULT, "it hit a wall")


def test_rosbag2_readers_read_the_file_by_the_definitions_in_it(tmp_path):
    frames = BusRecord()
    frames.sent(0x155, bytes(8))
    given = contents(tmp_path, frames)
    write(given)
    with Reader(given.path) as bag:
        (connection,) = (c for c in bag.connections if c.topic == box.SENT)
    for line in ("uint32 id", "bool is_rtr", "bool is_extended", "bool is_error", "uint8 dlc", "uint8[8] data"):
        assert line in connection.msgdef.data.splitlines()


def test_only_this_arms_oldest_black_boxes_go(tmp_path):
    others = ["black-box-left-20200101-000000000.mcap", "black-box.mcap", "notes-20200101-000000000.mcap"]
    ours = [f"black-box-2020010{day}-000000000.mcap" for day in range(1, 6)]
    for age, name in enumerate((*reversed(ours), *others)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    (tmp_path / ours[0].removesuffix(".mcap")).mkdir()  # a report
    given = contents(tmp_path)
    given.keep = 3
    write(given)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([*others, ours[0].removesuffix(".mcap"), *ours[3:], given.path.name])


def test_of_an_arm_in_a_namespace_the_name_says_so():
    moment = time.mktime((2026, 11, 30, 13, 44, 26, 0, 0, -1)) + 0.063
    assert box.name(moment, "/left/arm2") == "black-box-left-arm2-20261130-134426063.mcap"
    assert box.name(moment, "/") == "black-box-20261130-134426063.mcap"


def handed_over(given, **how):
    program = [sys.executable, "-m", "tristage_ros.bags.black_box"]
    return subprocess.run(program, input=pickle.dumps(given), capture_output=True, check=False, **how)


def test_a_place_without_room_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    done = handed_over(contents(tmp_path / "file"))
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"file" in done.stderr
    assert "cannot be made" in box.trouble(tmp_path / "file" / "below")
    assert box.trouble(tmp_path / "new") == "" and (tmp_path / "new").is_dir()


def test_a_disk_that_is_full_half_way_is_one_line_and_leaves_nothing(tmp_path):
    frames = BusRecord()
    for number in range(20000):
        frames.received(frame(0x2A5, np.random.default_rng(number).bytes(8)))
    done = handed_over(contents(tmp_path, frames), preexec_fn=lambda: resource.setrlimit(FSIZE, (50_000, 50_000)))
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"too large" in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_given_by_halves_is_one_line_and_leaves_nothing(tmp_path):
    given = contents(tmp_path, BusRecord())
    program = [sys.executable, "-m", "tristage_ros.bags.black_box"]
    done = subprocess.run(program, input=pickle.dumps(given)[:-1000], capture_output=True, check=False)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and not list(tmp_path.iterdir())
