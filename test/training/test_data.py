import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.values import Action
from tristage_ros.perception.camera import patch_of_points
from tristage_ros.resources import resource
from tristage_ros.training.collection import Disturbance, ShardJob, write
from tristage_ros.training.dataset import Dataset
from tristage_ros.training.frames import FrameEncoder, Frames, ShardError, ShardFacts, read_shard, write_shard
from tristage_ros.training.plan import Plan, dataset_statistics
from tristage_ros.training.recipe import Recipe

FILE = resource("config", "training.yaml")


def test_a_file_holds_what_was_written(frames, tmp_path):
    some, facts = frames("banana"), ShardFacts("banana", "put it", ("x", "yaw"), 4, 3)
    write_shard(tmp_path / "a.safetensors", some, facts)
    read, same = read_shard(tmp_path / "a.safetensors")
    assert same == facts and len(read) == len(some)
    torch.testing.assert_close(read.tensors(), some.tensors(), rtol=0, atol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"half a file")
    with pytest.raises(ShardError, match="delete it"):
        read_shard(tmp_path / "a.safetensors")


def test_models_whose_inputs_change_from_step_to_step_are_refused(config):
    with pytest.raises(ValueError, match="fps_start"):
        FrameEncoder(type(config).from_dict(config.to_dict() | {"fps_start": "random"}))


def test_statistics_cover_the_data_and_take_angles_around_the_downward_tool(frames):
    some = frames("banana")
    some.state[0, 3], some.state[0, 5] = -math.pi + 0.1, 2.5 - 2 * math.pi  # as atan2 gives them
    statistics = dataset_statistics([some], (0.0, 1.0), 0.0)
    assert statistics.proprio.q99[3] == pytest.approx(max(math.pi + 0.1, float(some.state[1:, 3].max())), abs=1e-5)
    assert statistics.proprio.q01[5] > 1.9
    assert (statistics.action.q01[6], statistics.action.q99[6], statistics.action.mask[6]) == (0.0, 1.0, False)
    normalised = statistics.normalise_actions(some.action.numpy())
    back = statistics.denormalise_action(normalised)
    np.testing.assert_allclose(back.translation, some.action[:, :3], atol=1e-5)
    np.testing.assert_allclose(back.rotation, some.action[:, 3:6], atol=1e-5)
    np.testing.assert_array_equal(back.gripper, some.action[:, 6])


def test_truths_are_normalised_task_by_task(shards, recipe, tmp_path):
    plan = Plan.of(shards, recipe())
    plan.save(tmp_path / "plan.json")
    loaded = Plan.load(tmp_path / "plan.json")
    assert loaded.statistics == plan.statistics and loaded.prompt == plan.prompt
    assert loaded.truths.width == 4  # x, and a yaw as cosine and sine; an angle
    for path, columns in zip(shards, (slice(0, 3), slice(3, 4)), strict=True):
        normalised = loaded.truths(*read_shard(path))
        own, others = normalised[:, columns], normalised.isnan().sum(1)
        torch.testing.assert_close(own.mean(0), torch.zeros(own.shape[1]), rtol=0, atol=1e-5)
        torch.testing.assert_close(own.std(0), torch.ones(own.shape[1]))
        assert others.tolist() == [4 - own.shape[1]] * len(normalised)


def test_the_share_of_disturbed_moves_is_the_recipes(recipe):
    move = Action(np.zeros((1, 3)), np.full((1, 3), 3.0), np.ones(1))
    settings = recipe().demonstrations
    moves = [Disturbance(settings, seed)(None, move) for seed in range(3000)]
    changed = [m for m in moves if m is not move]
    assert len(changed) / len(moves) == pytest.approx(settings.noisy * settings.disturbed, abs=0.03)
    spread = np.std([m.translation[0] for m in changed], axis=0)
    np.testing.assert_allclose(spread, settings.translation, rtol=0.1)
    assert np.std([m.rotation[0, 2] for m in changed]) == pytest.approx(settings.yaw, rel=0.1)
    assert np.mean([m.gripper[0] == 0 for m in changed]) == pytest.approx(settings.flip, abs=0.02)
    again = Disturbance(settings, 7)(None, move)
    np.testing.assert_array_equal(again.translation, moves[7].translation)


def test_frames_are_joined_in_order(frames):
    some = frames("box")
    assert Frames.join([some, some]).episode.tolist() == some.episode.tolist() * 2


def test_far_key_frames_are_drawn_more_often(shards, recipe, config):
    plan = Plan.of(shards, recipe())
    data = Dataset(shards, plan.statistics, plan.truths, config, emphasis=3.0)
    near = torch.stack([data[n].frame.action[0, :3].norm() for n in range(len(data))])
    expected = 1 + 3 * (near / 0.1).clamp_max(1)
    drawn = [int(s.frame.episode) for s in data.draw(20_000, torch.Generator().manual_seed(0))]
    share = np.bincount(drawn, minlength=12) / 20_000
    expected = expected.view(2, 12).sum(0) / expected.sum()
    np.testing.assert_allclose(share, expected, atol=0.01)


def test_frames_whose_tensors_do_not_belong_together_are_refused(frames, tmp_path):
    some, facts, path = frames("banana"), ShardFacts("banana", "put it", ("x", "yaw"), 4, 3), tmp_path / "a.safetensors"
    for changes, name in (({"state": some.state[:, :6]}, "state"), ({"own": some.own + 9999}, "own")):
        write_shard(path, replace(some, **changes), facts)
        with pytest.raises(ShardError, match=f"{name} .*delete it"):
            read_shard(path)
    write_shard(path, some, replace(facts, truth_names=("x",)))
    with pytest.raises(ShardError, match="truth"):
        read_shard(path)


def test_files_without_a_camera_are_told_as_older_ones(frames, tmp_path):
    path = tmp_path / "a.safetensors"
    write_shard(path, frames("banana"), ShardFacts("banana", "put it", ("x", "yaw"), 4, 3))
    path.write_bytes(path.read_bytes().replace(b"tristage-frames-2", b"tristage-frames-1"))
    with pytest.raises(
        ShardError, match=r"a\.safetensors is of an older version.*camera.*they are made again"
    ) as error:
        read_shard(path)
    assert "\n" not in str(error.value)


def test_a_frame_stores_what_its_own_camera_sees_of_the_tokens(frames, observations, config):
    some = frames("banana")
    for row, seen in enumerate(observations):
        xyz = some.points[row][some.centres[row].long()][some.own[row].long()]
        expected = patch_of_points(xyz.numpy(), seen.camera, config.grid)
        np.testing.assert_array_equal(some.patches[row], expected)
    assert (some.patches >= 0).any() and (some.patches < 0).any()
    assert len(some.projection.unique(dim=0)) == len(some)


def test_patches_of_another_grid_are_refused(frames, shards, recipe, config):
    plan = Plan.of(shards, recipe())
    some, facts = read_shard(shards[0])
    for beyond in (config.image_tokens, -2):
        write_shard(shards[0], replace(some, patches=torch.full_like(some.patches, beyond)), facts)
        with pytest.raises(ShardError, match="of another model: it has patches beyond 15"):
            Dataset(shards, plan.statistics, plan.truths, config)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"statistics": 1, "truths": 2, "prompt": 3}', "[" * 5000])
def test_a_damaged_plan_is_named(text, tmp_path):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ValueError, match=r"plan\.json is damaged"):
        Plan.load(tmp_path / "plan.json")


@pytest.mark.parametrize(("share", "apart"), [(0.0, 1), (0.5, 4), (1.0, 4)])
def test_a_share_of_the_episodes_is_seen_from_anywhere(tmp_path, share, apart):
    settings = Recipe.load(FILE).demonstrations
    write(ShardJob(tmp_path / "a", "stack", 1, 4, MlaConfig.mini(), settings, share, "looks"))
    seen, _ = read_shard(tmp_path / "a")
    assert len(torch.unique(seen.projection, dim=0)) == apart  # of 1 to 4 the seed leaves one where it was
