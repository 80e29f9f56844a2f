import copy
import math

import pytest
import torch

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.model import Mla
from tristage_ros.mla.visual_tokens import CLIP_MEAN, CLIP_STD, ImageTokenizer


def normed(x, norm):
    return (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + 1e-5) * norm.weight + norm.bias


def reference(tokenizer: ImageTokenizer, image: torch.Tensor, config: MlaConfig) -> torch.Tensor:
    """Tokenise with a convolution over the whole image and one softmax per window and head."""
    mean, std = (torch.tensor(c, dtype=torch.float64)[:, None, None] for c in (CLIP_MEAN, CLIP_STD))
    pixels = (image.permute(2, 0, 1).double() / 255 - mean) / std
    patches = torch.conv2d(pixels[None], tokenizer.patch_embedding.weight, stride=config.patch_size)[0]
    attention, width, head = tokenizer.local_attention, config.image_width, config.image_width // config.image_heads
    tokens = []
    for row in range(config.grid):
        for column in range(config.grid):
            window = [patches[:, 3 * row + i, 3 * column + j] for i in range(3) for j in range(3)]
            pooled = sum(window) / 9
            query = attention.q[1].weight @ normed(pooled, attention.q[0])
            pairs = [attention.kv[1].weight @ normed(patch, attention.kv[0]) for patch in window]
            mixed = []
            for start in range(0, width, head):
                part = slice(start, start + head)
                weights = [math.exp(float(query[part] @ pair[:width][part]) / math.sqrt(width)) for pair in pairs]
                mixed.append(sum(w * pair[width:][part] for w, pair in zip(weights, pairs, strict=True)) / sum(weights))
            tokens.append(pooled + attention.proj.weight @ torch.cat(mixed) + attention.proj.bias)
    return torch.stack(tokens)


@pytest.fixture
def tokenizer(tiny: Mla) -> ImageTokenizer:
    return copy.deepcopy(tiny.vision_tower_2d).double()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randint(0, 256, (24, 24, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_tokens_are_those_of_the_plain_formula(tokenizer, image, tiny):
    with torch.no_grad():
        torch.testing.assert_close(tokenizer(image), reference(tokenizer, image, tiny.config), rtol=1e-5, atol=1e-6)


def test_kept_tokens_are_the_same_and_see_nothing_else(tokenizer, image):
    keep = torch.tensor([0, 5, 6, 15])
    blank = torch.zeros_like(image)
    for token in keep.tolist():
        rows, columns = slice(token // 4 * 6, token // 4 * 6 + 6), slice(token % 4 * 6, token % 4 * 6 + 6)
        blank[rows, columns] = image[rows, columns]
    with torch.no_grad():
        torch.testing.assert_close(tokenizer(blank, keep), tokenizer(image)[keep])
