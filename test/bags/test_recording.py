"""What can be replayed of a bag, whole or damaged: every kind of damage is named, and what is whole is found."""

from __future__ import annotations

import shutil

import pytest
from damage import FRONT_COLOR, FRONT_DEPTH, IMAGES, SMALL_BAG, WRIST_DEPTH, Stored, damaged, restamped, stored, write
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tristage_ros.bags.messages import IMAGE, new_message, typestore
from tristage_ros.bags.reader import BagError, BagReader
from tristage_ros.bags.recording import JOINTS, Recording, color_topic, depth_topic, renamed
from tristage_ros.bags.writer import offered

CAMERAS = ("front", "wrist")
SECOND = 10**9


@pytest.fixture(scope="module")
def whole():
    return Recording(SMALL_BAG, CAMERAS)


def stamps(recording):
    return [frame.stamp for frame in recording.frames()[0]]


def test_the_small_bag_is_small_and_whole(whole):
    assert sum(file.stat().st_size for file in SMALL_BAG.iterdir()) < 3_000_000
    frames, left_out = whole.frames()
    assert len(frames) >= 20 and not left_out
    assert not any(map(str, whole.conditions().values()))
    assert whole.notes == []
    acted, lost = whole.acted(frames)
    assert acted and lost <= 1  # the first action may be on a frame from before the cut


def test_a_frame_brings_everything_that_the_nodes_need_of_its_moment(whole):
    frames, _ = whole.frames()
    played = list(whole.play(frames))
    assert [one.frame for one in played] == frames
    for one in played:
        images = [*one.first, *one.partners]
        assert [m.topic for m in images] == [color_topic("front"), depth_topic("front"), depth_topic("wrist")]
        assert {m.header_stamp for m in images} == {one.frame.stamp}
        joints = [m.header_stamp for m in one.joints]
        assert joints[0] <= one.frame.stamp <= joints[-1] and joints[-1] - joints[0] < SECOND // 10
        assert {m.topic for m in one.settings} >= {"/front/color/camera_info", "/wrist/color/camera_info"}
    assert played[0].first[0].value.encoding == "rgb8" and played[0].first[1].value.encoding == "16UC1"


def test_only_chosen_frames_are_played_and_no_more_is_held(whole):
    frames, _ = whole.frames()
    chosen = [frames[3], frames[4], frames[11]]
    assert [one.frame for one in whole.play(chosen)] == chosen


def test_dropped_frames_are_counted_and_what_lacks_a_part_is_left_out(tmp_path, whole):
    path = damaged(tmp_path / "bag", lambda m, n: [] if (m.topic == WRIST_DEPTH and n in (4, 5)) or n == 9 else [m])
    recording = Recording(path, CAMERAS)
    conditions = recording.conditions()
    assert conditions[depth_topic("wrist")].missing == 3 and "3 missing" in str(conditions[depth_topic("wrist")])
    assert conditions[color_topic("front")].missing == 1
    frames, left_out = recording.frames()
    assert left_out == {f"{depth_topic('wrist')} has nothing within 50 ms": 2}
    gone = {stamps(whole)[index] for index in (4, 5, 9)}
    assert {frame.stamp for frame in frames} == set(stamps(whole)) - gone


def test_late_frames_are_told_and_still_replayed_in_their_place(tmp_path, whole):
    path = damaged(tmp_path / "bag", lambda m, n: [m._replace(stamp=m.stamp + SECOND)] if n in (6, 7) else [m])
    recording = Recording(path, CAMERAS)
    condition = recording.conditions()[color_topic("front")]
    assert condition.late == 2 and 1.0 < condition.latest < 1.3
    assert "2 recorded up to 1." in str(condition)
    assert stamps(recording) == stamps(whole)
    played = [one.first[0].value.data.tobytes() for one in recording.play(recording.frames()[0])]
    assert played == [one.first[0].value.data.tobytes() for one in whole.play(whole.frames()[0])]


def test_swapped_frames_are_told_and_put_in_order(tmp_path, whole):
    images = {topic: [m for m in stored() if m.topic == topic] for topic in IMAGES}

    def swap(message: Stored, number: int) -> list[Stored]:
        other = {10: 11, 11: 10}.get(number)
        return [message if other is None else images[message.topic][other]._replace(stamp=message.stamp)]

    recording = Recording(damaged(tmp_path / "bag", swap), CAMERAS)
    for condition in recording.conditions().values():
        assert condition.swapped == 1 and str(condition) == "1 out of order"
    assert stamps(recording) == stamps(whole)


def test_a_camera_that_repeats_a_frame_is_told_and_the_frame_is_taken_once(tmp_path, whole):
    recording = Recording(damaged(tmp_path / "bag", lambda m, n: [m] * (3 if n == 5 else 1)), CAMERAS)
    condition = recording.conditions()[depth_topic("front")]
    assert condition.repeated == 2 and condition.missing == 0
    assert stamps(recording) == stamps(whole)


def test_a_frozen_camera_is_told(tmp_path):
    frozen = {}

    def freeze(message: Stored, number: int) -> list[Stored]:
        if number == 4:
            frozen[message.topic] = message
        if 4 <= number < 14:
            return [message._replace(data=restamped(frozen[message.topic], message.made))]
        return [message]

    recording = Recording(damaged(tmp_path / "bag", freeze, (FRONT_COLOR, FRONT_DEPTH)), CAMERAS)
    conditions = recording.conditions()
    assert conditions[color_topic("front")].frozen == 10
    assert "10 in a row with the same pixels (frozen" in str(conditions[depth_topic("front")])
    assert not str(conditions[depth_topic("wrist")])


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_truncated_bag_is_read_to_the_break_and_says_where(tmp_path, whole, share):
    file = next(SMALL_BAG.glob("*.mcap"))
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    recording = Recording(cut, CAMERAS)
    assert "cut off after" in recording.notes[0] and f"of {cut.stat().st_size} bytes the first" in recording.notes[0]
    found = stamps(recording)
    assert 0 < len(found) < len(stamps(whole)) and found == stamps(whole)[: len(found)]


@pytest.mark.parametrize("missing", [FRONT_COLOR, WRIST_DEPTH, "/front/color/camera_info", JOINTS])
def test_a_missing_topic_is_named(tmp_path, missing):
    path = write(tmp_path / "bag", [m for m in stored() if m.topic != missing])
    name = missing.removesuffix("/compressed").removesuffix("/compressedDepth")
    with pytest.raises(BagError, match=f"lacks {name};"):
        Recording(path, CAMERAS)


def test_a_bag_without_the_wrist_camera_can_be_replayed_with_the_front_camera_alone(tmp_path, whole):
    path = write(tmp_path / "bag", [m for m in stored() if not m.topic.startswith("/wrist")])
    assert stamps(Recording(path, ["front"])) == stamps(whole)


def foreign(path, plugin):
    """Write the small bag as a camera driver's own node and another arm driver would have it, images uncompressed."""
    messages = []
    with BagReader(SMALL_BAG) as bag:
        for m in bag.messages():
            if m.topic.startswith("/front/"):
                topic = m.topic.replace("/front/", "/camera/camera/")
                messages.append(Stored(topic, m.type_name, m.stamp, m.serialized))
            elif m.topic == JOINTS:
                messages.append(Stored("/joint_states_single", m.type_name, m.stamp, m.serialized))
    profile = offered(1, reliable=False)
    return write(path, messages, plugin, {m.topic: profile for m in messages})


REMAP = {"/camera/camera": "/front", "/joint_states_single": JOINTS}


def test_of_an_image_in_several_forms_one_is_taken(tmp_path, whole):
    """As `ros2 bag record -a` has them; depth as PNG of image_transport's plugin for colour cannot be read."""
    messages = list(stored())
    messages += [m._replace(topic=m.topic.replace("Depth", "")) for m in messages if m.topic.endswith("Depth")]
    with BagReader(SMALL_BAG) as bag:
        raw = [Stored(m.topic, IMAGE, m.stamp, m.serialized) for m in bag.messages() if m.type_name == IMAGE]
    for name, more in (("compressed", []), ("all", raw)):
        recording = Recording(write(tmp_path / name, [*messages, *more]), ["front"])
        assert stamps(recording) == stamps(whole)
        for played in recording.play(recording.frames()[0]):
            assert all(m.serialized for m in played.first)


def test_a_topic_of_another_type_is_named_with_both(tmp_path):
    wrong = [m._replace(kind="geometry_msgs/msg/TwistStamped") if m.topic == JOINTS else m for m in stored()]
    with pytest.raises(
        BagError, match=r"/joint_states holds geometry_msgs/msg/TwistStamped, not sensor_msgs/msg/Joint"
    ):
        Recording(write(tmp_path / "bag", wrong), ["front"])


@pytest.mark.parametrize("plugin", [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_a_foreign_bag_is_replayed_under_our_names(tmp_path, whole, plugin):
    path = foreign(tmp_path / "bag", plugin)
    recording = Recording(path, ["front"], REMAP)
    assert stamps(recording) == stamps(whole)
    one = next(recording.play(recording.frames()[0]))
    assert [m.topic for m in one.first] == [color_topic("front"), depth_topic("front")]
    message = typestore().deserialize_cdr(one.first[0].serialized, IMAGE)
    assert (message.width, message.height, message.encoding) == (640, 480, "rgb8")
    with pytest.raises(BagError, match=r"lacks /front/color/image_raw.*it has /camera/camera/.*--remap") as error:
        Recording(path, ["front"])
    assert "/joint_states_single" in str(error.value)


def test_names_are_changed_at_a_slash_only():
    assert renamed("/camera/camera/color/image_raw", REMAP) == "/front/color/image_raw"
    assert renamed("/camera/camera_2/color", REMAP) == "/camera/camera_2/color"
    assert renamed("/joint_states_single", REMAP) == "/joint_states"
    assert renamed("/cell1/front/color/image_raw", {"/cell1": "/"}) == "/front/color/image_raw"  # out of a namespace


def test_an_empty_bag_lacks_everything(tmp_path):
    with pytest.raises(BagError, match="lacks /front/color/image_raw, /front/color/camera_info"):
        Recording(write(tmp_path / "bag", []), CAMERAS)


def test_messages_of_an_older_definition_are_sent_as_todays(tmp_path):
    """A bag brings the definitions that it was recorded with; what nodes get has to be of today's."""
    kind = "tristage_msgs/msg/ArmStatus"
    store = get_typestore(Stores.ROS2_KILTED)
    old = "std_msgs/Header header\nuint8 mode\nfloat32 given_up\nstring firmware\n"
    store.register(get_types_from_msg(old, kind))
    blank = new_message("std_msgs/msg/Header", frame_id="base_link")
    status = store.types[kind](header=blank, mode=3, given_up=1.0, firmware="S-V1.8-2")
    with Writer(tmp_path / "bag", version=9) as bag:
        connection = bag.add_connection("/arm/status", kind, typestore=store)
        bag.write(connection, 1, bytes(store.serialize_cdr(status, kind)))
    with BagReader(tmp_path / "bag") as bag:
        message = next(bag.messages())
    assert message.value.given_up == 1.0
    again = typestore().deserialize_cdr(message.serialized, kind)
    assert (again.mode, again.firmware, again.header.frame_id) == (3, "S-V1.8-2", "base_link")
    assert again.speed_scale == 0.0 and not hasattr(again, "given_up")


def test_a_folder_of_a_run_is_as_good_as_its_bag(tmp_path, whole):
    shutil.copytree(SMALL_BAG, tmp_path / "run" / "bag")
    assert stamps(Recording(tmp_path / "run", CAMERAS)) == stamps(whole)
