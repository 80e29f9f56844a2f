"""The point cloud and policy nodes on frames of a real camera: noise, holes and all."""

import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_source import CameraSource
from cell_process import spin_until
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2
from tristage_msgs.msg import PruningStats

from tristage_ros.perception.camera import CameraModel
from tristage_ros.ros import qos
from tristage_ros.ros.convert import cloud_points

FRAMES = Path(__file__).resolve().parents[2] / "shared" / "data" / "redwood_rgbd"
CAMERA = CameraModel(640, 480, 525.0, 525.0, 319.5, 239.5, frame_id="front_color_optical_frame")
LOOKING_FORWARD = """
cameras:
  front: {parent: base_link, translation: [0.0, 0.0, 1.0], rotation: [-0.5, 0.5, -0.5, 0.5]}
"""
ROOM = ["-p", "workspace_min:=[0.3, -2.0, -1.0]", "-p", "workspace_max:=[3.5, 2.0, 2.5]"]

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(not FRAMES.is_dir(), reason=f"no real frames at {FRAMES}"),
    pytest.mark.timeout(200),
]


def load(index):
    color = cv2.cvtColor(cv2.imread(str(FRAMES / "color" / f"{index:05}.jpg")), cv2.COLOR_BGR2RGB)
    return color, cv2.imread(str(FRAMES / "depth" / f"{index:05}.png"), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def nodes(ros_context, tmp_path):
    mounts = tmp_path / "cameras.yaml"
    mounts.write_text(LOOKING_FORWARD)
    common = ["--ros-args", "-p", f"cameras_file:={mounts}"]
    commands = [
        ["point_cloud", *common, "-p", "cameras:=[front]", *ROOM],
        ["policy", *common, "-p", "control:=rate", "-p", "rate_hz:=20.0", "-p", "allow_random_weights:=true"],
    ]
    processes = [subprocess.Popen([sys.executable, "-m", "tristage_ros.nodes", *command]) for command in commands]
    yield processes
    for process in processes:
        process.terminate()
    assert [process.wait(15) for process in processes] == [0, 0]


def test_real_frames_go_through_cloud_and_policy(nodes):
    node = Node("real_camera")
    clouds, steps, overlays = [], [], []
    node.create_subscription(PointCloud2, "/tristage/cloud", clouds.append, qos.IMAGES)
    node.create_subscription(PruningStats, "/tristage/pruning", steps.append, 10)
    node.create_subscription(Image, "/tristage/overlay", overlays.append, qos.IMAGES)
    front = CameraSource(node, camera=CAMERA)
    spin_until(
        node,
        lambda: front.color.get_subscription_count() and front.depth.get_subscription_count(),
        what="both nodes come up",
    )
    frames = [load(index) for index in range(5)]
    assert any((depth == 0).mean() > 0.01 for _, depth in frames), "these frames have no holes"

    def publish_next():
        color, depth = frames[publish_next.count % 5]
        stamp = time.time()
        front.publish_info(stamp)
        front.publish_joints(stamp)
        front.publish_depth(depth, stamp=stamp)
        front.publish_color(color, stamp=stamp)
        publish_next.count += 1

    publish_next.count = 0
    timer = node.create_timer(0.2, publish_next)
    spin_until(node, lambda: len(steps) >= 5 and len(overlays) >= 5, what="five control steps on real frames")
    node.destroy_timer(timer)
    points = cloud_points(clouds[-1])
    assert points.shape == (1024, 3) and np.isfinite(points).all()
    assert points[:, 0].min() >= 0.3 and points[:, 0].max() <= 3.5
    assert np.ptp(points, axis=0).min() > 0.5, "the cloud does not fill the room"
    assert not steps[0].pruned and all(step.pruned for step in steps[1:5])
    assert any(patch >= 0 for patch in steps[-1].patch_of_point)
    node.destroy_node()
