"""The arm's site as RViz and Foxglove are shown it."""

from __future__ import annotations

import numpy as np
from visualization_msgs.msg import Marker

from tristage_ros.devices.arm.kinematics import forward, tool_pose
from tristage_ros.devices.arm.site import load_site
from tristage_ros.nodes.arm.markers import site_markers
from tristage_ros.resources import resource


def test_boxes_table_and_home_are_where_the_file_says() -> None:
    site = load_site(resource("config", "sites", "raised_table.yaml"))
    markers = {marker.ns: marker for marker in site_markers(site, True).markers}
    assert all(marker.header.frame_id == "base_link" for marker in markers.values())
    box = np.array([(point.x, point.y, point.z) for point in markers["box"].points])
    assert box.shape == (24, 3)
    np.testing.assert_allclose([box.min(0), box.max(0)], [site.box.lower, site.box.upper])
    edges = np.abs(np.diff(box.reshape(12, 2, 3), axis=1))
    assert (np.count_nonzero(edges, axis=-1) == 1).all()
    shelf, place = markers["keep-out: the shelf"], np.array([0.40, 0.51, 0.25])
    assert shelf.type == Marker.CUBE
    np.testing.assert_allclose([getattr(shelf.pose.position, axis) for axis in "xyz"], place)
    np.testing.assert_allclose([getattr(shelf.scale, axis) for axis in "xyz"], (0.60, 0.18, 0.40))
    assert markers["name: the shelf"].text == "the shelf"
    table = markers["table"]
    assert table.pose.position.z + table.scale.z / 2 == 0.05
    end = markers["home"].points[-1]
    np.testing.assert_allclose((end.x, end.y, end.z), tool_pose(forward(site.home))[:3, 3])
    assert "0.25 m/s" in markers["site"].text
