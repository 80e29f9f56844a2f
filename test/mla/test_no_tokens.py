"""Steps that keep no image token, no point token, or neither."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tristage_ros.mla.model import random_model
from tristage_ros.pruning import PruningConfig, TokenMasks, TriStagePruner

NOTHING = ["image", "points", "both"]


def masks_without(kind: str) -> TokenMasks:
    return TokenMasks(*(torch.full((16,), kind not in (own, "both")) for own in ("image", "points")))


class Blindfold(TriStagePruner):
    """Plan as ever, then keep nothing of one kind, and learn from what that showed."""

    kind = ""

    def plan(self, geometry, frame=None):
        masks, dropped = super().plan(geometry, frame), masks_without(self.kind)
        return TokenMasks(masks.keep_2d & dropped.keep_2d, masks.keep_3d & dropped.keep_3d)


@pytest.mark.parametrize("kind", NOTHING)
@pytest.mark.parametrize("engine", ["cached", "recompute"])
@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("switches", [{}, {"place_features": True, "point_patches": True, "knn": "bfloat16"}])
def test_a_step_acts_on_what_is_left(
    make_policy, observation, fixed_pruner, tiny_config, kind, engine, captured, switches
):
    model = random_model(tiny_config(**switches), 3)
    policy = make_policy(pruner := fixed_pruner(masks_without(kind)), model, engine=engine, captured=captured)
    first, second = (policy.act(observation(step)) for step in range(2))
    assert np.isfinite(first[0].translation).all() and np.isfinite(second[0].translation).all()
    seen = pruner.observed[-1]
    assert seen.attention_2d.isnan().all() == (kind != "points") and seen.attention_3d.isnan().all() == (
        kind != "image"
    )


@pytest.mark.parametrize("kind", NOTHING)
@pytest.mark.parametrize("stages", [{1, 2, 3}, {1, 2}])
def test_the_pruner_goes_on_after_it(make_policy, observation, kind, stages):
    pruner = Blindfold(replace(PruningConfig.paper(), stages=frozenset(stages), target_rate=0.5, token_bucket=1))
    pruner.kind = kind
    policy = make_policy(pruner)
    for step in range(3):
        action, report = policy.act(observation(step))
        assert np.isfinite(action.translation).all()
        assert not report.masks.keep_2d.any() or kind == "points"
        assert not report.masks.keep_3d.any() or kind == "image"
    pruner.kind = ""
    _, report = policy.act(observation(3))
    assert report.masks.keep_2d.any() or report.masks.keep_3d.any()


@pytest.mark.parametrize("kind", NOTHING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_no_token_has_no_embedding(tiny_config, observation, kind, dtype):
    model = random_model(tiny_config(place_features=True, point_patches=True), 3, dtype=dtype)
    masks = masks_without(kind)
    image, points = (keep.nonzero()[:, 0] for keep in (masks.keep_2d, masks.keep_3d))
    cloud = torch.from_numpy(observation().points)
    centres = model.vision_tower_3d.centres(cloud)
    embedded = model.embed_points(model.vision_tower_3d(cloud, centres, points), centres.xyz[points], points)
    picture = torch.zeros(24, 24, 3, dtype=torch.uint8)
    assert embedded.shape == (len(points), 32)
    assert model.embed_image(model.vision_tower_2d(picture, image), image).shape == (len(image), 32)
