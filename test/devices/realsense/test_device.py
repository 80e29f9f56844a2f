"""The driver on the real SDK: software devices behind its pipeline, and its recordings."""

import time

import numpy as np
import pytest
from emulated_realsense import DISTORTION, SMALL, EmulatedRealSense, record, rs
from lenses import WIDE

from tristage_ros.devices.realsense.capture import CameraError, Profile
from tristage_ros.devices.realsense.device import Connected, RealSense, Recording, Settings
from tristage_ros.perception.camera import CameraModel, project
from tristage_ros.perception.lens import Lens
from tristage_ros.perception.lens_models import INVERSE, PLUMB_BOB

STREAMS = Settings(SMALL, SMALL)


def captures(camera, count, patience=30.0):
    """Return `count` complete captures; frames on the way are the SDK's to drop."""
    end, found = time.monotonic() + patience, []
    while len(found) < count:
        capture = camera.read(0.5)
        found += [capture] if capture else []
        assert time.monotonic() < end, f"{len(found)} of {count} frames came"
    return found


@pytest.fixture
def streaming():
    opened = []

    def start(source, settings=STREAMS):
        opened.append(RealSense(source, settings))
        return opened[-1]

    yield start
    for camera in opened:
        camera.close()


def test_frames_and_what_describes_them(streaming):
    with EmulatedRealSense() as device:
        camera = streaming(device)
        capture = captures(camera, 3)[-1]
        color, _ = device.images(capture.metadata["frame_number"])
        assert camera.device.serial == "emu0001"
        assert "D435" in str(camera.device) and "USB 3.2" in str(camera.device)
        np.testing.assert_array_equal(capture.color, color)
        assert capture.on_host_clock and abs(capture.arrival - capture.time) < 10.0
        assert capture.metadata["actual_exposure"] == 156
        assert capture.metadata["clock_domain"] == "global_time"


def test_intrinsics_carry_the_distortion(streaming):
    with EmulatedRealSense() as device:
        camera = streaming(device)
        lens = camera.color
        assert (lens.width, lens.height, lens.fx, lens.cx, lens.cy) == (160, 120, 160.0, 80.0, 60.0)
        assert lens.distortion_model == "plumb_bob"
        np.testing.assert_allclose(lens.distortion, DISTORTION, atol=1e-7)
        assert camera.depth.fx == pytest.approx(96.0)


@pytest.mark.parametrize(
    ("lens", "model", "count"),
    [
        ("inverse_brown_conrady", "plumb_bob", 5),  # CameraInfo has no name for it
        ("kannala_brandt4", "equidistant", 4),
        ("ftheta", "ftheta", 5),  # to be refused by name
    ],
)
def test_a_lens_has_its_name_in_camera_info_and_that_of_the_sdk(streaming, lens, model, count):
    with EmulatedRealSense(lens=getattr(rs.distortion, lens)) as device:
        color = streaming(device).color
    assert (color.distortion_model, len(color.distortion), color.lens) == (model, count, lens)


@pytest.mark.parametrize(("name", "model"), [("inverse_brown_conrady", INVERSE), ("brown_conrady", PLUMB_BOB)])
def test_rays_and_pixels_are_those_of_the_sdk(name, model):
    seen, of = CameraModel(640, 480, 435.0, 436.0, 328.0, 241.0, lens=Lens.of(model, WIDE)), rs.intrinsics()
    of.width, of.height, of.fx, of.fy, of.ppx, of.ppy = 640, 480, 435.0, 436.0, 328.0, 241.0
    of.model, of.coeffs = getattr(rs.distortion, name), list(WIDE)
    for u, v in [(0, 0), (639, 0), (0, 479), (639, 479), (100, 400), (328, 241)]:
        point = rs.rs2_deproject_pixel_to_point(of, [u, v], 1.0)
        np.testing.assert_allclose(seen.rays()[:, v, u], point[:2], atol=1e-6)
        np.testing.assert_allclose(project([point], seen)[0][0], rs.rs2_project_point_to_pixel(of, point), atol=1e-3)


def test_what_camera_info_calls_plumb_bob_is_the_inverse_lens_within_a_tenth_of_a_millimetre():
    one, other = (
        CameraModel(640, 480, 435.0, 435.0, 328.0, 241.0, lens=Lens.of(m, WIDE)) for m in (PLUMB_BOB, INVERSE)
    )
    assert 0 < np.hypot(*(one.rays() - other.rays())).max() < 1e-4  # m, at 1 m


def test_depth_is_aligned_to_colour(streaming):
    """A point of the depth image must land on the pixel that colour's intrinsics and the baseline give it."""
    with EmulatedRealSense() as device:
        capture = captures(streaming(device), 3)[-1]
    row, column = 60, 80  # the principal points of both, so that only the baseline moves the point
    z = capture.raw_depth[row, column] / 1000
    shifted = round(80 + 160.0 * 0.015 / z)
    assert abs(int(capture.depth[row, shifted]) - int(capture.raw_depth[row, column])) <= 8  # noise, and slope
    assert capture.depth.shape == capture.color.shape[:2]


@pytest.mark.parametrize("unit", [0.001, 0.0001])
def test_depth_is_in_millimetres_whatever_the_unit_of_the_camera(streaming, unit):
    with EmulatedRealSense(depth_unit=unit) as device:
        capture = captures(streaming(device), 3)[-1]
        _, depth = device.images(capture.metadata["frame_number"])
    np.testing.assert_allclose(capture.raw_depth, depth * unit * 1000, atol=0.51)
    assert capture.depth.dtype == capture.raw_depth.dtype == np.uint16


def test_a_recording_gives_back_every_pixel(streaming, tmp_path):
    device, path = EmulatedRealSense(), tmp_path / "camera.db3"
    recorded = record(path, device, 20)
    camera = streaming(Recording(path, real_time=False))
    played = []
    while (capture := camera.read(5.0)) is not None:
        played.append(capture.metadata["frame_number"])
        color, depth = device.images(played[-1])
        np.testing.assert_array_equal(capture.color, color)
        np.testing.assert_array_equal(capture.raw_depth, depth)
    # What plays before real time is switched off may be dropped, and an end may stay single; nothing else is lost.
    assert len(set(recorded) & set(played)) >= 10
    assert set(range(played[0], played[-1] + 1)) == set(played)
    assert camera.ended
    assert camera.device.serial == "emu0001"
    np.testing.assert_allclose(camera.color.distortion, DISTORTION, atol=1e-7)


def test_a_camera_that_is_not_there_is_an_error_with_a_way_out():
    device = EmulatedRealSense()
    device.unplug()
    with pytest.raises(CameraError, match="emu0001 is not connected"):
        RealSense(device, STREAMS)


def test_a_serial_number_that_is_not_connected_is_named():
    with pytest.raises(CameraError, match="camera no-such-serial is not connected; connected: "):
        RealSense(Connected("no-such-serial"), STREAMS)


def test_streams_that_the_camera_does_not_have_are_named():
    with EmulatedRealSense() as device, pytest.raises(CameraError, match="1280x720x30"):
        RealSense(device, Settings(Profile(1280, 720, 30), SMALL))


@pytest.mark.parametrize("content", [None, b"no recording at all"])
def test_a_file_that_is_no_recording_is_named(tmp_path, content):
    path = tmp_path / "camera.db3"
    if content:
        path.write_bytes(content)
    with pytest.raises(CameraError, match=r"camera\.db3"):
        RealSense(Recording(path), STREAMS)


@pytest.mark.parametrize("text", ["640x480x30", "640,480,30", " 640 x 480 x 30"])
def test_profiles_are_read(text):
    assert Profile.parse(text) == Profile(640, 480, 30)
    assert str(Profile.parse(text)) == "640x480x30"


@pytest.mark.parametrize("text", ["", "640x480", "640x480x0", "wide", "640x480x30x2"])
def test_wrong_profiles_are_named(text):
    with pytest.raises(ValueError, match="640x480x30"):
        Profile.parse(text)
