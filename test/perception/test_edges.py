from __future__ import annotations

import numpy as np

from tristage_ros.perception.edges import edge_patches


def test_edges_of_colour_and_depth_are_found_in_their_patches() -> None:
    image = np.full((48, 64, 3), 90, np.uint8)
    image[4:8, 20:28] = 255  # inside patch (0, 1) of 4 x 4
    depth = np.full((48, 64), 0.5, np.float32)
    depth[28:34, 40:44] = 0.4  # inside patch (2, 2)
    assert edge_patches(image, None, 4).nonzero()[0].tolist() == [1]
    assert edge_patches(image, depth, 4).nonzero()[0].tolist() == [1, 10]


def test_what_was_not_measured_and_gentle_slopes_are_no_edges() -> None:
    image = np.full((48, 64, 3), 90, np.uint8)
    depth = np.linspace(0.3, 0.9, 64, dtype=np.float32)[None].repeat(48, 0)
    depth[10:20, 10:20] = 0.0
    depth[30:40, 10:20] = np.nan
    assert not edge_patches(image, depth, 4).any()
