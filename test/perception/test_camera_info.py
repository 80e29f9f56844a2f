"""A CameraInfo as a camera: lens, part of the sensor, rectified images, and what is refused by name."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from lenses import WIDE

from tristage_ros.perception.camera import CameraModel, project
from tristage_ros.perception.camera_info import camera_model
from tristage_ros.perception.lens import Lens
from tristage_ros.perception.lens_models import INVERSE, PLUMB_BOB, RATIONAL, RECTIFIED

K = [600.0, 0.0, 320.0, 0.0, 610.0, 240.0, 0.0, 0.0, 1.0]
P = [580.0, 0.0, 322.0, 0.0, 0.0, 590.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]
WHOLE = CameraModel(640, 480, 600.0, 610.0, 320.0, 240.0, frame_id="front", lens=Lens.of(PLUMB_BOB, WIDE))


def info(model=PLUMB_BOB, d=WIDE, roi=(0, 0, 0, 0), binning=(0, 0), p=P):
    window = SimpleNamespace(x_offset=roi[0], y_offset=roi[1], width=roi[2], height=roi[3], do_rectify=False)
    return SimpleNamespace(
        header=SimpleNamespace(frame_id="front"), width=640, height=480, distortion_model=model, d=d, k=K, p=p,
        roi=window, binning_x=binning[0], binning_y=binning[1],
    )  # fmt: skip


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in CameraModel.__dataclass_fields__)


def test_the_lens_is_that_of_the_message_unless_the_cameras_file_has_another():
    assert same(camera_model(info()), WHOLE)
    assert camera_model(info(), INVERSE).lens == Lens.of(INVERSE, WIDE)
    eight = (*WIDE, 0.4, -2.6, 1.5)
    assert camera_model(info(d=eight), RATIONAL).lens == Lens.of(RATIONAL, eight)


@pytest.mark.parametrize(("model", "d"), [(PLUMB_BOB, []), (PLUMB_BOB, [0.0] * 5), ("", []), (RATIONAL, np.zeros(8))])
def test_without_coefficients_there_is_no_lens(model, d):
    assert same(camera_model(info(model, d)), replace(WHOLE, lens=None))


def test_a_rectified_image_is_that_of_p_and_of_no_lens():
    seen = camera_model(info(), RECTIFIED, "/front/color/image_rect")
    assert same(seen, CameraModel(640, 480, 580.0, 590.0, 322.0, 241.0, frame_id="front"))


def test_an_image_that_is_called_rectified_beside_coefficients_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"/front/image_rect_color is a rectified image.* write lens: rectified"):
        camera_model(info(), "", "/front/image_rect_color")
    assert camera_model(info(d=[]), "", "/front/image_rect").lens is None
    assert camera_model(info(), "", "/front/color/image_raw").lens is not None


@pytest.mark.parametrize("roi", [(0, 0, 0, 0), (100, 60, 400, 320)])
@pytest.mark.parametrize("binning", [(0, 0), (1, 1), (2, 2), (2, 1)])
def test_part_of_the_sensor_and_large_pixels_see_the_same_points(roi, binning):
    seen = camera_model(info(roi=roi, binning=binning))
    factor = np.maximum(binning, 1)
    size = np.array(roi[2:] if any(roi) else (640, 480)) // factor
    assert (seen.width, seen.height) == tuple(size)
    points = np.random.default_rng(0).uniform([-0.1, -0.1, 0.5], [0.1, 0.1, 1.0], (50, 3))
    whole, part = project(points, WHOLE)[0], project(points, seen)[0]
    np.testing.assert_allclose((part + 0.5) * factor, whole - roi[:2] + 0.5, atol=1e-9)


@pytest.mark.parametrize(
    ("message", "lens", "words"),
    [
        (info("fisheye"), "", "'front': there is no lens model 'fisheye'.*say in the cameras file"),
        (info(""), "", "there is no lens model ''"),
        (info(d=(*WIDE, 0.1, 0.2, 0.3)), "", "plumb_bob with 8 coefficients, which has 4 or 5.*rational_polynomial"),
        (info(d=[np.nan] * 5), "", "nan.*not calibrated"),
        (info(d=[-30.0, 0.1, 0.0, 0.0, 0.0]), "", r"% of 640x480 pixels without a ray.*"),
        (info(roi=(300, 0, 400, 480)), "", "roi is 400x480 pixels at 300, 0 of 640x480"),
        (info(p=[0.0] * 12), RECTIFIED, "focal lengths 0.0, 0.0"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(message, lens, words):
    with pytest.raises(ValueError, match=words):
        camera_model(message, lens)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0, "height": 0}, "is of 0x0 pixels, not of 2 to 8192"),
        ({"width": 2**32 - 1}, "is of 4294967295x480 pixels"),
        ({"binning_x": 2**31}, "binned by 2147483648 and 1, it is of 0x480 pixels"),
    ],
)
def test_a_size_that_is_none_or_takes_all_memory_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        camera_model(SimpleNamespace(**vars(info()) | changes))
