"""What belongs to one moment, without a graph around it."""

import numpy as np
import pytest
from camera_source import CAMERA
from sensor_msgs.msg import JointState

from tristage_ros.observing.buffer import Limits, NotReadyError, ObservationBuffer
from tristage_ros.perception.extrinsics import CameraMount
from tristage_ros.perception.lens import Lens
from tristage_ros.perception.lens_models import RATIONAL
from tristage_ros.ros.convert import camera_info_message, cloud_message, header, image_message
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT

POINTS = np.random.default_rng(0).uniform([0.2, -0.2, 0.0], [0.4, 0.2, 0.1], (64, 3)).astype(np.float32)


@pytest.fixture
def buffer():
    buffer = ObservationBuffer(CameraMount("front", "base_link", np.eye(4)), Limits(0.5, 0.05))
    buffer.add_info(camera_info_message(CAMERA, 10.0))
    for stamp in (9.9, 10.2):
        message = JointState(header=header(stamp, "base_link"), name=[*ARM_JOINTS, GRIPPER_JOINT])
        message.position = [0.0, 1.2, -1.1, 0.0, 0.9, 0.0, 0.05]
        buffer.add_joints(message)
    return buffer


def see(buffer, stamp, shade=0):
    buffer.add_image(image_message(np.full((48, 64, 3), shade, np.uint8), "rgb8", stamp, CAMERA.frame_id))


def test_a_cloud_is_acted_on_once_though_its_image_is_older(buffer):
    """As with a camera whose colour and depth have stamps of their own."""
    see(buffer, 9.99)
    buffer.add_cloud(cloud_message(POINTS, 10.02, "base_link"))
    observation = buffer.observation(10.1, 0.0)
    assert observation.stamp == pytest.approx(10.02, abs=1e-6)
    with pytest.raises(NotReadyError, match="next frame"):
        buffer.observation(10.1, observation.stamp)


def test_the_image_is_the_nearest_to_the_cloud(buffer):
    see(buffer, 9.99, 1)
    see(buffer, 10.06, 2)
    buffer.add_cloud(cloud_message(POINTS, 10.06, "base_link"))
    assert buffer.observation(10.1, 0.0).image[0, 0, 0] == 2


def test_a_cloud_in_another_frame_is_refused_by_name(buffer):
    see(buffer, 10.0)
    buffer.add_cloud(cloud_message(POINTS, 10.0, "front_color_optical_frame"))
    with pytest.raises(ValueError, match="'front_color_optical_frame', not in base_link"):
        buffer.observation(10.1, 0.0)


def test_points_are_projected_through_the_lens_of_the_cameras_file_and_one_that_cannot_be_is_told(buffer):
    see(buffer, 10.0)
    buffer.add_cloud(cloud_message(POINTS, 10.0, "base_link"))
    info = camera_info_message(CAMERA, 10.0)
    info.d = [0.1, -0.2, 0.001, 0.002, 0.05, 0.4, 0.1, 0.1]
    with pytest.raises(ValueError, match="plumb_bob with 8 coefficients"):
        buffer.add_info(info)
    with pytest.raises(NotReadyError, match="plumb_bob with 8 coefficients"):
        buffer.observation(10.1, 0.0)
    buffer._mount = CameraMount("front", "base_link", np.eye(4), RATIONAL)
    buffer.add_info(info)
    assert buffer.observation(10.1, 0.0).camera.lens == Lens(RATIONAL, tuple(info.d))
