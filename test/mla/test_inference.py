import copy

import torch

from tristage_ros.mla.inference import settle
from tristage_ros.mla.model import Mla
from tristage_ros.mla.visual_tokens import LinearNorm


@torch.no_grad()
def test_a_settled_model_computes_the_same(tiny: Mla) -> None:
    model = copy.deepcopy(tiny)
    generator = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():  # statistics that folding would get wrong if it ignored them
        buffer.uniform_(0.5, 2.0, generator=generator) if "var" in name else buffer.normal_(generator=generator)
    settled = settle(copy.deepcopy(model))
    assert not any(isinstance(module, LinearNorm) for module in settled.modules())
    assert settled.llm.layers[0].mlp.down_proj.weight.stride(0) == 1
    points = torch.rand(64, 3, generator=generator)
    x, positions = torch.randn(1, 9, 32, generator=generator), torch.arange(9)
    image = torch.randint(256, (24, 24, 3), generator=generator, dtype=torch.uint8)
    computed = []
    for each in (model, settled):
        points_of = each.vision_tower_3d
        tokens = points_of(points, points_of.centres(points))
        computed.append((tokens, each.vision_tower_2d(image), each.llm(x, positions)[0]))
    for before, after in zip(*computed, strict=True):
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
