import dataclasses

import pytest
import torch

from tristage_ros.mla.engines import Suffix, make_engine
from tristage_ros.mla.inputs import Instruction, KeptTokens, preprocess
from tristage_ros.mla.model import random_model
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.perception.camera import patch_of_points
from tristage_ros.training.dataset import Collator, Dataset
from tristage_ros.training.packed import PackedPass, attend, packed_mask
from tristage_ros.training.plan import Plan


@pytest.fixture(params=[False, True], ids=["", "point_patches"])
def model(config, request):
    model = random_model(dataclasses.replace(config, point_patches=request.param), 5)
    generator = torch.Generator().manual_seed(2)
    for name, buffer in model.named_buffers():
        buffer.uniform_(0.5, 2.0, generator=generator) if "var" in name else buffer.normal_(generator=generator)
    return model


@pytest.fixture
def dataset(shards, recipe, config):
    plan = Plan.of(shards, recipe())
    return plan, Dataset(shards, plan.statistics, plan.truths, config)


def of_the_engine(model, observation, statistics, instruction, noisy, timestep):
    """What the policy's own parts predict for one observation and one noisy action."""
    inputs = preprocess(observation, statistics, model.config)
    words = PromptTokenizer.mini()
    told = Instruction(model, words.encode(instruction), words.lone_space)
    centres = model.vision_tower_3d.centres(inputs.points)
    everything = torch.arange(model.config.image_tokens)
    patches = torch.from_numpy(patch_of_points(centres.xyz.numpy(), observation.camera, model.config.grid))
    points = model.embed_points(model.vision_tower_3d(inputs.points, centres), centres.xyz, patches)
    image = model.embed_image(model.vision_tower_2d(inputs.image), everything)
    kept = KeptTokens(torch.arange(model.config.point_tokens), everything)
    prefix = told.prefix(points, image, model.proprio_embedder(inputs.state[None]), kept)
    suffix = Suffix(model.t_embedder(timestep[None]), told.suffix_positions)
    engine = make_engine("cached", model.llm, prefix, suffix)
    return model.predict(engine.run(0, model.x_embedder(noisy[None, None])).actions)[0, 0]


def test_every_prediction_is_the_engines_own(model, dataset, observations, config):
    """Prompts of two lengths in one batch, and several noisy actions behind each."""
    plan, data = dataset
    numbers = [0, 13, 7, 20]  # banana and box in turn
    batch = Collator(config, plan.prompt)([data[n] for n in numbers])
    assert len(set(batch.lengths.tolist())) == 2
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(4, 3, 7, generator=generator)
    steps = torch.randint(0, 100, (4, 3), generator=generator)
    with torch.no_grad():
        predicted, _, _ = PackedPass(model, 1)(batch, noisy, steps)
        for row, number in enumerate(numbers):
            instruction = ("put the banana on the blue plate", "close the box")[number >= 12]
            for n in range(3):
                observation = observations[number % 12]
                alone = of_the_engine(model, observation, plan.statistics, instruction, noisy[row, n], steps[row, n])
                torch.testing.assert_close(predicted[row, n], alone, rtol=1e-4, atol=1e-5)


def test_a_prediction_does_not_depend_on_the_rest_of_the_batch(model, dataset, config):
    plan, data = dataset
    collate = Collator(config, plan.prompt)
    noisy, steps = torch.randn(2, 3, 7), torch.randint(0, 100, (2, 3))
    with torch.no_grad():
        both, states, prefixes = PackedPass(model, 1)(collate([data[3], data[15]]), noisy, steps)
        alone, state, prefix = PackedPass(model, 1)(collate([data[3]]), noisy[:1, :1], steps[:1, :1])
    torch.testing.assert_close(both[:1, :1], alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(states[:1], state, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prefixes[:1, 0], prefix[:, 0], rtol=1e-4, atol=1e-5)


def test_models_that_would_be_trained_otherwise_are_refused(config):
    with pytest.raises(ValueError, match="chunks of one"):
        PackedPass(random_model(dataclasses.replace(config, chunk=2), 0), 1)


def test_a_suffix_sees_its_own_prefix_and_itself():
    """Two prefixes of four tokens, the first with its state in the third place; two suffixes of two tokens each."""
    first, second = packed_mask(torch.tensor([2, 3]), 4, 2).int().tolist()
    assert (
        first[:4]
        == second[:4]
        == [[1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, *[0] * 4], [1, 1, 1, 0, *[0] * 4], [1] * 4 + [0] * 4]
    )
    assert first[4:] == [[1, 1, 1, 0, *own] for own in ([1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1])]
    assert second[4:] == [[1, 1, 1, 1, *own] for own in ([1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1])]


def test_attention_is_that_of_pytorch_and_so_are_its_gradients():
    generator = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(2, 3, 24, 8, generator=generator, requires_grad=True) for _ in range(3))
    seen = packed_mask(torch.tensor([15, 11]), 16, 4)
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, seen[:, None])
    got = attend(q, k, v, seen)
    torch.testing.assert_close(got, wanted)
    weight = torch.randn(got.shape, generator=generator)
    for mine, theirs in zip(*(torch.autograd.grad((o * weight).sum(), (q, k, v)) for o in (got, wanted)), strict=True):
        torch.testing.assert_close(mine, theirs)
