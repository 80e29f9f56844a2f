"""A sensor_msgs/CameraInfo as a camera: its lens, the part of the sensor that was read out, or what rectified it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.lens import Lens
from tristage_ros.perception.lens_models import NAMES, RECTIFIED
from tristage_ros.words import shown

LONGEST = 8192  # pixels, of a side
REMEDY = f"calibrate it, or say in the cameras file what the lens of this camera is, one of {', '.join(NAMES)}"


def camera_model(info: Any, lens: str = "", image: str = "") -> CameraModel:
    """Return the camera of a CameraInfo, of whichever library, its pose still to be set.

    K, D and the size are those of the whole sensor: `roi` cuts from it and `binning` makes its pixels larger.

    Args:
        info: the message.
        lens: one of `NAMES` in the place of the message's distortion model; RECTIFIED: the image is that of P.
        image: the topic of the image, resolved; refused when it is called rectified and the lens is not.

    Raises:
        ValueError: it is of no calibrated camera, or its lens or part of the sensor cannot be honoured.
    """
    name = f"camera_info of {shown(info.header.frame_id)}"
    of_p = info.p[0], info.p[5], info.p[2], info.p[6]
    fx, fy, cx, cy = of_p if lens == RECTIFIED else (info.k[0], info.k[4], info.k[2], info.k[5])
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise ValueError(
            f"{name} has focal lengths {fx}, {fy} and principal point {cx}, {cy}: the camera is not calibrated"
        )
    _check_size(name, int(info.width), int(info.height))
    camera = CameraModel(int(info.width), int(info.height), fx, fy, cx, cy, frame_id=info.header.frame_id)
    camera = _read_out(camera, info, name)
    try:
        if lens != RECTIFIED:
            camera = replace(camera, lens=Lens.of(lens or info.distortion_model, info.d))
        camera.check()
    except ValueError as error:
        raise ValueError(f"{name}: {error}; {REMEDY}") from None
    if camera.lens is not None and "/image_rect" in image:
        raise ValueError(
            f"{image} is a rectified image, {name} tells of a lens: write lens: {RECTIFIED} for this camera in the "
            "cameras file, or give the image as it came from the sensor"
        )
    return camera


def _read_out(camera: CameraModel, info: Any, name: str) -> CameraModel:
    roi, binning = info.roi, (max(1, int(info.binning_x)), max(1, int(info.binning_y)))
    width, height = int(roi.width) or camera.width, int(roi.height) or camera.height
    left, top = int(roi.x_offset), int(roi.y_offset)
    if left + width > camera.width or top + height > camera.height:
        sensor = f"{camera.width}x{camera.height}"
        raise ValueError(f"{name}: roi is {width}x{height} pixels at {left}, {top} of {sensor}: correct the driver")
    if (width, height) != (camera.width, camera.height):
        camera = replace(camera, width=width, height=height, cx=camera.cx - left, cy=camera.cy - top)
    if binning == (1, 1):
        return camera
    _check_size(f"{name}: binned by {binning[0]} and {binning[1]}, it", width // binning[0], height // binning[1])
    return camera.scaled(width // binning[0], height // binning[1])


def _check_size(name: str, width: int, height: int) -> None:
    """Refuse what is no image: a driver that does not tell, or a claim that takes the memory of the machine."""
    if not (1 < width <= LONGEST and 1 < height <= LONGEST):
        raise ValueError(f"{name} is of {width}x{height} pixels, not of 2 to {LONGEST} each way: correct the driver")
