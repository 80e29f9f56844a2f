"""A camera that tests can break: publishes what they say, on the topics of realsense2_camera."""

import time

import numpy as np
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState

from tristage_ros.perception.camera import CameraModel
from tristage_ros.ros import qos
from tristage_ros.ros.convert import camera_info_message, header, image_message
from tristage_ros.ros.joints import ARM_JOINTS, GRIPPER_JOINT

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)  # as of many a driver
CAMERA = CameraModel(64, 48, 60.0, 60.0, 31.5, 23.5, frame_id="front_color_optical_frame")
LOOKING_DOWN = """
cameras:
  front:
    parent: base_link
    translation: [0.3, 0.0, 0.8]
    rotation: [0.7071067811865476, -0.7071067811865476, 0.0, 0.0]
  wrist:
    parent: flange
    translation: [0.0, 0.0, 0.0]
    rotation: [0.0, 0.0, 0.0, 1.0]
"""


def now():
    return time.time()


class CameraSource:
    """Publish colour, depth, camera_info and joint states of one moment."""

    def __init__(self, node, name="front", camera=CAMERA, profile=qos.IMAGES):
        self.camera = camera
        self.color = node.create_publisher(Image, f"/{name}/color/image_raw", profile)
        self.depth = node.create_publisher(Image, f"/{name}/aligned_depth_to_color/image_raw", profile)
        self.info = node.create_publisher(CameraInfo, f"/{name}/color/camera_info", profile)
        self.joints = node.create_publisher(JointState, "/joint_states", profile)

    def publish_info(self, stamp=None):
        self.info.publish(camera_info_message(self.camera, stamp or now()))

    def publish_joints(self, stamp=None, position=0.3):
        message = JointState(header=header(stamp or now(), "base_link"), name=[*ARM_JOINTS, GRIPPER_JOINT])
        message.position = [0.0, 1.2, -1.1, 0.0, 0.9, 0.0, 0.05]
        self.joints.publish(message)

    def publish_depth(self, depth, encoding="16UC1", stamp=None):
        self.depth.publish(image_message(np.asarray(depth), encoding, stamp or now(), self.camera.frame_id))

    def publish_color(self, color, encoding="rgb8", stamp=None):
        self.color.publish(image_message(np.asarray(color), encoding, stamp or now(), self.camera.frame_id))


def table(millimetres=790, shape=(48, 64)):
    return np.full(shape, millimetres, np.uint16)
