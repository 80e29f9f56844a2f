"""What a run looks like: the real messages of a recorded stretch, and made-up ones for what did not happen in it."""

import xml.etree.ElementTree as ET
from collections import Counter

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tristage_ros.bags.messages import new_message, typestore
from tristage_ros.bags.reader import BagError, BagReader, Message
from tristage_ros.devices.arm.kinematics import forward, link_poses, tool_pose
from tristage_ros.devices.arm.site import load_site
from tristage_ros.devices.arm.urdf import urdf
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.color import KEPT_COLORS
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource
from tristage_ros.viewing import arm
from tristage_ros.viewing.bag import play
from tristage_ros.viewing.cameras import UNSEEN, cloud_colors
from tristage_ros.viewing.mapping import Scene


def of(records, path):
    return [record for record in records if record.path == path]


def pixels(record):
    return cv2.cvtColor(cv2.imdecode(record.fields["contents"], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def pose_of(record):
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(record.fields["quaternion"]).as_matrix()
    pose[:3, 3] = record.fields["translation"]
    return pose


def message(topic, kind, **fields):
    value = new_message(kind, **fields)
    data = bytes(typestore().serialize_cdr(value, kind))
    return Message(topic, kind, 0, data, lambda: typestore().deserialize_cdr(data, kind))


def header(seconds):
    stamp = new_message("builtin_interfaces/msg/Time", sec=int(seconds), nanosec=round(seconds % 1 * 1e9))
    return new_message("std_msgs/msg/Header", stamp=stamp)


@pytest.fixture
def scene():
    return Scene(load_extrinsics(resource("config", "cameras.yaml")), load_site(), 0)


def test_a_run_has_everything_on_one_time_line(logged, small_bag):
    records, told = logged
    counts = Counter((record.path, record.archetype) for record in records)
    with BagReader(small_bag) as bag:
        steps = sum(m.topic == "/tristage/pruning" for m in bag.messages())
        frames = sum(m.topic == "/front/color/image_raw" for m in bag.messages())
    assert steps == 3
    for entity in (
        ("pruned/2d", "Scalars"),
        ("pruned/3d", "Scalars"),
        ("salience/2d", "Scalars"),
        ("milliseconds", "Scalars"),
        ("kept", "EncodedImage"),
        ("cell/cloud", "Points3D"),
        ("cell/key_frame/tool", "Arrows3D"),
    ):
        assert counts[entity] == steps, entity
    assert counts["cell/front/image", "EncodedImage"] == frames
    assert counts["cell/front", "Pinhole"] == counts["cell/wrist", "Pinhole"] == 1
    assert counts["cell/wrist", "Transform3D"] == counts["cell/arm/link6", "Transform3D"] > 20
    first = next(index for index, record in enumerate(records) if record.time is not None)
    assert {r.path for r in records[:first]} >= {"cell/site/table", "cell/front", "pruned/2d"}
    arm_is_drawn = next(index for index, record in enumerate(records) if record.path == "cell/arm/link1/shape")
    assert arm_is_drawn < next(index for index, record in enumerate(records) if record.path == "cell/arm/link1")
    times = [record.time for record in records if record.time is not None]
    assert -0.5e9 < min(times) < 0.1e9 and 1.5e9 < max(times) < 2.5e9
    assert told == ["the site is that of config/site.yaml: the bag does not tell"]


def test_the_shapes_are_those_of_the_urdf():
    drawn = {record.path.split("/")[2]: record.fields for record in arm.shapes()}
    robot = ET.fromstring(urdf(True).encode())
    found = 0
    for link in robot.iter("link"):
        for index, visual in enumerate(link.iter("visual")):
            fields, origin = drawn[link.get("name")], visual.find("origin")
            np.testing.assert_allclose(fields["centers"][index], np.fromstring(origin.get("xyz"), sep=" "), atol=1e-9)
            geometry = visual.find("geometry")[0]
            found += 1
            if geometry.tag == "box":
                np.testing.assert_allclose(
                    2 * fields["half_sizes"][index], np.fromstring(geometry.get("size"), sep=" "), atol=1e-9
                )
                continue
            turned = Rotation.from_euler("xyz", np.fromstring(origin.get("rpy"), sep=" ")).apply([0, 0, 1])
            ours = Rotation.from_quat(fields["quaternions"][index]).apply([0, 0, 1])
            np.testing.assert_allclose(ours, turned, atol=1e-6)
            np.testing.assert_allclose(fields["lengths"][index], float(geometry.get("length")), rtol=1e-5)
            np.testing.assert_allclose(fields["radii"][index], float(geometry.get("radius")))
    assert found == sum(len(fields["centers"]) for fields in drawn.values()) > 10


@pytest.mark.parametrize(("firmware", "offset"), [("S-V1.8-9", True), ("S-V1.5-2", False)])
def test_the_arm_stands_as_its_firmware_counts(scene, firmware, offset):
    joints = np.array([0.3, 1.1, -0.9, 0.2, 0.7, -0.4])
    names = [*(f"joint{i}" for i in range(1, 7)), "gripper"]
    asked = joints + 0.1
    status = message(
        "/arm/status", "tristage_msgs/msg/ArmStatus", header=header(1), mode=2, firmware=firmware, joint_target=asked
    )
    state = message(
        "/joint_states", "sensor_msgs/msg/JointState", header=header(1), name=names, position=np.append(joints, 0.05)
    )
    records = [*scene.records(status), *scene.records(state)]
    for number, pose in enumerate(link_poses(joints, offset), 1):
        np.testing.assert_allclose(pose_of(of(records, f"cell/arm/link{number}")[0]), pose, atol=1e-9)
    flange = forward(joints, offset)
    left, right = (pose_of(of(records, f"cell/arm/finger_{side}")[0]) for side in ("left", "right"))
    np.testing.assert_allclose(left[:3, 3] - right[:3, 3], 0.05 * flange[:3, 1], atol=1e-9)
    mount = load_extrinsics(resource("config", "cameras.yaml"))["wrist"]
    np.testing.assert_allclose(pose_of(of(records, "cell/wrist")[0]), flange @ mount.pose, atol=1e-6)
    target = tool_pose(forward(asked, offset), load_site().tool.tcp)
    axes = of(records, "cell/target/tool")[0].fields
    np.testing.assert_allclose(axes["origins"], np.tile(target[:3, 3], (3, 1)), atol=1e-9)
    np.testing.assert_allclose(axes["vectors"][2] / np.linalg.norm(axes["vectors"][2]), target[:3, 2], atol=1e-9)
    assert {record.time for record in records if not record.path.endswith("/shape")} == {10**9}


def test_a_chunk_leads_from_the_tool_at_its_observation(scene):
    names = [*(f"joint{i}" for i in range(1, 7)), "gripper"]
    poses = [np.array([0, 1.2, -1.1, 0, 0.9, 0, 0.0]), np.array([0.5, 1.2, -1.1, 0, 0.9, 0, 0.0])]
    for time, position in zip((1.0, 2.0), poses, strict=True):
        fields = {"header": header(time), "name": names, "position": position}
        list(scene.records(message("/joint_states", "sensor_msgs/msg/JointState", **fields)))
    turn = Rotation.from_euler("xyz", [3.0, 0.2, 0.1])
    step = {"translation": [new_message("geometry_msgs/msg/Vector3", x=0.1, y=-0.05, z=0.02)] * 2}
    quaternion = new_message("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", turn.as_quat().tolist(), strict=True)))
    step |= {"orientation": [quaternion] * 2, "gripper": np.ones(2, np.float32)}
    kind = "tristage_msgs/msg/ActionChunk"
    tool, way = scene.records(message("/tristage/action", kind, header=header(1.0), **step))
    origin = tool_pose(forward(poses[0][:6]), load_site().tool.tcp)[:3, 3]
    end = origin + np.array([0.1, -0.05, 0.02])
    np.testing.assert_allclose(tool.fields["origins"][0], end, atol=1e-9)
    along = tool.fields["vectors"] / np.linalg.norm(tool.fields["vectors"], axis=1, keepdims=True)
    np.testing.assert_allclose(along.T, turn.as_matrix(), atol=1e-9)
    np.testing.assert_allclose(way.fields["strips"][0][[0, -1]], [origin, end], atol=1e-9)
    assert list(scene.records(message("/tristage/action", kind, header=header(9.0), **step))) == []


def test_the_cloud_has_the_colours_of_the_overlay(logged, small_bag):
    records, _ = logged
    cloud, overlay = of(records, "cell/cloud")[-1], pixels(of(records, "kept")[-1])
    front = of(records, "cell/front")
    placed, pinhole = front[0].fields, front[1].fields
    assert cloud.time == of(records, "kept")[-1].time
    pose = pose_of(front[0])
    local = (cloud.fields["positions"] - placed["translation"]) @ pose[:3, :3]
    uv = (local @ pinhole["image_from_camera"].T)[:, :2] / local[:, 2:]
    height, width = overlay.shape[:2]
    inside = ((uv >= 0) & (uv < [width - 1, height - 1])).all(axis=1)
    assert inside.mean() > 0.8
    tints = np.array(list(KEPT_COLORS.values()), float)
    kind = np.array([np.abs(tints - color).sum(axis=1).argmin() for color in cloud.fields["colors"][inside]])
    # In the overlay a grey image shines through; what is kept differs from it in hue.
    seen = overlay[uv[inside, 1].round().astype(int), uv[inside, 0].round().astype(int)].astype(float)
    hue = seen - seen.mean(axis=1, keepdims=True)
    wanted = tints[kind] - tints[kind].mean(axis=1, keepdims=True)
    agree = np.abs(hue - wanted / 2).max(axis=1) < 25
    assert agree.mean() > 0.9 and len(set(kind.tolist())) >= 3


def test_points_beside_the_image_are_in_a_colour_of_their_own():
    camera = CameraModel(4, 4, 4.0, 4.0, 1.5, 1.5)
    points = np.array([[0.1, 0.1, 1.0], [-0.1, -0.1, 1.0], [0, 0, -1.0]], np.float32)
    colors = cloud_colors(points, camera, np.array([True, False, False, False]), np.array([True]), np.array([3]))
    wanted = [KEPT_COLORS["3D only"], KEPT_COLORS["2D only"], UNSEEN]
    assert colors.tolist() == [list(color) for color in wanted]
    with pytest.raises(ValueError, match="no square"):
        cloud_colors(points, camera, np.ones(3, bool), np.array([True]), np.array([0]))


def test_what_goes_wrong_is_said_once_and_that_it_is_over(scene):
    def status(time, mode, reason="", **fields):
        value = {"header": header(time), "mode": mode, "reason": reason, **fields}
        return message("/arm/status", "tristage_msgs/msg/ArmStatus", **value)

    refused = {"chunk_state": 3, "chunk_reason": "too old"}
    came = [
        status(1, 2, "waiting"),
        status(2, 3, "on its way"),
        status(3, 2, "waiting", **refused),
        status(4, 2, "waiting", **refused),
        status(5, 4, "joint 2 is blocked"),
        status(6, 4, "joint 2 is blocked"),
        status(7, 1),
    ]
    part = "diagnostic_msgs/msg/DiagnosticStatus"
    for time, level, text in ((8, 0, "fine"), (9, 2, "silent"), (10, 2, "silent"), (11, 0, "fine"), (12, 0, "better")):
        told = new_message(part, level=level, name="front: images", message=text)
        came.append(message("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", header=header(time), status=[told]))
    said = [record for each in came for record in scene.records(each) if record.archetype == "TextLog"]
    assert [(r.time // 10**9, r.fields["level"], r.fields["text"]) for r in said] == [
        (1, "INFO", "ready"),
        (3, "WARN", "chunk refused: too old"),
        (5, "ERROR", "fault: joint 2 is blocked"),
        (7, "INFO", "disabled"),
        (9, "ERROR", "front: images: silent"),
        (11, "INFO", "front: images: fine"),
    ]


def test_images_come_no_faster_than_asked(small_bag, logged):
    scene = Scene(load_extrinsics(resource("config", "cameras.yaml")), load_site(), 0, image_rate=5.0)
    with BagReader(small_bag) as bag:
        shown = [r for m in bag.messages_of(scene.kinds) for r in scene.records(m)]
    times = [record.time for record in of(shown, "cell/front/image")]
    assert 8 <= len(times) <= 10 and min(np.diff(times)) >= 0.19e9
    assert len(of(shown, "kept")) == 3  # also of frames that were not shown


def test_what_is_wrong_is_named_and_the_rest_is_shown(record_run, tmp_path):
    with pytest.raises(BagError, match="nowhere"):
        play(tmp_path / "nowhere", print)
    bag = record_run([("/joint_states", {"name": ["elbow"], "position": np.zeros(1)})])
    told = play(bag, lambda record: None)
    assert any("/joint_states: joint_states lack joint1" in line for line in told)
    bag = record_run([("/chatter", {})], name="foreign")
    with pytest.raises(BagError, match="no message that could be shown; it has /chatter"):
        play(bag, print)


@pytest.fixture
def record_run(tmp_path):
    """Return a function that records messages, by topic, into a bag."""
    from tristage_ros.bags.writer import BagWriter

    kinds = {"/joint_states": "sensor_msgs/msg/JointState", "/chatter": "std_msgs/msg/String"}

    def record(messages, name="bag"):
        with BagWriter(tmp_path / name) as writer:
            for index, (topic, fields) in enumerate(messages):
                value = new_message(kinds[topic], **fields)
                writer.write(topic, kinds[topic], bytes(typestore().serialize_cdr(value, kinds[topic])), index)
        return writer.path

    return record
