"""The cell's cameras, its life and its errors."""

import threading
import time

import numpy as np
import pytest

from tristage_ros.devices.arm import kinematics
from tristage_ros.simulation.cell import Cell, CellConfig
from tristage_ros.simulation.scene import HOME

TOPS = {"block": (0.0, 0.0, 0.0175), "cup": (0.0, 0.0, 0.0855), "plate": (0.0, 0.0, 0.008)}  # m, in the object's frame


@pytest.fixture(scope="module")
def still(cameras_file):
    """A cell whose time stands still."""
    cell = Cell(CellConfig(cameras_file, seed=1, can_interface="virtual", can_channel="still"))
    yield cell
    cell.close()


@pytest.fixture(scope="module")
def captures(still):
    return still.capture()


def seen(capture, point):
    """Return the pixel (u, v) and depth (m) at which a point of the base frame must be seen."""
    camera = capture.camera
    x, y, z = np.linalg.inv(camera.pose)[:3] @ [*point, 1.0]
    return round(camera.cx + camera.fx * x / z), round(camera.cy + camera.fy * y / z), z


def test_captures_have_the_shapes_and_types_of_the_wire(captures):
    assert set(captures) == {"front", "wrist"}
    for name, capture in captures.items():
        assert capture.color.shape == (480, 640, 3)
        assert capture.color.dtype == np.uint8
        assert capture.color.flags.c_contiguous
        assert capture.depth.shape == (480, 640)
        assert capture.depth.dtype == np.uint16
        assert capture.depth.flags.c_contiguous
        assert capture.camera.frame_id == f"{name}_color_optical_frame"
        assert abs(capture.stamp - time.time()) < 60


@pytest.mark.parametrize(
    ("camera", "name", "channel"),
    [("front", "plate", 2), ("front", "cup", 0), ("front", "block", 1), ("wrist", "plate", 2)],
)
def test_an_object_is_seen_where_it_is(still, captures, camera, name, channel):
    capture, pose = captures[camera], still.truth()[name]
    u, v, depth = seen(capture, (pose @ [*TOPS[name], 1.0])[:3])
    assert capture.depth[v, u] / 1000 == pytest.approx(depth, abs=0.003)
    assert capture.color[v, u].argmax() == channel
    assert capture.color[v, u, channel] > 1.3 * np.delete(capture.color[v, u], channel).max()


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_the_banana_is_seen_where_it_is(still, captures, camera):
    """Its centre of colour and the points under it lie on the banana."""
    capture, banana = captures[camera], still.truth()["banana"]
    red, green, blue = np.moveaxis(capture.color.astype(int), -1, 0)
    v, u = np.nonzero((red > 110) & (green > 0.75 * red) & (blue < 0.45 * red))
    assert len(u) > 100
    model, z = capture.camera, capture.depth[v, u] / 1000
    points = np.stack([(u - model.cx) / model.fx * z, (v - model.cy) / model.fy * z, z, np.ones_like(z)])
    local = (np.linalg.inv(banana) @ model.pose @ points)[:3]
    assert np.abs(local[0]).max() < 0.085
    assert np.abs(local[1]).max() < 0.045
    assert np.quantile(np.abs(local[2]), 0.95) < 0.019
    assert np.quantile(local[2], 0.95) > 0.008


def test_the_table_is_flat(captures):
    """Nearly all that the front camera sees near the table's plane lies within its depth resolution of it."""
    capture = captures["front"]
    v, u = np.mgrid[300:480:8, 0:640:8].reshape(2, -1)
    model, z = capture.camera, capture.depth[v, u] / 1000
    points = model.pose @ np.stack([(u - model.cx) / model.fx * z, (v - model.cy) / model.fy * z, z, np.ones_like(z)])
    assert np.median(points[2]) == pytest.approx(0.0, abs=1e-3)
    assert np.mean(np.abs(points[2]) < 2e-3) > 0.7


def test_depth_is_limited_to_the_measured_range(captures):
    for capture in captures.values():
        measured = capture.depth[capture.depth > 0]
        assert measured.min() >= 70
        assert measured.max() <= 4000


def test_capturing_while_the_arm_moves(cell, sdk):
    first = cell.capture()
    sdk.enable()
    sdk.move(HOME + np.array([0.4, 0, 0, 0, 0, 0]))
    then = cell.capture()
    assert then["wrist"].stamp > first["wrist"].stamp
    assert then["wrist"].stamp == then["front"].stamp
    np.testing.assert_array_equal(then["front"].camera.pose, first["front"].camera.pose)
    turned = kinematics.rpy_to_matrix((0, 0, 0.4)) @ first["wrist"].camera.pose[:3, 3]
    np.testing.assert_allclose(then["wrist"].camera.pose[:3, 3], turned, atol=5e-3)
    assert np.abs(then["front"].color.astype(int) - first["front"].color).max() > 100


def test_closing_twice_leaves_no_thread_and_capture_refuses(cameras_file):
    before = set(threading.enumerate())
    cell = Cell(CellConfig(cameras_file, width=64, height=48, can_channel="127.0.0.1:0"))
    cell.start()
    assert cell.capture()["front"].color.shape == (48, 64, 3)
    cell.close()
    cell.close()
    assert set(threading.enumerate()) == before
    with pytest.raises(RuntimeError, match="closed"):
        cell.capture()


def test_captures_may_come_from_any_thread(still):
    seen = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: seen.append(still.capture()["front"].color))
        thread.start()
        thread.join()
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], still.capture()["front"].color)


def test_a_cell_that_never_started_can_be_closed(cameras_file):
    before = set(threading.enumerate())
    Cell(CellConfig(cameras_file, can_channel="127.0.0.1:0")).close()
    assert set(threading.enumerate()) == before


def test_a_taken_port_is_named_and_no_thread_stays(cameras_file):
    cell = Cell(CellConfig(cameras_file, can_channel="127.0.0.1:0"))
    before = set(threading.enumerate())
    with pytest.raises(OSError, match=f"{cell.can_channel}.*choose another"):
        Cell(CellConfig(cameras_file, can_channel=cell.can_channel))
    assert set(threading.enumerate()) == before
    cell.close()
    Cell(CellConfig(cameras_file, can_channel=cell.can_channel)).close()


@pytest.mark.parametrize("channel", ["0.0.0.0:54701", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", ""])
def test_a_channel_that_is_no_local_address_is_refused(cameras_file, channel):
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:PORT"):
        Cell(CellConfig(cameras_file, can_channel=channel))


@pytest.mark.parametrize(("name", "value"), [("width", 0), ("height", -1), ("seed", -1)])
def test_a_wrong_setting_is_named(cameras_file, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        CellConfig(cameras_file, **{name: value})


def test_a_camera_without_field_of_view_is_named(cameras_file, tmp_path):
    with open(cameras_file, encoding="utf-8") as file:
        text = file.read().replace("vertical_fov: 58.0", "vertical_fov: 0")
    (tmp_path / "cameras.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"camera wrist: simulation\.vertical_fov is 0"):
        Cell(CellConfig(str(tmp_path / "cameras.yaml")))


def test_without_a_rendering_context_the_packages_are_named(still, monkeypatch):
    import mujoco

    from tristage_ros.simulation.renderer import Renderer, RenderingError

    def fail(width, height):
        raise AttributeError("no EGL here")

    monkeypatch.setattr(mujoco, "GLContext", fail)
    with pytest.raises(RenderingError, match="libegl1 libegl-mesa0 libgl1-mesa-dri"):
        Renderer(still._plant.model, 64, 48)
