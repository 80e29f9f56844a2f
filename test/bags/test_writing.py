"""How a bag is written: compression of colour, quality of service, what rosbag2 wants to see, and an end in time."""

import threading
import time

import numpy as np
import pytest
import yaml
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import Reader

from tristage_ros.bags import writer as writer_module
from tristage_ros.bags.cut import cut
from tristage_ros.bags.facts import TOPIC
from tristage_ros.bags.messages import IMAGE, new_message
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.bags.writer import BagWriter, offered

TEXT = "std_msgs/msg/String"


def noise():
    return np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


@pytest.mark.parametrize(("color", "exact"), [("jpeg", False), ("png", True), ("raw", True)])
def test_colour_is_compressed_as_asked_for(tmp_path, cdr, make_image, color, exact):
    image = make_image(noise(), "rgb8")
    with BagWriter(tmp_path / "bag", color=color) as writer:
        writer.write("/front/color", IMAGE, cdr(image), 1)
    with BagReader(writer.path) as bag:
        again = next(bag.messages("/front/color")).value
    assert np.array_equal(again.data, image.data) == exact
    assert (again.encoding, again.step) == ("rgb8", 192)


def test_an_unknown_compression_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"color = 'gif' must be one of jpeg, png, raw"):
        BagWriter(tmp_path / "bag", color="gif")


def test_depth_is_without_loss_whatever_is_asked_for(tmp_path, cdr, make_image):
    image = make_image(np.random.default_rng(0).integers(0, 65535, (48, 64)).astype(np.uint16), "16UC1")
    for color in ("jpeg", "png", "raw"):
        with BagWriter(tmp_path / color, color=color) as writer:
            writer.write("/front/depth", IMAGE, cdr(image), 1)
        with BagReader(writer.path) as bag:
            np.testing.assert_array_equal(next(bag.messages()).value.data, image.data)


def test_the_quality_of_service_of_a_publisher_is_kept(tmp_path, cdr, make_image):
    with BagWriter(tmp_path / "bag") as writer:
        writer.offer("/latched", offered(1, latched=True))
        writer.offer("/front/color", offered(5, reliable=False))
        for topic in ("/latched", "/plain"):
            writer.write(topic, TEXT, cdr(new_message(TEXT, data="x")), 1)
        writer.write("/front/color", IMAGE, cdr(make_image(noise(), "rgb8")), 1)
    with Reader(writer.path) as bag:
        qos = {connection.topic: connection.ext.offered_qos_profiles[0] for connection in bag.connections}
    assert qos["/latched"].durability == QosDurability.TRANSIENT_LOCAL
    assert qos["/plain"].durability == QosDurability.VOLATILE
    assert qos["/plain"].reliability == QosReliability.RELIABLE
    assert qos["/front/color/compressed"].reliability == QosReliability.BEST_EFFORT


def test_the_metadata_is_what_rosbag2_reads(tmp_path, cdr):
    with BagWriter(tmp_path / "bag") as writer:
        for stamp in (5_000_000_000, 7_000_000_000):
            writer.write("/a", TEXT, cdr(new_message(TEXT, data="x")), stamp)
    info = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (info["version"], info["storage_identifier"], info["message_count"]) == (9, "mcap", 2)
    assert info["relative_file_paths"] == ["bag.mcap"] and (tmp_path / "bag" / "bag.mcap").is_file()
    assert info["starting_time"]["nanoseconds_since_epoch"] == 5_000_000_000
    (topic,) = info["topics_with_message_count"]
    metadata = topic["topic_metadata"]
    assert (metadata["name"], metadata["type"], metadata["serialization_format"]) == ("/a", TEXT, "cdr")
    assert metadata["type_description_hash"].startswith("RIHS01_")
    assert metadata["offered_qos_profiles"][0]["reliability"] == "reliable"
    assert info["custom_data"] == {"dropped": "{}"}


def test_images_do_not_crowd_out_small_messages(tmp_path, cdr, make_image, monkeypatch):
    release = threading.Event()
    store = BagWriter._store
    monkeypatch.setattr(BagWriter, "_store", lambda self, item: (release.wait(20), store(self, item)))
    image = cdr(make_image(np.zeros((480, 640, 3), np.uint8), "rgb8"))
    writer = BagWriter(tmp_path / "bag", queue_bytes=8 * len(image))
    for stamp in range(20):
        writer.write("/front/color", IMAGE, image, stamp)
        writer.write("/joints", TEXT, cdr(new_message(TEXT, data="x")), stamp)
    release.set()
    writer.close()
    assert writer.dropped["/front/color"] >= 11 and not writer.dropped["/joints"]
    assert writer.written["/joints"] == 20
    assert writer.written["/front/color"] + writer.dropped["/front/color"] == 20


def test_the_end_does_not_wait_for_a_slow_disk_and_counts_what_it_leaves(tmp_path, cdr, monkeypatch):
    monkeypatch.setattr(writer_module, "PATIENCE", 0.2)
    store = BagWriter._store
    monkeypatch.setattr(BagWriter, "_store", lambda self, item: (time.sleep(0.05), store(self, item)))
    writer = BagWriter(tmp_path / "bag")
    for stamp in range(400):
        writer.write("/a", TEXT, cdr(new_message(TEXT, data="x")), stamp)
    writer.close()
    assert writer.dropped["/a"] > 0
    assert writer.written["/a"] + writer.dropped["/a"] == 400
    with BagReader(writer.path) as bag:
        assert bag.complete and len(list(bag.messages())) == writer.written["/a"]


def test_a_stretch_is_cut_out_byte_for_byte_with_the_facts(tmp_path, cdr):
    with BagWriter(tmp_path / "bag") as writer:
        writer.offer("/a", offered(3, latched=True))
        writer.write(TOPIC, TEXT, cdr(new_message(TEXT, data="{}")), 0)
        for second in range(10):
            for topic in ("/a", "/b"):
                writer.write(topic, TEXT, cdr(new_message(TEXT, data=str(second))), second * 10**9)
    assert cut(writer.path, tmp_path / "cut", 3.0, 2.0, ["/b"]) == (3, [])
    with BagReader(tmp_path / "cut") as bag:
        assert [(m.topic, m.value.data) for m in bag.messages()] == [(TOPIC, "{}"), ("/a", "3"), ("/a", "4")]
    with Reader(tmp_path / "cut") as raw:
        assert {c.topic: c.ext.offered_qos_profiles[0].depth for c in raw.connections}["/a"] == 3
    with pytest.raises(BagError, match="nothing between 50 and 52 s"):
        cut(writer.path, tmp_path / "none", 50.0, 2.0, [TOPIC])
