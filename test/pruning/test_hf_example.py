"""The example that plugs the pruner into somebody else's decoder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from tristage_ros.pruning import TokenGeometry, TokenMasks

pytest.importorskip("transformers")
FILE = Path(__file__).resolve().parents[2] / "examples" / "01_prune_hf_llama.py"
if not FILE.exists():
    pytest.skip("needs the source tree", allow_module_level=True)


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("prune_hf_llama", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_half_of_the_tokens_are_pruned_after_the_first_step(example) -> None:
    assert example.main(4) == [112, 64, 64, 64]  # half of 112, up to a multiple of 16


@torch.no_grad()
def test_a_dropped_token_has_no_say_and_the_others_keep_their_places(example) -> None:
    model = example.build_decoder()
    everything = TokenMasks.all_kept(TokenGeometry(torch.zeros(48, dtype=torch.long), 64))
    tokens = torch.randn(1, 124, 64, generator=torch.Generator().manual_seed(0))
    full, salience = example.forward(model, tokens, everything)
    torch.testing.assert_close(full, model(inputs_embeds=tokens).last_hidden_state[:, -1])
    assert salience.attention_2d.shape == (64, 4) and salience.feature_3d.isfinite().all()
    some = TokenMasks(torch.arange(64) % 3 == 0, torch.arange(48) < 20)
    pruned, seen = example.forward(model, tokens, some)
    repainted = tokens.clone()
    repainted[:, :112][:, ~torch.cat([some.keep_2d, some.keep_3d])] = 9.0
    torch.testing.assert_close(example.forward(model, repainted, some)[0], pruned)
    assert not torch.allclose(pruned, full)
    assert torch.equal(seen.feature_2d.isnan(), ~some.keep_2d)


def test_it_is_short() -> None:
    assert len(FILE.read_text(encoding="utf-8").splitlines()) < 60
