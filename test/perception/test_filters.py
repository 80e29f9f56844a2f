from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("open3d", reason="open3d is not installed")

from tristage_ros.perception import filters


def table(count: int = 4000) -> np.ndarray:
    """Return noisy points of a table at z = 0.03 m with a box on it."""
    draw = np.random.default_rng(0)
    top = draw.uniform([0, -0.4, 0.03], [0.6, 0.4, 0.03], (count, 3))
    box = draw.uniform([0.2, 0.0, 0.03], [0.3, 0.1, 0.12], (count // 4, 3))
    return (np.concatenate([top, box]) + draw.normal(0, 0.001, (count + count // 4, 3))).astype(np.float32)


def test_table_plane_is_found_and_points_up() -> None:
    normal, offset = filters.find_plane(table())
    np.testing.assert_allclose(normal, [0, 0, 1], atol=0.02)
    assert offset == pytest.approx(0.03, abs=0.003)


def test_a_plane_needs_three_points() -> None:
    with pytest.raises(ValueError, match="got 2"):
        filters.find_plane(np.zeros((2, 3), np.float32))


def test_outliers_go() -> None:
    points = table()
    stray = np.array([[0.3, 0.0, 0.5], [0.1, 0.1, -0.4]], np.float32)
    kept = filters.remove_outliers(np.concatenate([points, stray]))
    assert not (np.abs(kept[:, 2]) > 0.3).any()
    assert len(kept) > 0.9 * len(points)


def test_downsampling_averages() -> None:
    points = np.array([[0.01, 0.01, 0.01], [0.03, 0.01, 0.01], [0.5, 0.5, 0.5]], np.float32)
    kept = filters.downsample(points, 0.1)
    np.testing.assert_allclose(sorted(kept.tolist()), [[0.02, 0.01, 0.01], [0.5, 0.5, 0.5]], atol=1e-6)


def test_ply_can_be_read_again(tmp_path: Path) -> None:
    import open3d

    points, colors = table(40), np.random.default_rng(1).integers(0, 256, (50, 3), np.uint8)
    filters.write_ply(tmp_path / "cloud.ply", points, colors)
    cloud = open3d.io.read_point_cloud(str(tmp_path / "cloud.ply"))
    np.testing.assert_allclose(cloud.points, points, atol=1e-6)
    np.testing.assert_array_equal(np.round(np.asarray(cloud.colors) * 255), colors)


def test_unwritable_ply_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot write"):
        filters.write_ply(tmp_path / "nowhere" / "cloud.ply", table(8))


def test_the_control_loop_does_not_load_open3d() -> None:
    code = "import sys, tristage_ros.perception.cloud, tristage_ros.perception.filters; print('open3d' in sys.modules)"
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert ran.stdout.strip() == "False"
