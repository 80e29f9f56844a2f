"""What goes into a bag comes out again, also when the recording was cut off."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.interfaces import Nodetype
from rosbags.rosbag2 import Reader, Writer

from tristage_ros.bags import writer as writer_module
from tristage_ros.bags.messages import IMAGE, NUMBERS, new_message, typestore
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.bags.writer import BagWriter

TYPES = (
    *sorted(name for name in typestore().fielddefs if name.startswith("tristage_msgs/msg/")),
    "sensor_msgs/msg/JointState",
    "sensor_msgs/msg/CameraInfo",
    "sensor_msgs/msg/PointCloud2",
    "geometry_msgs/msg/PoseStamped",
    "diagnostic_msgs/msg/DiagnosticArray",
)
TEXT = "std_msgs/msg/String"


def drawn(type_name: str, draw: np.random.Generator) -> Any:
    """Return a message whose every field holds something."""
    return new_message(type_name, **{name: _value(kind, draw) for name, kind in typestore().fielddefs[type_name][1]})


def _value(kind: Any, draw: np.random.Generator) -> Any:
    node, content = kind
    if node == Nodetype.NAME:
        return drawn(content, draw)
    if node == Nodetype.BASE:
        return f"text {draw.integers(999)}" if content[0] == "string" else _numbers(content[0], 1, draw)[0].item()
    element, length = content
    length = length if node == Nodetype.ARRAY else int(draw.integers(1, 6))
    if element[0] == Nodetype.BASE and element[1][0] in NUMBERS:
        return _numbers(element[1][0], length, draw)
    return [_value(element, draw) for _ in range(length)]


def _numbers(kind: str, count: int, draw: np.random.Generator) -> np.ndarray:
    values = draw.normal(0, 40, count) if "float" in kind else draw.integers(0, 2 if kind == "bool" else 99, count)
    return values.astype(NUMBERS[kind])


def text(content: str) -> Any:
    return new_message(TEXT, data=content)


@pytest.mark.parametrize("type_name", TYPES)
def test_every_message_comes_back_bit_by_bit(record, cdr, type_name: str) -> None:
    draw = np.random.default_rng(7)
    sent = [drawn(type_name, draw) for _ in range(3)]
    with BagReader(record(*(("/some/topic", message) for message in sent))) as bag:
        got = list(bag.messages())
        assert bag.complete
        assert bag.topics == {"/some/topic": type_name}
    assert [message.stamp for message in got] == [0, 1_000_000, 2_000_000]
    assert [cdr(message.value) for message in got] == [cdr(message) for message in sent]


def test_images_come_back_on_their_own_topic(record, make_image) -> None:
    color = make_image(np.full((48, 64, 3), (200, 90, 10), np.uint8), "rgb8")
    depth = make_image(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64), "16UC1")
    metres = make_image(np.ones((4, 4), np.float32), "32FC1")
    path = record(("/front/color", color), ("/front/depth", depth), ("/wrist/depth", metres))
    with Reader(path) as raw:
        topics = {c.topic for c in raw.connections}
    assert topics == {"/front/color/compressed", "/front/depth/compressedDepth", "/wrist/depth"}
    with BagReader(path) as bag:
        assert bag.topics == {"/front/color": IMAGE, "/front/depth": IMAGE, "/wrist/depth": IMAGE}
        by_topic = {message.topic: message.value for message in bag.messages()}
    np.testing.assert_array_equal(by_topic["/front/depth"].data, depth.data)
    np.testing.assert_array_equal(by_topic["/wrist/depth"].data, metres.data)
    np.testing.assert_allclose(by_topic["/front/color"].data.astype(int), color.data, atol=4)


def test_malformed_images_are_kept_as_they_came(record, make_image, cdr) -> None:
    broken = make_image(np.zeros((4, 4, 3), np.uint8), "rgb8")
    broken.height = 400
    with BagReader(record(("/front/color", broken))) as bag:
        assert [cdr(message.value) for message in bag.messages()] == [cdr(broken)]


def test_topics_can_be_chosen(record) -> None:
    path = record(("/a", text("1")), ("/b", text("2")), ("/a", text("3")), ("/c", text("4")))
    with BagReader(path) as bag:
        assert [m.value.data for m in bag.messages("/a")] == ["1", "3"]
        assert [m.value.data for m in bag.messages("/c", "/a")] == ["1", "3", "4"]
        assert list(bag.messages("/nowhere")) == []
        assert [m.value.data for m in bag.messages()] == ["1", "2", "3", "4"]


def test_bags_of_ros2_and_single_files_can_be_read(record, tmp_path: Path) -> None:
    path = record(("/a", text("1")))
    with BagReader(next(path.glob("*.mcap"))) as bag:
        assert [m.value.data for m in bag.messages()] == ["1"]
    with Writer(tmp_path / "sqlite", version=9) as other:
        connection = other.add_connection("/a", TEXT, typestore=typestore())
        other.write(connection, 5, bytes(typestore().serialize_cdr(text("2"), TEXT)))
    with BagReader(tmp_path / "sqlite") as bag:
        assert [(m.stamp, m.value.data) for m in bag.messages()] == [(5, "2")]


def test_an_empty_bag_is_a_bag(record) -> None:
    with BagReader(record()) as bag:
        assert bag.topics == {}
        assert list(bag.messages()) == []


def test_writers_never_wait_and_drops_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cdr) -> None:
    blocked, release = threading.Event(), threading.Event()
    store = BagWriter._store

    def slow(self: BagWriter, item: Any) -> None:
        blocked.set()
        release.wait(10)
        store(self, item)

    monkeypatch.setattr(BagWriter, "_store", slow)
    data = cdr(text("x" * 100))
    writer = BagWriter(tmp_path / "bag", queue_bytes=10 * len(data))
    writer.write("/a", TEXT, data, 0)
    assert blocked.wait(10)
    for _ in range(10):
        writer.write("/a", TEXT, data, 1)  # fill the queue
    assert not writer.dropped
    for _ in range(3):
        writer.write("/a", TEXT, data, 2)
    writer.write("/b", TEXT, data, 2)
    assert writer.dropped == {"/a": 3, "/b": 1}
    release.set()
    writer.close()
    with BagReader(writer.path) as bag:
        assert [m.stamp for m in bag.messages()] == [0] + [1] * 10


def test_many_threads_may_write(tmp_path: Path, cdr) -> None:
    with BagWriter(tmp_path / "bag") as writer:

        def send(name: str) -> None:
            for index in range(200):
                writer.write(name, TEXT, cdr(text(str(index))), index)

        threads = [threading.Thread(target=send, args=(f"/t{k}",)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with BagReader(writer.path) as bag:
        for k in range(4):
            assert [m.value.data for m in bag.messages(f"/t{k}")] == [str(i) for i in range(200)]


def test_close_twice_and_write_after(tmp_path: Path, cdr) -> None:
    writer = BagWriter(tmp_path / "bag")
    writer.write("/a", TEXT, cdr(text("1")), 0)
    writer.close()
    writer.close()
    writer.write("/a", TEXT, cdr(text("2")), 1)
    assert writer.dropped == {"/a": 1}
    assert not any(thread.name == "bag writer" for thread in threading.enumerate())
    with BagReader(writer.path) as bag:
        assert len(list(bag.messages())) == 1


def test_an_existing_bag_is_not_touched(record) -> None:
    path = record(("/a", text("1")))
    with pytest.raises(FileExistsError, match="not overwritten"):
        BagWriter(path)
    with BagReader(path) as bag:
        assert len(list(bag.messages())) == 1


def test_unknown_types_are_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer, pytest.raises(ValueError, match="'my_msgs/msg/Other'"):
        writer.write("/a", "my_msgs/msg/Other", b"", 0)


def test_a_full_disk_ends_the_recording_but_not_the_caller(tmp_path: Path, monkeypatch, cdr) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    writer = BagWriter(tmp_path / "bag")
    monkeypatch.setattr(writer._bag, "write", full)
    writer.write("/a", TEXT, cdr(text("1")), 0)
    writer._thread.join(10)
    writer.write("/a", TEXT, cdr(text("2")), 1)
    assert writer.dropped["/a"] >= 1
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    writer.close()


KILLED = """
import sys, threading
from tristage_ros.bags.messages import new_message, typestore
from tristage_ros.bags.writer import BagWriter
writer = BagWriter(sys.argv[1])
for index in range(5):
    message = new_message("std_msgs/msg/String", data=str(index))
    data = bytes(typestore().serialize_cdr(message, "std_msgs/msg/String"))
    writer.write("/a", "std_msgs/msg/String", data, 100 - index)
print("written", flush=True)
threading.Event().wait(60)
"""


def test_a_killed_recording_can_be_read_up_to_the_break(tmp_path: Path) -> None:
    path = tmp_path / "bag"
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, cwd=root)
    try:
        assert process.stdout.readline() == b"written\n"
        file, deadline = next(path.glob("*.mcap")), time.monotonic() + 20
        while file.stat().st_size < 200 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()
    assert not (path / "metadata.yaml").exists()
    with BagReader(path) as bag:
        assert not bag.complete
        assert bag.topics == {"/a": TEXT}
        assert [m.value.data for m in bag.messages()] == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize("share", [0.999, 0.9, 0.5, 0.2])
@pytest.mark.parametrize("tail", [b"", bytes(5000)])
def test_a_truncated_file_gives_its_first_messages(tmp_path: Path, monkeypatch, cdr, share: float, tail: bytes) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_INTERVAL", 0.0)  # a chunk per message
    with BagWriter(tmp_path / "bag") as writer:
        for index in range(40):
            writer.write("/a", TEXT, cdr(text(f"{index} " + "x" * 100)), index)
    file = next(writer.path.glob("*.mcap"))
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)] + tail)
    with BagReader(cut) as bag:
        assert not bag.complete
        got = [m.value.data.split()[0] for m in bag.messages("/a")]
    assert got == [str(index) for index in range(len(got))]
    assert len(got) >= 40 * (share - 0.45)


def test_a_damaged_chunk_is_an_error(record, tmp_path: Path) -> None:
    path = record(*(("/a", text("x" * 100 + str(i))) for i in range(50)))
    file = next(path.glob("*.mcap"))
    content = bytearray(file.read_bytes())
    content[90 : len(content) // 4] = bytes(len(content) // 4 - 90)
    file.write_bytes(content)
    with pytest.raises(BagError, match=str(path)), BagReader(path) as bag:
        list(bag.messages())


def test_a_damaged_message_is_an_error_when_it_is_looked_at(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.write("/a", TEXT, b"\x00\x01\x00\x00\xff\xff", 7)
    with BagReader(writer.path) as bag:
        message = next(bag.messages())
    with pytest.raises(BagError, match="/a at 7 ns"):
        _ = message.value


def test_what_is_no_bag_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.mcap").write_text("hello")
    (tmp_path / "empty.mcap").write_bytes(b"")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    for name, words in {
        "nowhere": "nothing of that name",
        "folder": "neither an .mcap",
        "text.mcap": "begin like",
        "empty.mcap": "begin like",
        "image.png": "begin like",
    }.items():
        with pytest.raises(BagError, match=words):
            BagReader(tmp_path / name)


def test_a_bag_without_its_file_is_an_error(record) -> None:
    path = record(("/a", text("1")))
    shutil.move(next(path.glob("*.mcap")), path.parent / "elsewhere.mcap")
    with pytest.raises(BagError, match="missing"):
        BagReader(path)
