import pytest

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.inputs import SequenceLayout


@pytest.mark.parametrize(
    ("switches", "state", "action", "length"),
    [
        ({}, 529, 531, 533),
        ({"marker_before_state": True}, 530, 532, 534),
        ({"tactile_slot": False}, 528, 530, 532),
        ({"chunk": 4}, 529, 531, 536),
    ],
)
def test_positions_behind_a_prompt_of_16_tokens(switches, state, action, length):
    layout = SequenceLayout(16, MlaConfig(**switches))
    assert (layout.points, layout.image, layout.text) == (1, 257, 513)
    assert (layout.state, layout.time, layout.action, layout.length) == (state, state + 1, action, length)


def test_a_prompt_that_is_too_long_is_refused(tiny_config):
    SequenceLayout(95, tiny_config(max_positions=132))
    with pytest.raises(ValueError, match="96 tokens"):
        SequenceLayout(96, tiny_config(max_positions=132))
