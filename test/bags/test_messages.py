from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tristage_ros.bags import messages
from tristage_ros.bags.messages import definitions, new_message, typestore


def test_every_definition_is_known() -> None:
    names = {f"tristage_msgs/msg/{path.stem}" for path in definitions().glob("*.msg")}
    assert {"tristage_msgs/msg/PruningStats", "tristage_msgs/msg/ArmStatus"} <= names <= typestore().fielddefs.keys()


def test_hashes_are_those_of_the_built_package() -> None:
    """The hash that ROS 2 compares publisher and subscriber by is in the generated .json of every message."""
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    folders = [Path(prefix, "share", "tristage_msgs", "msg") for prefix in prefixes if prefix]
    built = next((folder for folder in folders if (folder / "ArmStatus.json").is_file()), None)
    if built is None:
        pytest.skip(f"tristage_msgs is not built in any of {', '.join(prefixes)}")
    for path in definitions().glob("*.msg"):
        if (built / path.name).read_text() != path.read_text():
            pytest.skip(f"tristage_msgs was built from another {path.name}")
        described = json.loads((built / f"{path.stem}.json").read_text())["type_hashes"]
        hashes = {entry["type_name"]: entry["hash_string"] for entry in described}
        name = f"tristage_msgs/msg/{path.stem}"
        assert typestore().hash_rihs01(name) == hashes[name]


def test_fields_not_given_are_blank() -> None:
    status = new_message("tristage_msgs/msg/ArmStatus", mode=3)
    assert (status.mode, status.reason, status.header.stamp.sec) == (3, "", 0)
    np.testing.assert_array_equal(status.joint_position, np.zeros(6))
    assert new_message("sensor_msgs/msg/PointCloud2").fields == []
    with pytest.raises(TypeError):
        new_message("tristage_msgs/msg/ArmStatus", colour=3)


def test_definitions_are_found_in_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "share" / "tristage_msgs" / "msg"
    installed.mkdir(parents=True)
    monkeypatch.setattr(messages, "__file__", str(tmp_path / "lib" / "tristage_ros" / "bags" / "messages.py"))
    monkeypatch.setattr(messages.sys, "prefix", str(tmp_path / "nothing"))
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="tristage_msgs"):
        definitions()
    (installed / "ArmStatus.msg").write_text("uint8 mode\n")
    assert definitions() == installed
