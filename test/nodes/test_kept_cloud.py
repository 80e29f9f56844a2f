"""The cloud in the colours of the overlay."""

import numpy as np
import torch

from tristage_ros.mla.values import Observation, StepReport
from tristage_ros.nodes.policy.messages import kept_cloud_message
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.color import KEPT_COLORS
from tristage_ros.pruning import TokenMasks
from tristage_ros.pruning.report import PruningReport
from tristage_ros.ros.convert import cloud_points


def message(points, centres, patches, keep_2d, keep_3d):
    observation = Observation(
        np.zeros((4, 4, 3), np.uint8), CameraModel(4, 4, 4.0, 4.0, 2.0, 2.0), np.array(points, np.float32), np.zeros(7)
    )
    masks = TokenMasks(torch.tensor(keep_2d), torch.tensor(keep_3d))
    report = StepReport(1, masks, np.array(patches), np.array(centres, np.float32), PruningReport, {}, False, 0, 8)
    return kept_cloud_message(observation, report, "base_link")


def test_every_point_has_the_colour_of_its_token():
    centres = [[float(k), 0.0, 0.0] for k in range(5)]
    points = [[k + 0.1, 0.0, 0.0] for k in range(5)] + [[np.nan, 0.0, 0.0]]
    cloud = message(points, centres, [0, 1, 2, 3, -1], [True, False, True, False], [True, True, False, False, True])
    np.testing.assert_allclose(cloud_points(cloud), points[:5], rtol=1e-6)
    packed = np.frombuffer(cloud.data, "<u4").reshape(-1, 4)[:, 3]
    named = {(r << 16) | (g << 8) | b: name for name, (r, g, b) in KEPT_COLORS.items()}
    assert [named[int(value)] for value in packed] == ["both", "3D only", "2D only", "neither", "3D only"]
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb"]


def test_an_empty_cloud_is_an_empty_message():
    cloud = message(np.zeros((0, 3)), [[0.0, 0.0, 0.0]], [0], [True], [True])
    assert cloud.width == 0 and len(cloud.data) == 0
