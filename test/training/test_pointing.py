import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tristage_ros.perception.camera import patch_of_points
from tristage_ros.training.dataset import ON_TABLE, Dataset
from tristage_ros.training.frames import read_shard, write_shard
from tristage_ros.training.objective import PointingHead, token_places
from tristage_ros.training.plan import Plan


def test_pointing_at_the_goal_lacks_nothing_and_elsewhere_much():
    head = PointingHead(2)
    with torch.no_grad():
        for part in (head.query, head.key):
            part.weight.copy_(torch.eye(2))
            part.bias.zero_()
    places = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]])
    goal, spread = torch.tensor([[1.0, 0.0]]), 0.5
    wanted = math.sqrt(2) / (2 * spread**2)  # distance of the two logits
    head.requires_grad_(False)
    right = head(torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.0, 0.0], [wanted, 0.0]]]), places, goal, spread)
    wrong = head(torch.tensor([[1.0, 0.0]]), torch.tensor([[[wanted, 0.0], [0.0, 0.0]]]), places, goal, spread)
    assert right == pytest.approx(0.0, abs=1e-6) and wrong > 1.0


def test_image_tokens_are_where_patches_are():
    places = token_places(16, torch.device("cpu"))
    assert places[0].tolist() == [0.5, 0.5] and places[17].tolist() == [1.5, 1.5] and places[1].tolist() == [1.5, 0.5]


def test_goals_are_where_the_tool_is_to_go_in_metres_and_in_the_tokens_of_the_frames_camera(
    shards, config, recipe, observations
):
    plan = Plan.of(shards, recipe())
    data = Dataset(shards, plan.statistics, plan.truths, config)
    for index, seen in enumerate(observations):
        sample = data[index]
        tool = (sample.frame.state + sample.frame.action)[0, :2]
        torch.testing.assert_close(sample.goal[:2], tool)
        column, row = np.floor(sample.goal[2:].numpy()).astype(int)
        patch = patch_of_points(np.array([[*tool.tolist(), ON_TABLE]]), seen.camera, config.grid)[0]
        inside = 0 <= column < config.grid and 0 <= row < config.grid
        assert patch == (row * config.grid + column if inside else -1)


def test_a_goal_behind_the_camera_is_far_from_all_its_tokens(frames, shards, recipe, config):
    some, facts = read_shard(shards[0])
    behind = some.projection.clone()
    behind[:, 2] *= -1  # the depth
    write_shard(shards[0], replace(some, projection=behind), facts)
    plan = Plan.of(shards, recipe())
    goals = torch.stack(
        [
            sample.goal[2:]
            for sample in map(Dataset(shards, plan.statistics, plan.truths, config).__getitem__, range(len(some)))
        ]
    )
    assert goals.isfinite().all() and (goals.abs().amax(1) > 2 * config.grid).all()
