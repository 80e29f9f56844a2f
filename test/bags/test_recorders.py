"""Bags of every recorder are read as far as they are whole; what is lost or left out is told, and how to mend it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from damage import SMALL_BAG, Stored
from recorders import JSON, fastwrite, humble, rosbag2, without_message_index
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from tristage_ros.bags import cut
from tristage_ros.bags.messages import COMPRESSED_IMAGE, IMAGE, new_message, typestore
from tristage_ros.bags.reader import BagError, BagReader

TEXT, STATS = "std_msgs/msg/String", "tristage_msgs/msg/PruningStats"
MODES = [(StoragePlugin.MCAP, mode) for mode in CompressionMode]
MODES += [(StoragePlugin.SQLITE3, mode) for mode in CompressionMode if mode != CompressionMode.STORAGE]


def cdr(kind: str, **fields: object) -> bytes:
    return bytes(typestore().serialize_cdr(new_message(kind, **fields), kind))


def texts(count: int, first: int = 0, size: int = 0) -> list[Stored]:
    numbers = range(first, first + count)
    return [Stored("/a", TEXT, 1000 + n, cdr(TEXT, data=f"{n} {'x' * size}")) for n in numbers]


def read(path: Path, topic: str = "/a") -> list[int]:
    with BagReader(path) as bag:
        return [int(message.value.data.split()[0]) for message in bag.messages(topic)]


def told(path: Path) -> str:
    with BagReader(path) as bag:
        return "; ".join(bag.told)


@pytest.mark.parametrize(("plugin", "mode"), MODES)
def test_every_way_to_compress_is_read_also_without_metadata(tmp_path: Path, plugin, mode) -> None:
    path = rosbag2(tmp_path / "bag", texts(20), plugin, mode)
    assert read(path) == list(range(20)) and told(path) == ""
    (path / "metadata.yaml").unlink()
    assert read(path) == list(range(20))
    kind = plugin.name.lower()
    assert told(path).startswith("metadata.yaml is missing, as after a recorder that was killed")
    assert told(path).endswith(f"ros2 bag reindex {path} -s {kind}")


@pytest.mark.parametrize("text", ["", "rosbag2_bagfile_information: {version: 4}", "a: [", "\xff"])
def test_metadata_of_another_kind_does_not_matter(tmp_path: Path, text: str) -> None:
    path = rosbag2(tmp_path / "bag", texts(3), StoragePlugin.MCAP, CompressionMode.NONE)
    (path / "metadata.yaml").write_bytes(text.encode("latin1"))
    assert read(path) == [0, 1, 2] and "metadata.yaml cannot be read" in told(path)


def test_metadata_of_a_later_version_is_enough(tmp_path: Path) -> None:
    path = rosbag2(tmp_path / "bag", texts(3), StoragePlugin.MCAP, CompressionMode.NONE)
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("version: 9", "version: 99"))
    assert read(path) == [0, 1, 2] and told(path) == ""


def test_humble_stores_no_definitions_and_what_is_unknown_or_changed_is_left_out_by_name(tmp_path: Path) -> None:
    messages = [
        *texts(3),
        Stored("/tristage/pruning", STATS, 1003, cdr(STATS, step=7)),
        Stored("/old", STATS, 1004, cdr(STATS, step=7)[:40]),
        Stored("/theirs", "their_msgs/msg/Thing", 1005, b"\x00\x01\x00\x00"),
    ]
    path = humble(tmp_path / "bag", messages)
    assert read(path) == [0, 1, 2]
    with BagReader(path) as bag:
        assert bag.topics == {"/a": TEXT, "/tristage/pruning": STATS}
        assert [m.value.step for m in bag.messages("/tristage/pruning")] == [7]
        assert f"/old (recorded with another {STATS} than is installed" in bag.notes[-1]
        assert "/theirs (the type 'their_msgs/msg/Thing' is not known here)" in bag.notes[-1]
        assert "/theirs (1 their_msgs/msg/Thing)" in bag.contents


def test_what_a_killed_recorder_left_in_the_log_of_its_database_is_read_and_nothing_is_changed(tmp_path: Path) -> None:
    alive = []

    def as_robots_do(database: sqlite3.Connection) -> None:
        database.execute("PRAGMA journal_mode=WAL")
        alive.append(database)

    path = humble(tmp_path / "bag", texts(5), as_robots_do)
    killed = shutil.copytree(path, tmp_path / "killed")
    alive[0].close()
    before = {file.name: file.read_bytes() for file in killed.iterdir()}
    assert len(before) == 3 and read(killed) == [0, 1, 2, 3, 4]
    assert {file.name: file.read_bytes() for file in killed.iterdir()} == before


@pytest.mark.parametrize("size", [200, 9000])
@pytest.mark.parametrize("length", [30 * 4096, 31 * 4096 - 100, 32 * 4096, 33 * 4096])
def test_a_database_that_was_cut_off_is_read_up_to_there(tmp_path: Path, size: int, length: int) -> None:
    path = humble(tmp_path / "bag", [m._replace(stamp=2000 - m.stamp) for m in texts(1000, size=size)])
    file = next(path.glob("*.db3"))
    file.write_bytes(file.read_bytes()[:length])
    got = read(path)
    assert got == list(range(len(got)))[::-1] and length * 0.6 < len(got) * size < length
    assert "the recording is cut off after" in told(path) and f"the first {file.stat().st_size} are there" in told(path)


def test_a_database_that_is_damaged_inside_is_refused_with_the_line_that_mends_it(tmp_path: Path) -> None:
    path = humble(tmp_path / "a bag", texts(200, size=2000))
    file, page = next(path.glob("*.db3")), 4096
    content = bytearray(file.read_bytes())
    content[60 * page : 64 * page] = b"\xff" * 4 * page
    file.write_bytes(content)
    with pytest.raises(BagError, match="malformed") as refused:
        read(path)
    line = str(refused.value).split("this saves what is whole: ")[1]
    mended = path / "a bag_0_mended.db3"
    assert line == f"sqlite3 '{file}' .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 '{mended}'"
    if shutil.which("sqlite3"):
        subprocess.run(line, shell=True, check=True, capture_output=True)
        assert 150 < len(read(mended)) < 200


def test_files_without_metadata_are_one_bag_in_their_order_and_a_lost_one_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    for number in (0, 1, 9, 10):
        fastwrite(folder / f"bag_{number}.mcap", texts(10, 10 * number, 50))
    last = folder / "bag_10.mcap"
    last.write_bytes(last.read_bytes()[: last.stat().st_size * 2 // 3])
    (folder / "bag_11.mcap").write_bytes(b"")
    got = read(folder)
    assert got[:30] == [*range(20), *range(90, 100)] and 2 < len(got) - 30 < 10
    assert "bag_11.mcap cannot be read" in told(folder) and "bag_10.mcap is cut off after" in told(folder)
    with BagReader(folder) as bag:
        assert not bag.complete


def test_a_file_that_metadata_names_and_is_not_there_is_said(tmp_path: Path) -> None:
    path = rosbag2(tmp_path / "bag", texts(3), StoragePlugin.MCAP, CompressionMode.NONE)
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("- bag.mcap", "- bag.mcap\n  - bag_1.mcap"))
    assert read(path) == [0, 1, 2] and told(path) == "bag_1.mcap, which metadata.yaml names, is missing"


def test_messages_outside_chunks_come_in_the_order_of_their_stamps(tmp_path: Path) -> None:
    messages = texts(30)
    mixed = [messages[index ^ 1] for index in range(30)]
    assert read(fastwrite(tmp_path / "fast.mcap", mixed)) == list(range(30))


@pytest.mark.parametrize("lost", [1, 30, 37, 200])
@pytest.mark.parametrize("zeros", [0, 5000])
def test_messages_outside_chunks_are_read_up_to_the_break(tmp_path: Path, lost: int, zeros: int) -> None:
    path = fastwrite(tmp_path / "fast.mcap", texts(10, size=20))
    path.write_bytes(path.read_bytes()[:-lost] + bytes(zeros))
    got = read(path)
    assert got == list(range(len(got))) and len(got) >= 6 and "cut off after" in told(path)


def test_chunks_without_a_message_index_are_not_taken_for_empty(tmp_path: Path) -> None:
    path = rosbag2(tmp_path / "bag", texts(20), StoragePlugin.MCAP, CompressionMode.STORAGE)
    without_message_index(path / "bag.mcap")
    assert read(path) == list(range(20))


def test_a_chunk_that_is_damaged_is_refused_with_the_line_that_mends_it(tmp_path: Path) -> None:
    file = rosbag2(tmp_path / "bag", texts(50, size=99), StoragePlugin.MCAP, CompressionMode.STORAGE) / "bag.mcap"
    file.write_bytes(file.read_bytes().replace(b"\x28\xb5\x2f\xfd", bytes(4)))
    with pytest.raises(BagError, match=f"what is whole: mcap recover {file} -o {tmp_path}/bag/bag_mended.mcap"):
        read(file)


def test_channels_of_other_encodings_are_left_out_by_name(tmp_path: Path) -> None:
    path = fastwrite(tmp_path / "web.mcap", texts(3), profile="", foreign=[JSON])
    assert read(path) == [0, 1, 2] and told(path) == "left out: /web (json)"
    with BagReader(path) as bag:
        assert bag.topics == {"/a": TEXT}


FORMS = {"": IMAGE, "/compressed": COMPRESSED_IMAGE, "/compressedDepth": COMPRESSED_IMAGE}


@pytest.mark.parametrize(
    ("there", "read_as"),
    [(["/compressed"], "/compressed"), (["/compressedDepth", "/compressed"], "/compressedDepth"), ([""], "")],
)
def test_of_an_image_the_form_that_has_messages_is_read(tmp_path: Path, there: list[str], read_as: str) -> None:
    messages = [Stored(f"/depth{form}", kind, 5, cdr(kind)) for form, kind in FORMS.items()]
    path = humble(tmp_path / "bag", messages)
    with sqlite3.connect(next(path.glob("*.db3"))) as database:
        for form in FORMS.keys() - set(there):
            asked = "DELETE FROM messages WHERE topic_id = (SELECT id FROM topics WHERE name = ?)"
            database.execute(asked, (f"/depth{form}",))
    database.close()
    with BagReader(path) as bag:
        assert bag.topics == {"/depth": IMAGE}
        assert [m.stored for m in bag.messages("/depth")] == [cdr(FORMS[read_as])]


@pytest.mark.parametrize(("column", "value"), [("name", b""), ("type", b"x"), ("offered_qos_profiles", "a\0")])
def test_a_topic_whose_columns_are_no_texts_is_refused_in_one_line(tmp_path: Path, column: str, value: object) -> None:
    kind = FORMS[""]
    path = humble(tmp_path / "bag", [Stored("/depth", kind, 5, cdr(kind))])
    with sqlite3.connect(next(path.glob("*.db3"))) as database:
        database.execute(f"UPDATE topics SET {column} = ?", (value,))
    database.close()
    with pytest.raises(BagError) as refused:
        BagReader(path)
    assert str(refused.value).isprintable()


def test_a_stretch_is_cut_from_any_of_them_and_what_cannot_be_is_one_line(tmp_path: Path, capsys) -> None:
    def cutting(bag: Path, out: str, *more: str) -> int:
        return cut.main([str(bag), str(tmp_path / out), "--seconds", "1", *more])

    for number, bag in enumerate(
        [humble(tmp_path / "bag", texts(3)), fastwrite(tmp_path / "a.mcap", texts(3), foreign=[JSON])]
    ):
        assert cutting(bag, f"cut{number}") == 0 and read(tmp_path / f"cut{number}") == [0, 1, 2]
    assert "left out: /web (json)" in capsys.readouterr().out
    assert cutting(tmp_path / "a.mcap", "cut0") == 2 and "exists already" in capsys.readouterr().err
    assert cutting(tmp_path / "nowhere", "cut9") == 2 and "nothing of that name" in capsys.readouterr().err
    assert cutting(tmp_path / "a.mcap", "cut9", "--start", "9") == 2
    assert "nothing between 9 and 10 s; it has /a (3 std_msgs/msg/String)" in capsys.readouterr().err
    assert cutting(SMALL_BAG, "cut9", "--start", "99") == 2  # the facts of a run are copied into every stretch
    assert "nothing between 99 and 100 s" in capsys.readouterr().err
    assert not (tmp_path / "cut9").exists()
