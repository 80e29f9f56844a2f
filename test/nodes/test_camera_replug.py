"""The camera node as it is shipped, on cameras that come and go: found by serial number in another process."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cell_process import spin_until
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image

from tristage_ros.ros import qos
from tristage_ros.ros.diagnostics import ERROR, OK

SERVER = Path(__file__).resolve().parents[1] / "emulated_network_camera.py"
PROFILES = ("rgb_camera.color_profile:=160x120x15", "depth_module.depth_profile:=160x120x15", "lost_after:=4.0")


class Cameras:
    """Network cameras by serial number, in an SDK domain of the test's own."""

    def __init__(self, home, ros_domain):
        self.home, self.domain, self.running = home, 100 + int(ros_domain), {}
        settings = {"context": {"dds": {"enabled": True, "domain": self.domain}}}
        (home / ".realsense-config.json").write_text(json.dumps(settings))  # which the SDK reads

    def plug_in(self, serial):
        environment = {k: v for k, v in os.environ.items() if k != "FASTDDS_DEFAULT_PROFILES_FILE"}
        self.running[serial] = subprocess.Popen(
            [sys.executable, str(SERVER), str(self.domain), serial], env=environment
        )

    def unplug(self, serial):
        self.running[serial].kill()
        self.running.pop(serial).wait()

    def node(self, name, serial, log):
        parameters = [f"camera_name:={name}", f"serial_no:=_{serial}", *PROFILES]
        overrides = [word for text in parameters for word in ("-p", text)]
        command = [sys.executable, "-m", "tristage_ros.nodes", "camera", "--ros-args", "-r", f"__node:={name}"]
        return subprocess.Popen([*command, *overrides], stderr=log, env=os.environ | {"HOME": str(self.home)})


@pytest.fixture
def cameras(ros_context, ros_domain, tmp_path):
    made = Cameras(tmp_path, ros_domain)
    yield made
    for serial in list(made.running):
        made.unplug(serial)


@pytest.mark.timeout(300)
def test_several_cameras_and_none_chosen_is_an_error_that_names_them(cameras, tmp_path):
    ear, told = Node("ear"), []
    ear.create_subscription(
        DiagnosticArray,
        "/diagnostics",
        lambda message: told.extend(
            s.message for s in message.status if s.name == "front: device" and s.level == ERROR
        ),
        10,
    )
    cameras.plug_in("emu0001")
    cameras.plug_in("emu0002")
    with (tmp_path / "front.log").open("w") as log:
        node = cameras.node("front", "", log)
        try:
            spin_until(ear, lambda: any("serial_no" in text for text in told), what="the complaint")
            assert "emu0001" in told[-1] and "emu0002" in told[-1]
        finally:
            node.terminate()
            node.wait(60)
            ear.destroy_node()


@pytest.mark.timeout(300)
def test_unplugging_and_plugging_in_again_brings_frames_with_one_warning_and_no_restart(cameras, tmp_path):
    ear, status, frames = Node("ear"), {}, []
    ear.create_subscription(Image, "/front/color/image_raw", lambda _: frames.append(time.monotonic()), qos.IMAGES)
    ear.create_subscription(
        DiagnosticArray, "/diagnostics", lambda message: status.update({s.name: s for s in message.status}), 10
    )

    def told(level):
        return "front: device" in status and status["front: device"].level == level

    cameras.plug_in("emu0001")
    cameras.plug_in("emu0002")
    log = (tmp_path / "front.log").open("w+")
    node = cameras.node("front", "emu0001", log)
    try:
        spin_until(ear, lambda: len(frames) > 5 and told(OK), what="frames")
        assert "emu0001" in status["front: device"].message
        before = os.fstat(log.fileno()).st_size  # a loaded machine may have needed more than one attempt
        cameras.unplug("emu0001")
        spin_until(ear, lambda: told(ERROR), what="the loss")
        cameras.plug_in("emu0001")
        back, seen = time.monotonic(), len(frames)
        spin_until(ear, lambda: len(frames) > seen + 5 and told(OK), what="frames again")
        print(f"frames {frames[seen] - back:.1f} s after it was plugged in")
        assert node.poll() is None
    finally:
        node.terminate()
        code = node.wait(60)
        ear.destroy_node()
    assert code == 0
    log.seek(before)
    lines = log.read().splitlines()
    assert sum("[WARN]" in line for line in lines) == 1, lines
    assert sum("streaming from emu0001" in line for line in lines) == 1, lines
