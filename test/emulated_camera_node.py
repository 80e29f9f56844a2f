"""Run the camera node on an emulated camera: `python emulated_camera_node.py --ros-args ...`."""

import sys

from emulated_realsense import EmulatedRealSense

from tristage_ros.devices.realsense.capture import Profile
from tristage_ros.nodes.camera.node import CameraNode
from tristage_ros.ros.runner import run


def main():
    profile = next(
        (arg.split(":=")[1] for arg in sys.argv if arg.startswith("rgb_camera.color_profile:=")), "640x480x30"
    )
    with EmulatedRealSense(Profile.parse(profile)) as device:
        return run(lambda: CameraNode(device))


if __name__ == "__main__":
    sys.exit(main())
