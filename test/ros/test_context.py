"""What keeps rclpy from starting is one line, which names it."""

import pytest
import rclpy

from tristage_ros.graph.middleware import MiddlewareError
from tristage_ros.ros.context import begin

MIXED = "arm:\n  ros__parameters:\n    box: [1, a]\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--params-file", "FILE"], ["node.yaml: Sequence should be of same type", "line_num 3"]),
        (["--params-file", "/nowhere.yaml"], ["/nowhere.yaml", "Error opening YAML file"]),
        (["-p", "threads"], ["-p threads"]),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(ros_domain, tmp_path, arguments, words):
    file = tmp_path / "node.yaml"
    file.write_text(MIXED)
    with pytest.raises(MiddlewareError) as error:
        begin(["--ros-args", *(str(file) if each == "FILE" else each for each in arguments)])
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)
    assert not rclpy.ok()


@pytest.mark.parametrize(("name", "value"), [("ROS_DOMAIN_ID", "abc"), ("HOME", "")])
def test_a_wrong_variable_is_told_before_rclpy_starts(monkeypatch, name, value):
    for other in ("ROS_HOME", "ROS_LOG_DIR"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(MiddlewareError, match=name):
        begin([])
    assert not rclpy.ok()
