"""Prune the visual tokens of a stock Hugging Face LLaMA decoder, step after step. Random weights, no download."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaModel

from tristage_ros.pruning import PruningConfig, Salience, TokenGeometry, TokenMasks, TriStagePruner

PATCHES, POINTS, TEXT, WIDTH = 64, 48, 12, 64  # sequence: 2D tokens, 3D tokens, text


def build_decoder() -> LlamaModel:
    """Return a small decoder; eager attention, because the pruner looks at the weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=WIDTH, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, vocab_size=128,
        attn_implementation="eager",
    )  # fmt: skip
    return LlamaModel(config).eval()


def forward(model: LlamaModel, tokens: torch.Tensor, masks: TokenMasks) -> tuple[torch.Tensor, Salience]:
    """Run the kept tokens of [1, S, WIDTH] at their own positions; return the last token's output and the salience."""
    keep = torch.cat([masks.keep_2d, masks.keep_3d, torch.ones(TEXT, dtype=torch.bool)])
    positions = keep.nonzero().T
    out = model(inputs_embeds=tokens[:, keep], position_ids=positions, output_attentions=True)
    visual = int(masks.keep_2d.sum() + masks.keep_3d.sum())
    attention = torch.stack(out.attentions).mean(0)[0, :, -1, :visual].T  # of the last token: (visual, heads)
    feature = out.last_hidden_state[0, :visual].abs().sum(-1)

    def spread(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        full = values.new_full((PATCHES + POINTS, *values.shape[1:]), torch.nan)
        full[keep[: PATCHES + POINTS]] = values
        return full[:PATCHES], full[PATCHES:]

    return out.last_hidden_state[:, -1], Salience(*spread(feature), *spread(attention))


@torch.no_grad()
def main(steps: int = 6) -> list[int]:
    """Run control steps on a slowly changing scene; return how many visual tokens each of them ran on."""
    model, pruner = build_decoder(), TriStagePruner(PruningConfig(target_rate=0.5))
    geometry = TokenGeometry(torch.randint(0, PATCHES, (POINTS,)), PATCHES)  # the patch every 3D token falls into
    tokens, kept = torch.randn(1, PATCHES + POINTS + TEXT, WIDTH), []
    for step in range(steps):
        masks = pruner.plan(geometry)
        _, salience = forward(model, tokens, masks)
        pruner.observe(geometry, masks, salience)
        kept.append(int(masks.keep_2d.sum() + masks.keep_3d.sum()))
        print(f"step {step + 1}: ran on {kept[-1]} of {PATCHES + POINTS} visual tokens")
        tokens = tokens + 0.05 * torch.randn_like(tokens)
    return kept


if __name__ == "__main__":
    main()
