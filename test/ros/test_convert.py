"""Messages to arrays and back."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField

from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.lens import Lens
from tristage_ros.ros import convert


@pytest.mark.parametrize("value", [0.0, 1.5, 1_764_000_000.123456789, 0.9999999999])
def test_stamps_survive(value):
    stamp = convert.to_stamp(value)
    assert 0 <= stamp.nanosec < 10**9
    assert convert.seconds(stamp) == pytest.approx(value, abs=1e-9, rel=1e-15)


def test_image_keeps_every_byte_also_of_a_flipped_view():
    data = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)[::-1]
    message = convert.image_message(data, "rgb8", 1.0, "optical")
    assert (message.height, message.width, message.step) == (2, 4, 12)
    assert bytes(message.data) == data.tobytes()


def test_camera_info_round_trip():
    lens = Lens.of("plumb_bob", [0.1, -0.2, 0.001, 0.002, 0.05])
    camera = CameraModel(640, 480, 600.0, 610.0, 320.5, 239.5, frame_id="front_color_optical_frame", lens=lens)
    back = camera_model(convert.camera_info_message(camera, 2.0))
    assert (back.width, back.height, back.fx, back.fy, back.cx, back.cy) == (640, 480, 600.0, 610.0, 320.5, 239.5)
    assert (back.frame_id, back.lens) == (camera.frame_id, lens)


@pytest.mark.parametrize(("place", "value"), [(0, np.inf), (2, np.nan), (4, 0.0), (5, -np.inf)])
def test_intrinsics_that_mean_nothing_are_refused_with_their_values(place, value):
    info = CameraInfo(width=640, height=480, k=[600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0])
    info.k[place] = value
    with pytest.raises(ValueError, match=f"{value}.*not calibrated"):
        camera_model(info)


def test_uncalibrated_camera_is_refused_by_name():
    info = CameraInfo(width=640, height=480)
    info.header.frame_id = "front"
    with pytest.raises(ValueError, match=r"front.*not calibrated"):
        camera_model(info)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_cloud_round_trip(count):
    points = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    np.testing.assert_array_equal(convert.cloud_points(convert.cloud_message(points, 1.0, "base_link")), points)


def test_cloud_with_more_fields_and_padding():
    raw = np.zeros(
        3, np.dtype({"names": ["z", "x", "y", "rgb"], "formats": ["<f4"] * 4, "offsets": [0, 4, 8, 16], "itemsize": 32})
    )
    raw["x"], raw["y"], raw["z"] = [1, 2, 3], [4, 5, 6], [7, 8, 9]
    fields = [PointField(name=n, offset=o, datatype=7, count=1) for n, o in (("z", 0), ("x", 4), ("y", 8), ("rgb", 16))]
    message = PointCloud2(width=3, height=1, fields=fields, point_step=32, row_step=96, data=raw.tobytes())
    np.testing.assert_array_equal(convert.cloud_points(message), [[1, 4, 7], [2, 5, 8], [3, 6, 9]])


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (PointCloud2(width=1, height=1, point_step=4, data=b"0000"), "float32 x, y and z"),
        (
            PointCloud2(
                width=9,
                height=1,
                point_step=12,
                fields=[PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")],
            ),
            "9 points",
        ),
    ],
)
def test_malformed_cloud_is_refused(message, words):
    with pytest.raises(ValueError, match=words):
        convert.cloud_points(message)


def test_time_is_exact():
    assert convert.to_stamp(convert.seconds(Time(sec=1, nanosec=500_000_000))) == Time(sec=1, nanosec=500_000_000)
    assert convert.to_stamp(-0.25) == Time(sec=-1, nanosec=750_000_000)


def test_a_cloud_is_not_later_than_the_images_that_it_was_made_of():
    """As it was by one bit of one in 30, which then waited for joint states beyond those of its own moment."""
    for nanosec in range(0, 10**9, 333_667):
        stamp = convert.seconds(Time(sec=1_796_097_463, nanosec=nanosec))
        assert convert.seconds(convert.to_stamp(stamp)) == stamp


@pytest.mark.parametrize(("step", "message"), [(0, "x, y, z beyond these"), (2**31, "points of 2147483648 bytes")])
def test_points_that_do_not_hold_their_fields_are_refused(step, message):
    cloud = convert.cloud_message(np.zeros((0, 3), np.float32), 0.0, "base_link")
    cloud.point_step = step
    with pytest.raises(ValueError, match=message):
        convert.cloud_points(cloud)
