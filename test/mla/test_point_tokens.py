import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.mla.model import Mla, random_model
from tristage_ros.mla.visual_tokens import PointTokenizer, coarse_square_distance, farthest_points, position_encoding


def plain_farthest(points: torch.Tensor, count: int, start: int = 0) -> list[int]:
    chosen, distance = [start], torch.full((len(points),), 1e10)
    while len(chosen) < count:
        distance = torch.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(distance.argmax()))
    return chosen


def normed(layer, x):
    norm, bias = layer.norm, 0 if layer.linear.bias is None else layer.linear.bias
    x = layer.linear.weight @ x + bias
    return (x - norm.running_mean) / torch.sqrt(norm.running_var + 1e-5) * norm.weight + norm.bias


def reference(tokenizer: PointTokenizer, points: torch.Tensor, starts: tuple[int, int]) -> torch.Tensor:
    """Tokenise group by group and point by point."""
    xyz, features = list(points), [torch.relu(normed(tokenizer.raw_point_embed, p)) for p in points]
    for count, stage, start in zip(tokenizer.groups, tokenizer.stages, starts, strict=True):
        centres = plain_farthest(torch.stack(xyz).float(), count, start)
        grouped = []
        for centre in centres:
            near = sorted(range(len(xyz)), key=lambda i: float(((xyz[i] - xyz[centre]) ** 2).sum()))
            near = near[: tokenizer.neighbours]
            relative = torch.stack([xyz[i] - xyz[centre] for i in near])
            relative = relative / relative.abs().max(0).values.clamp_min(1e-6)
            rows = []
            for i, place in zip(near, relative, strict=True):
                x = torch.cat([features[i], features[centre]]) + plain_encoding(place, stage.width)
                for block in stage.linear2:
                    x = torch.relu(x + normed(block.net2, torch.relu(normed(block.net1, x))))
                rows.append(x)
            grouped.append(torch.stack(rows).max(0).values)
        xyz, features = [xyz[c] for c in centres], grouped
    return torch.stack([tokenizer.proj.weight @ f + tokenizer.proj.bias for f in features])


def plain_encoding(place: torch.Tensor, width: int) -> torch.Tensor:
    count = width // 6
    angles = [[100 * float(c) / 1000 ** (j / count) for j in range(count)] for c in place]
    parts = [f(a) for axis in angles for f in (math.sin, math.cos) for a in axis]
    return torch.tensor(parts, dtype=torch.float64)


@pytest.fixture
def tokenizer(tiny: Mla) -> PointTokenizer:
    tokenizer = copy.deepcopy(tiny.vision_tower_3d).double()
    generator = torch.Generator().manual_seed(2)
    for name, buffer in tokenizer.named_buffers():  # statistics that folding would get wrong if it ignored them
        buffer.uniform_(0.5, 2.0, generator=generator) if "var" in name else buffer.normal_(generator=generator)
    return tokenizer


@pytest.fixture
def points() -> torch.Tensor:
    return torch.rand(64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_position_encoding():
    encoded = position_encoding(torch.tensor([0.5, -0.25, 1.0], dtype=torch.float64), 192)
    expected = [-0.26237, 0.52149, 0.06201, 0.96497, -0.85326, 0.99808, 0.13235, 0.9912, -0.50637, 0.99231]
    assert encoded[[0, 1, 31, 32, 33, 63, 64, 96, 128, 191]].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("starts", [(0, 0), (41, 0), (7, 30)])
def test_tokens_are_those_of_the_plain_formula(tokenizer, points, starts):
    with torch.no_grad():
        centres = tokenizer.centres(points, starts)
        torch.testing.assert_close(tokenizer(points, centres), reference(tokenizer, points, starts))
    first = points[plain_farthest(points.float(), 32, starts[0])]
    assert centres.xyz.tolist() == first[plain_farthest(first.float(), 16, starts[1])].tolist()


@pytest.mark.parametrize("different", [64, 5, 1])
def test_a_choice_from_a_choice_is_its_beginning(tokenizer, points, different):
    """So that the second stage's centres need not be looked for; also where points are repeated."""
    points = points[torch.arange(64) % different].float()
    lower = farthest_points(points, 32)
    upper = lower[farthest_points(points[lower], 16)]
    assert torch.equal(points[upper], points[lower[:16]]) and torch.equal(tokenizer.centres(points).xyz, points[upper])


@pytest.mark.parametrize("keep", [[0], [3, 4, 9, 15], []])
def test_kept_tokens_are_the_same(tokenizer, points, keep):
    with torch.no_grad():
        centres = tokenizer.centres(points)
        everything, kept = tokenizer(points, centres), tokenizer(points, centres, torch.tensor(keep, dtype=torch.long))
    torch.testing.assert_close(kept, everything[keep])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), size=st.integers(20, 200))
def test_every_next_point_is_the_farthest_from_those_before(seed, size):
    points = torch.rand(size, 3, generator=torch.Generator().manual_seed(seed))
    chosen = farthest_points(points, 20).tolist()
    assert chosen[0] == 0
    assert len(set(chosen)) == 20
    distances = torch.cdist(points.double(), points.double())
    for count in range(1, 20):
        nearest = distances[chosen[:count]].amin(0)
        assert nearest[chosen[count]] >= nearest.max() - 1e-6  # two as far as each other are told apart by rounding


def test_coarse_distances_are_rounded_after_every_sum():
    queries, points = torch.tensor([[1.0, 2.0, 0.7]]), torch.tensor([[1.0, 2.0, 0.7], [0.1, 0.3, 0.9]])

    def rounded(value: float) -> float:
        return float(torch.tensor(value).bfloat16())

    expected = []
    for point in points.tolist():
        product = rounded(sum(rounded(a) * rounded(b) for a, b in zip(queries[0].tolist(), point, strict=True)))
        partial = rounded(-2 * product + float(queries[0].square().sum()))
        expected.append(rounded(partial + sum(p * p for p in point)))
    distances = coarse_square_distance(queries, points)
    assert distances.dtype == torch.bfloat16 and distances[0].tolist() == expected


def test_coarse_distances_choose_other_neighbours(tiny_config):
    points = torch.rand(64, 3, generator=torch.Generator().manual_seed(0)) + 3  # far from the origin: digits are lost
    tokens = []
    for knn in ("float32", "bfloat16"):
        tokenizer = random_model(tiny_config(knn=knn), 3).vision_tower_3d
        tokens.append(tokenizer(points, tokenizer.centres(points)))
    assert not torch.allclose(*tokens)


def test_repeated_points_are_no_trouble(tokenizer, points):
    repeated = points[torch.arange(64) % 5]
    with torch.no_grad():
        tokens = tokenizer(repeated, tokenizer.centres(repeated))
    assert tokens.isfinite().all()
