import pytest
import torch

from tristage_ros.mla.engines import PassOutput
from tristage_ros.mla.inputs import Instruction, KeptTokens, salience_of
from tristage_ros.mla.model import random_model
from tristage_ros.pruning import TokenMasks

IDS, LONE_SPACE = [1, 40, 41, 42], 50
POINTS, IMAGE = [1, 3], [0, 2, 15]  # kept of 16 each


@pytest.mark.parametrize(
    ("switches", "text", "tail"),
    [
        ({}, [40, 41, 42], [33, 34, 35, 36, 37]),  # tactile slot, three words, state
        ({"tactile_slot": False}, [40, 41, 42], [33, 34, 35, 36]),
        ({"marker_before_state": True}, [40, 41, 42, 50], [33, 34, 35, 36, 37, 38]),
    ],
)
@torch.inference_mode()
def test_prefix_is_in_order_and_kept_tokens_keep_their_places(tiny_config, switches, text, tail):
    model = random_model(tiny_config(**switches), 0)
    points, image, state = torch.full((2, 32), 2.0), torch.full((3, 32), 3.0), torch.full((1, 32), 4.0)
    instruction = Instruction(model, IDS, LONE_SPACE)
    prefix = instruction.prefix(points, image, state, KeptTokens(torch.tensor(POINTS), torch.tensor(IMAGE)))
    tactile = torch.zeros(int(model.config.tactile_slot), 32)
    expected = [model.llm.embed_tokens.weight[[1]], points, image, tactile, model.llm.embed_tokens.weight[text], state]
    assert torch.equal(prefix.embeddings[0], torch.cat(expected))
    assert prefix.positions.tolist() == [0, 2, 4, 17, 19, 32, *tail]
    assert instruction.suffix_positions.tolist() == [tail[-1] + 1, tail[-1] + 2]


def test_rows_that_remain_when_more_is_dropped():
    wider = KeptTokens(torch.tensor([1, 3, 4]), torch.tensor([0, 2, 15]))
    narrower = KeptTokens(torch.tensor([3]), torch.tensor([0, 15]))
    assert narrower.rows_within(wider, 10).tolist() == [0, 2, 4, 6, 7, 8, 9]


@torch.inference_mode()
def test_salience_goes_to_the_tokens_that_it_was_measured_on(tiny):
    keep_3d, keep_2d = (torch.zeros(16, dtype=torch.bool).index_fill(0, torch.tensor(i), True) for i in (POINTS, IMAGE))
    masks = TokenMasks(keep_2d, keep_3d)
    rows = torch.arange(9.0)  # BOS, two points, three patches, and what follows them
    output = PassOutput(torch.zeros(1, 2, 32), rows[None, :, None].expand(1, 9, 32), rows.expand(2, 9) / 100)
    salience = salience_of(tiny, output, KeptTokens.of(masks, tiny.device), masks, "pre_norm")
    assert salience.feature_3d[POINTS].tolist() == [32, 64]
    assert salience.feature_2d[IMAGE].tolist() == [96, 128, 160]
    torch.testing.assert_close(salience.attention_3d[POINTS], torch.tensor([[0.01, 0.01], [0.02, 0.02]]))
    torch.testing.assert_close(salience.attention_2d[IMAGE, 1], torch.tensor([0.03, 0.04, 0.05]))
    assert int(salience.feature_2d.isnan().sum()) == 13 and int(salience.attention_3d.isnan().sum()) == 28
