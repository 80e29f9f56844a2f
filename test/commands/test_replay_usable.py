"""What a replay's nodes would refuse is found before they start; what they refuse later is heard."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damage import SMALL_BAG, Stored, stored, write
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from tristage_ros import cli
from tristage_ros.bags.images import restore
from tristage_ros.bags.messages import IMAGE, typestore
from tristage_ros.bags.recording import Recording
from tristage_ros.commands.replay.player import refuses
from tristage_ros.commands.replay.usable import require_usable

INFO, DEPTH = "/front/color/camera_info", "/wrist/aligned_depth_to_color/image_raw"


def changed(message: Stored, change: Callable[[Any], Any]) -> Stored:
    value = change(typestore().deserialize_cdr(message.data, message.kind))
    kind = value.__msgtype__
    topic = message.topic.removesuffix("/compressedDepth") if kind == IMAGE else message.topic
    return Stored(topic, kind, message.stamp, bytes(typestore().serialize_cdr(value, kind)))


def renamed(state: Any) -> Any:
    state.name = [name.replace("joint", "J") for name in state.name]
    return state


def as_it_was(compressed: Any) -> Any:
    return restore(f"{DEPTH}/compressedDepth", compressed)


def bytes_only(compressed: Any) -> Any:
    image = as_it_was(compressed)
    image.encoding = "8UC1"
    return image


def uncalibrated(info: Any) -> Any:
    info.k = info.k * 0
    return info


def larger(info: Any) -> Any:
    info.width, info.height = 848, 480
    return info


@pytest.mark.parametrize(
    ("topic", "change", "words"),
    [
        ("/joint_states", renamed, "/joint_states: joint_states lack joint1, joint2,.*they have J1, J2"),
        (DEPTH, bytes_only, f"{DEPTH}: image encoding '8UC1' is not supported"),
        (INFO, uncalibrated, f"{INFO}: .*the camera is not calibrated"),
        (INFO, larger, f"/front/color/image_raw is 640x480, {INFO} says 848x480"),
    ],
)
def test_what_the_nodes_would_refuse_is_an_error_before_they_start(
    tmp_path: Path, capsys, topic, change, words
) -> None:
    topics = (topic, f"{topic}/compressedDepth")
    write(tmp_path / "bag", [changed(m, change) if m.topic in topics else m for m in stored()])
    assert cli.main(["replay", str(tmp_path / "bag"), "--lockstep", "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and re.search(f"cannot be replayed: {words}", said[0])
    assert not (tmp_path / "run").exists()


def test_one_message_that_the_nodes_refuse_is_theirs_to_refuse(tmp_path: Path) -> None:
    messages = stored()
    first = next(m for m in messages if m.topic == "/joint_states")
    write(tmp_path / "bag", [changed(m, renamed) if m is first else m for m in messages])
    require_usable(Recording(tmp_path / "bag", ("front", "wrist")), {})
    require_usable(Recording(SMALL_BAG, ("front", "wrist")), {})


@pytest.mark.long
@pytest.mark.timeout(300)
def test_what_a_node_refuses_later_is_the_last_line(ros_domain, tmp_path: Path) -> None:
    counted = Counter[str]()

    def later(message: Stored) -> Stored:
        counted[message.topic] += 1
        return changed(message, bytes_only if counted[message.topic] > 4 else as_it_was)

    bag = write(tmp_path / "bag", [later(m) if m.topic.endswith("compressedDepth") else m for m in stored()])
    command = ["replay", bag, "--lockstep", "--every-frame", "--out", tmp_path / "run", "--timeout", "200"]
    done = subprocess.run([sys.executable, "-m", "tristage_ros", *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 2, done.stdout + done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: 3 frames in a row had no action: ") and "image encoding '8UC1'" in last


def state(level: bytes, message: str, refused: int = 0, name: str = "point_cloud: front depth") -> DiagnosticStatus:
    values = [KeyValue(key="received", value="9"), KeyValue(key="refused, unusable", value=str(refused))]
    return DiagnosticStatus(level=level, name=name, message=message, values=values)


def test_a_refusal_is_told_from_other_complaints() -> None:
    ok, warn, error = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
    assert refuses(state(warn, "image encoding '8UC1'", 1), None)
    assert refuses(state(warn, "image encoding '8UC1'", 2), state(warn, "", 1))
    assert not refuses(state(warn, "60% of the frames are lost", 2), state(warn, "image encoding '8UC1'", 2))
    stale = KeyValue(key="refused, stale", value="1")
    late = DiagnosticStatus(level=warn, name="point_cloud: front depth", message="frame is 0.7 s old", values=[stale])
    assert not refuses(late, None)
    assert not refuses(state(ok, "15 Hz", 3), state(ok, "15 Hz", 3))
    assert refuses(state(warn, "bad input: the cloud is in frame 'map'", name="policy: policy"), None)
    assert refuses(state(error, "policy: TypeError", name="policy: policy"), None)
    assert not refuses(state(warn, "RANDOM WEIGHTS", name="policy: policy"), None)
