import torch
import torch.nn.functional as F

from tristage_ros.mla.model import random_model
from tristage_ros.mla.visual_tokens import BATCH_NORM_MOMENTUM, LinearNorm
from tristage_ros.training.dataset import neighbourhoods_of


def layer() -> LinearNorm:
    torch.manual_seed(0)
    built = LinearNorm(3, 5)
    with torch.no_grad():
        built.norm.weight.uniform_(0.5, 2)
        built.norm.bias.normal_()
    return built


def test_in_training_the_batch_norms_itself_and_is_remembered():
    built, x = layer().train(), torch.randn(7, 4, 3) * 3 + 1
    rows = built.linear(x).flatten(0, 1)
    expected = (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + 1e-5).sqrt() * built.norm.weight + built.norm.bias
    torch.testing.assert_close(built(x).flatten(0, 1), expected)
    torch.testing.assert_close(built.norm.running_mean, BATCH_NORM_MOMENTUM * rows.mean(0))
    unbiased = 1 - BATCH_NORM_MOMENTUM + BATCH_NORM_MOMENTUM * rows.var(0)
    torch.testing.assert_close(built.norm.running_var, unbiased)


def test_folded_statistics_are_those_of_training():
    """Where the running statistics have become the batch's, both modes agree."""
    built, x = layer().train(), torch.randn(40, 3)
    rows = built.linear(x)
    with torch.no_grad():
        built.norm.running_mean.copy_(rows.mean(0))
        built.norm.running_var.copy_(rows.var(0, unbiased=False))
        folded = built.eval()(x)
        normed = F.batch_norm(rows, None, None, built.norm.weight, built.norm.bias, True, 0.0, 1e-5)
    torch.testing.assert_close(folded, normed)


def test_clouds_in_a_row_have_the_tokens_of_each(frames, config):
    tokenizer = random_model(config, 1).vision_tower_3d
    some = frames("banana")
    tokens = tokenizer.pool(neighbourhoods_of(some)).unflatten(0, (len(some), -1))
    for cloud, expected in zip(some.points, tokens, strict=True):
        torch.testing.assert_close(tokenizer(cloud, tokenizer.centres(cloud)), expected)
