"""The arm's black box: written at a fault and on request, readable, bounded, and never in the way."""

import time
from pathlib import Path

import numpy as np
from rclpy.parameter import Parameter
from tristage_msgs.msg import ArmStatus

from tristage_ros.bags.black_box import contents as box
from tristage_ros.bags.reader import BagReader
from tristage_ros.simulation.frames import MotorStatus

from .test_arm import setting  # noqa: F401 - the fixture


def read(path):
    with BagReader(path) as bag:
        assert bag.complete
        return {topic: list(bag.messages(topic)) for topic in bag.topics}


def texts(messages, kind):
    return [m.value.msg for m in messages[box.EVENTS] if m.value.name == kind]


def test_a_fault_writes_what_was_before_and_after_it(setting, tmp_path):  # noqa: F811
    s = setting(f"black_box_dir:={tmp_path}", "black_box_keep:=1")
    s.until(lambda: s.status and s.pose)
    assert s.call("black_box").success
    s.until(lambda: list(tmp_path.glob("*.mcap")))
    (first,) = tmp_path.glob("*.mcap")
    assert s.call("enable").success
    assert s.node.set_parameters([Parameter("speed_scale", value=0.7)])[0].successful
    s.outcome(s.send((0.0, 0.0, -0.03)))
    s.outcome(s.send((3.0, 0.0, 0.0)))
    s.cell.firmware.alarm(1, MotorStatus.OVERCURRENT)
    s.until(lambda: s.status.mode == ArmStatus.FAULT and "black box: " in s.status.reason)
    latched = time.time()
    reason, path = s.status.reason.split("; black box: ")
    assert reason == "the arm reports motor 2: overcurrent" == s.node.controller.snapshot().reason
    s.until(lambda: Path(path).exists() and not first.exists())
    messages = read(path)
    assert texts(messages, "fault") == [reason]
    fault = next(m.stamp for m in messages[box.EVENTS] if m.value.name == "fault") * 1e-9
    assert abs(fault - latched) < 1.0
    said = texts(messages, "service")
    assert "arm/enable called" in said and any("(clients: /helper) accepted: motors on" in text for text in said)
    assert texts(messages, "parameter") == ["speed_scale = 0.7 accepted"]
    assert texts(messages, "chunk")[0] == "chunk 1 accepted" and "refused: " in texts(messages, "chunk")[1]
    assert [text.split(":")[0] for text in texts(messages, "mode")][-1] == "fault"
    assert len(messages["/tristage/action"]) == 2
    assert max(m.stamp for m in messages[box.RECEIVED]) * 1e-9 > fault + 1.0, "what followed is missing"
    sent = {m.value.id for m in messages[box.SENT]}
    assert {0x151, 0x155, 0x156, 0x157, 0x159, 0x471} <= sent and not sent & {0x2A5, 0x2A1}
    per_joint_frame = [sum(m.value.id == id for m in messages[box.RECEIVED]) for id in (0x2A5, 0x2A6, 0x2A7)]
    assert np.ptp(per_joint_frame) <= 2 and per_joint_frame[0] > 100
    targets = sum(m.value.id == 0x155 for m in messages[box.SENT])
    assert 0 <= targets - len(messages[box.SETPOINTS]) <= 4, "but for those of the enabling, every one"
    target = messages[box.SETPOINTS][-1].value.position
    np.testing.assert_allclose(target[:6], s.status.joint_target, atol=1e-9)
    assert messages[box.STATUS][-1].value.reason.startswith(reason)


def test_a_place_that_cannot_be_written_to_is_a_line_and_no_more(setting, tmp_path):  # noqa: F811
    (tmp_path / "file").touch()
    s = setting(f"black_box_dir:={tmp_path / 'file' / 'below'}")
    s.until(lambda: s.status and s.pose)
    answer = s.call("black_box")
    assert not answer.success and str(tmp_path) in answer.message and "black_box_dir" in answer.message
    assert s.call("enable").success
    s.cell.firmware.silence(1.6)
    s.until(lambda: s.status.mode == ArmStatus.FAULT and "; no black box: " in s.status.reason)
    s.until(lambda: s.status.feedback_age_ms < 30)
    assert s.call("clear_fault").success
    assert s.call("enable").success
