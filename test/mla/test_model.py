import pytest
import torch

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.model import Mla


@pytest.fixture(scope="module")
def mla_7b() -> Mla:
    with torch.device("meta"):
        return Mla(MlaConfig.mla_7b())


@pytest.mark.parametrize(
    ("part", "parameters"),
    [
        ("llm", 6_738_939_904),
        ("vision_tower_2d", 4_801_536),  # patches, and the local attention
        ("vision_tower_3d", 520_800),
        ("projector_2d", 20_979_712),
        ("projector_3d", 19_931_136),
        ("proprio_embedder", 16_814_080),
        ("x_embedder", 16_814_080),
        ("t_embedder", 17_833_984),
        ("final_layer", 16_814_087),
    ],
)
def test_the_7b_has_the_released_sizes(mla_7b, part, parameters):
    assert sum(p.numel() for p in getattr(mla_7b, part).parameters()) == parameters


def test_the_mini_is_small():
    with torch.device("meta"):
        assert sum(p.numel() for p in Mla(MlaConfig.mini()).parameters()) < 3_000_000
