"""Depth of others: a video whose scale is told, images one by one in mm or in m, and what is refused by name."""

import json

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_sets import HEIGHT, MAPPING, RATE, WIDTH, foreign

from tristage_ros.datasets.lerobot.codecs import DEPTH, VideoWriter
from tristage_ros.datasets.lerobot.dataset import open_lerobot
from tristage_ros.datasets.lerobot.layout import LerobotError

KEY, LENGTHS = "observation.images.top_depth", (3, 2)
DATA, VIDEO = "data/chunk-000/file-000.parquet", f"videos/{KEY}/chunk-000/file-000.mp4"


def truth(at):
    """Return depth in mm, with a row that was not measured."""
    depth = (300 + at + np.add.outer(7 * np.arange(HEIGHT), np.arange(WIDTH))).astype(np.uint16)
    depth[0] = 0
    return depth


def read(root, folder):
    mapping = folder / "mapping.yaml"
    mapping.write_text(MAPPING.replace("images.top\n", f"images.top\n    depth: {KEY}\n"))
    return [frame.depths["front"] for episode in open_lerobot(root, mapping) for frame in episode.frames()]


def describe(root, dtype, info):
    path = root / "meta/info.json"
    content = json.loads(path.read_text())
    content["features"][KEY] = {
        "dtype": dtype, "shape": [HEIGHT, WIDTH, 1], "names": ["height", "width", "channels"],
        "info": {"is_depth_map": True, **info},
    }  # fmt: skip
    path.write_text(json.dumps(content))


def with_images(root, info, pixels):
    """Add depth image by image, as TIFF, which is what lerobot itself keeps."""
    describe(root, "image", info)
    table, numbers = pq.read_table(root / DATA), [at for length in LENGTHS for at in range(length)]
    images = [{"bytes": cv2.imencode(".tiff", pixels(truth(at)))[1].tobytes(), "path": None} for at in numbers]
    pq.write_table(table.append_column(KEY, pa.array(images)), root / DATA)
    return root


def with_video(root, info):
    """Add depth as a video of lerobot's own scale."""
    describe(root, "video", info)
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row |= {name.replace("top", "top_depth"): value for name, value in row.items() if name.startswith("videos/")}
    pq.write_table(pa.Table.from_pylist(rows), path)
    (root / VIDEO).parent.mkdir(parents=True)
    return root


def on_scale(depth, nearest=0.01, farthest=10.0, shift=3.5):
    """Return depth in mm on lerobot's logarithmic scale."""
    low, high = np.log(nearest + shift), np.log(farthest + shift)
    share = (np.log(np.maximum(depth * 1e-3, nearest) + shift) - low) / (high - low)
    return np.rint(4095 * share).astype(np.uint16)


@pytest.mark.parametrize("unit", ["m", "mm", None])
def test_a_video_is_read_by_its_scale_whatever_it_was_recorded_in(unit, tmp_path):
    root = with_video(foreign(tmp_path / "set", lengths=LENGTHS), {"depth_unit": unit})
    writer = VideoWriter(root / VIDEO, RATE, (HEIGHT, WIDTH), DEPTH)
    for length in LENGTHS:
        for at in range(length):
            writer.add(on_scale(truth(at)))
    writer.close()
    depths = read(root, tmp_path)
    assert len(depths) == 5 and all((depth[0] == 0).all() for depth in depths)
    for depth, at in zip(depths, (0, 1, 2, 0, 1), strict=True):
        assert np.abs(depth * 1e3 - truth(at)).max() <= 1.4  # half a step, and whole millimetres


@pytest.mark.parametrize(
    ("unit", "pixels"),
    [
        ("mm", lambda depth: depth),
        ("m", lambda depth: np.where(depth, depth * np.float32(1e-3), np.float32(np.nan)).astype(np.float32)),
        ("mm", lambda depth: depth.astype(np.float32)),
    ],
)
def test_images_are_read_in_the_unit_that_they_are_in(unit, pixels, tmp_path):
    root = with_images(foreign(tmp_path / "set", lengths=LENGTHS), {"depth_unit": unit}, pixels)
    for depth, at in zip(read(root, tmp_path), (0, 1, 2, 0, 1), strict=True):
        np.testing.assert_allclose(depth * 1e3, truth(at), atol=1e-3)


@pytest.mark.parametrize(
    ("info", "pixels", "told"),
    [
        ({"depth_unit": "m"}, lambda depth: depth, "episode 0: .*depth_unit is m, and pixels are uint16"),
        (
            {"depth_unit": "m"},
            lambda d: d.astype(np.float32),
            r"episode 0: .*depth: \d+ m in the middle, .*another unit",
        ),
        (
            {"depth_unit": "mm"},
            lambda d: d.astype(np.float32) * np.float32(1e-3),
            "episode 0: .*looks like another unit",
        ),
        ({"depth_unit": "mm"}, lambda depth: (depth >> 4).astype(np.uint8), "pixels are uint8"),
        ({}, lambda depth: depth, r"info\.json: observation\.images\.top_depth: depth_unit is None; mm and m can be"),
        ({"depth_unit": ["inch"]}, lambda depth: depth, r"depth_unit is \['inch'\]"),
    ],
)
def test_images_in_another_unit_are_refused_by_name(info, pixels, told, tmp_path):
    root = with_images(foreign(tmp_path / "set", lengths=LENGTHS), info, pixels)
    with pytest.raises(LerobotError, match=told):
        read(root, tmp_path)


def test_a_video_of_raw_millimetres_in_16_bits_is_refused_by_name(tmp_path):
    """It would be brought to 12 bits in silence, and every distance be another one."""
    root = with_video(foreign(tmp_path / "set", lengths=LENGTHS), {"depth_unit": "mm"})
    with av.open(str(root / VIDEO), "w", format="mp4") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "gray16le"
        for at in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(truth(at), format="gray16le")))
        container.mux(stream.encode(None))
    with pytest.raises(LerobotError, match=r"episode 0: frame 0 is depth of 16 bits \(gray16le\); 12 can be read"):
        read(root, tmp_path)
