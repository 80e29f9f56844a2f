"""A front camera at a drawn pose: every node reads where it is, as from a calibration."""

import numpy as np
import pytest

from tristage_ros.graph import graph
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource
from tristage_ros.simulation.viewpoint import anywhere

OURS = resource("config", "cameras.yaml")


def told(seed: str, **arguments: str) -> str:
    """Return the one cameras file that all nodes of a cell are given."""
    described = graph.build("piper_pick", {"camera": "anywhere", "seed": seed, **arguments})
    files = {node.name: node.parameters["cameras_file"] for node in described.nodes if node.package == graph.OURS}
    (file,) = set(files.values())
    return file


def test_all_nodes_read_where_the_seed_put_it(tmp_path):
    before, after = load_extrinsics(OURS), load_extrinsics(told("7", episodes=str(tmp_path)))
    np.testing.assert_allclose(after["front"].pose, anywhere(before["front"], 7).pose, atol=1e-6)
    np.testing.assert_allclose(after["wrist"].pose, before["wrist"].pose, atol=1e-6)


def test_the_seed_decides_where_it_is():
    first, again, other = (load_extrinsics(told(seed))["front"].pose for seed in ("7", "7", "8"))
    np.testing.assert_array_equal(first, again)
    assert np.linalg.norm(first[:3, 3] - other[:3, 3]) > 0.01


def test_unless_asked_for_it_is_where_the_file_says():
    described = graph.build("piper_pick", {})
    assert all("cameras_file" not in node.parameters for node in described.nodes)


def test_what_cannot_stand_anywhere_starts_nothing(tmp_path):
    with pytest.raises(graph.GraphError, match="camera:=anywhere is for hardware:=sim"):
        graph.build("piper_pick", {"camera": "anywhere", "hardware": "piper", "policy": "false"})
    with pytest.raises(graph.GraphError, match="camera:=there is unknown; choose one of fixed, anywhere"):
        graph.build("piper_pick", {"camera": "there"})
    file = tmp_path / "cameras.yaml"
    file.write_text(OURS.read_text(encoding="utf-8").replace("base_link\n", "flange\n"), encoding="utf-8")
    with pytest.raises(graph.GraphError, match="camera front is on flange"):
        graph.build("piper_pick", {"camera": "anywhere", "cameras_file": str(file)})
