"""3D tokens that are told the image patch that they lie in."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tristage_ros.json_text import parse
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.engines import RecomputeEngine, Suffix
from tristage_ros.mla.inputs import Instruction, KeptTokens, preprocess
from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.model import Mla, random_model, window_centres
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.passes import DdimSampler, Denoising
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.mla.values import Action
from tristage_ros.perception.camera import patch_of_points
from tristage_ros.pruning import PruningConfig
from tristage_ros.resources import resource

SHIPPED = ("mini", "mini_continuous")
TABLETOP = DatasetStatistics.tabletop()


class Unscaled(DatasetStatistics):
    """Leave what the model says as it is, neither clipped nor in any unit."""

    def denormalise_action(self, normalised):
        return Action(normalised[:, :3], normalised[:, 3:6], normalised[:, 6])


UNSCALED = Unscaled(TABLETOP.action, TABLETOP.proprio)


@pytest.fixture
def model(tiny_config) -> Mla:
    return random_model(tiny_config(place_features=True, point_patches=True), 4)


def pushed(seen, shift=(0.1, 0.12, 0.0)):
    """The same image and cloud, with another pose told of the camera."""
    pose = seen.camera.pose.copy()
    pose[:3, 3] += shift
    return replace(seen, camera=seen.camera.at(pose))


@torch.no_grad()
def test_a_token_is_told_what_the_image_token_at_its_place_is_told(model, tiny_config):
    plain = random_model(tiny_config(place_features=True), 4)
    tokens, xyz, patches = torch.randn(4, 20), torch.rand(4, 3), torch.tensor([5, -1, 0, 15])
    added = model.embed_points(tokens, xyz, patches) - plain.embed_points(tokens, xyz, patches)
    pictures = torch.randn(16, 16)
    of_image = model.embed_image(pictures, torch.arange(16)) - model.projector_2d(pictures)
    torch.testing.assert_close(added[[0, 2, 3]], of_image[[5, 0, 15]])
    assert (added[1] == 0).all()
    torch.testing.assert_close(of_image, model.place_2d(window_centres(torch.arange(16), 4)))


def test_the_told_camera_alone_says_which_patch(make_policy, observation, fixed_pruner, model, tiny_config):
    plain = random_model(tiny_config(place_features=True), 4)
    for told, changes in ((model, True), (plain, False)):
        said = [
            make_policy(fixed_pruner(), told, UNSCALED, denoising=Denoising("zero")).act(seen)[0].translation
            for seen in (observation(), pushed(observation()))
        ]
        assert (np.abs(said[0] - said[1]).max() > 1e-4) == changes


@pytest.mark.parametrize("seed", range(5))
@torch.inference_mode()
def test_cropped_equals_full(make_policy, observation, random_masks, fixed_pruner, model, instruction, seed):
    """All tokens are embedded and the chosen kept; with both engines the policy embeds the chosen ones alone."""
    masks, seen = random_masks(seed), pushed(observation(seed), (0.15, 0.15, -0.2))  # some points are out of sight
    inputs = preprocess(seen, TABLETOP, model.config)
    centres = model.vision_tower_3d.centres(inputs.points)
    patches = torch.from_numpy(patch_of_points(centres.xyz.numpy(), seen.camera, model.config.grid))
    assert (patches < 0).any() and (patches >= 0).any()
    everything = KeptTokens(torch.arange(16), torch.arange(16))
    points = model.embed_points(model.vision_tower_3d(inputs.points, centres), centres.xyz, patches)
    image = model.embed_image(model.vision_tower_2d(inputs.image), everything.image)
    sequence = Instruction(model, PromptTokenizer.mini().encode(instruction), 0)
    prefix = sequence.prefix(points, image, model.proprio_embedder(inputs.state[None]), everything)
    chosen = torch.ones(len(prefix), dtype=torch.bool)
    chosen[1:33] = torch.cat([masks.keep_3d, masks.keep_2d])
    sampler, noisy = DdimSampler.with_steps(8), torch.zeros(1, 1, 7)
    suffix = Suffix(model.t_embedder(torch.tensor(sampler.timesteps)), sequence.suffix_positions)
    engine = RecomputeEngine(model.llm, prefix.keep(chosen.nonzero()[:, 0]), suffix)
    for index in range(8):
        noisy = sampler.step(index, noisy, model.predict(engine.run(index, model.x_embedder(noisy)).actions))
    for engine_name in ("cached", "recompute"):
        policy = make_policy(fixed_pruner(masks), model, UNSCALED, engine=engine_name, denoising=Denoising("zero"))
        action, report = policy.act(seen)
        np.testing.assert_array_equal(report.patch_of_point, patches)
        np.testing.assert_allclose(action.translation[0], noisy[0, 0, :3].numpy(), rtol=0, atol=1e-4)


def test_a_higher_table_changes_no_patch(make_policy, observation, fixed_pruner, model):
    seen = observation(2)
    ground, high = (make_policy(fixed_pruner(), model, table_height=height) for height in (0.0, 0.05))
    np.testing.assert_allclose(high.act(seen.above(-0.05))[0].translation, ground.act(seen)[0].translation, atol=1e-4)


def test_it_is_off_by_default_and_needs_places():
    assert not MlaConfig.mini().point_patches and not MlaConfig.mla_7b().point_patches
    with pytest.raises(ValueError, match="point_patches needs place_features"):
        replace(MlaConfig.mla_7b(), point_patches=True)
    with pytest.raises(ValueError, match="point_patches must be true or false"):
        replace(MlaConfig.mini(), point_patches=1)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_of_before_and_act_as_before(name, observation, instruction, monkeypatch):
    """Bit for bit, as with the formula that they were trained with."""
    from safetensors import safe_open

    path = resource("config", "checkpoints", f"{name}.safetensors")
    with safe_open(path, "pt") as file:
        assert "point_patches" not in parse(file.metadata()["config"])

    def actions():
        policy = build_policy(str(path), PruningConfig.paper(), seed=3)
        policy.reset(instruction)
        assert not policy.model.config.point_patches
        return [policy.act(observation(step))[0] for step in range(3)]

    now = actions()
    monkeypatch.setattr(
        Mla, "embed_points", lambda self, tokens, xyz, _: self.projector_3d(tokens) + self.place_3d(xyz)
    )
    for ours, theirs in zip(now, actions(), strict=True):
        for part in ("translation", "rotation", "gripper"):
            np.testing.assert_array_equal(getattr(ours, part), getattr(theirs, part))
