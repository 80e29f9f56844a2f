"""Embeddings in their order: the prefix of a control step, and the suffix of every denoising pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tristage_ros.mla.engine import PassOutput, Prefix
from tristage_ros.mla.layout import SequenceLayout
from tristage_ros.mla.model import Mla
from tristage_ros.mla.transfer import to_device
from tristage_ros.pruning.values import LayerAttention, Salience, TokenMasks


@dataclass(frozen=True)
class KeptTokens:
    """List the visual tokens that a step embeds, on the model's device."""

    points: Tensor  # long [n3] ascending
    image: Tensor  # long [n2] ascending

    @classmethod
    def of(cls, masks: TokenMasks, device: torch.device) -> KeptTokens:
        """Return the tokens that `masks` keep."""
        return cls(*(to_device(keep.nonzero()[:, 0], device) for keep in (masks.keep_3d, masks.keep_2d)))

    def rows_within(self, wider: KeptTokens, length: int) -> Tensor:
        """Return the rows, long, that remain of a prefix of `length` tokens over `wider` when only these are kept."""
        stay = torch.ones(length, dtype=torch.bool, device=self.image.device)
        points, image = len(wider.points), len(wider.image)
        stay[1 : 1 + points] = torch.isin(wider.points, self.points)
        stay[1 + points : 1 + points + image] = torch.isin(wider.image, self.image)
        return stay.nonzero()[:, 0]


class Instruction:
    """Embed what an instruction fixes: the text, and where everything stands."""

    def __init__(self, model: Mla, ids: list[int], lone_space: int) -> None:
        """Look the prompt's ids up; BOS comes first."""
        self.layout = SequenceLayout(len(ids), model.config)
        device = model.device
        embedded = model.llm.embed_tokens(torch.tensor([*ids, lone_space], device=device))
        self._bos, self._text = embedded[:1], embedded[1 : len(ids) + model.config.marker_before_state]
        self._tactile = embedded.new_zeros(int(model.config.tactile_slot), embedded.shape[1])
        self._tail = torch.arange(self.layout.text, self.layout.time, device=device)
        self.suffix_positions = torch.arange(self.layout.time, self.layout.length - 1, device=device)

    def prefix(self, points: Tensor, image: Tensor, state: Tensor, kept: KeptTokens) -> Prefix:
        """Join the embeddings [n3, width], [n2, width] and [1, width]; kept tokens keep their places."""
        embeddings = torch.cat([self._bos, points, image, self._tactile, self._text, state])[None]
        layout = self.layout
        positions = [self._tail.new_zeros(1), layout.points + kept.points, layout.image + kept.image, self._tail]
        return Prefix(embeddings, torch.cat(positions))


def suffix_embeddings(model: Mla, times: Tensor, noisy: Tensor) -> Tensor:
    """Return [1, n * (1 + chunk), width] from diffusion steps [n, width] and noisy actions [n, chunk, action_dim]."""
    return torch.cat([times[:, None], model.x_embedder(noisy)], 1).flatten(0, 1)[None]


def salience_of(model: Mla, output: PassOutput, kept: KeptTokens, masks: TokenMasks, feature: str) -> Salience:
    """Return what an observed pass showed of the visual tokens, on the CPU.

    `feature` says whose L1 norm stage 1 compares: the last block's output (`pre_norm`) or its logits (`lm_head`).
    """
    if output.attention is None:
        raise ValueError("the pass was not observed")
    points, visual = len(kept.points), len(kept.points) + len(kept.image)
    hidden = output.prefix[0, 1 : 1 + visual]
    if feature == "lm_head":
        hidden = model.llm.lm_head(model.llm.norm(hidden))
    magnitude = hidden.float().abs().sum(-1).cpu()
    attention = output.attention[:, 1 : 1 + visual].T.cpu()
    return Salience(
        _spread(magnitude[points:], masks.keep_2d),
        _spread(magnitude[:points], masks.keep_3d),
        _spread(attention[points:], masks.keep_2d),
        _spread(attention[:points], masks.keep_3d),
    )


def layer_attention_of(prefix: Prefix, attention: Tensor, kept: KeptTokens, masks: TokenMasks) -> LayerAttention:
    """Return what a layer shows of the visual tokens, on the CPU, from the attention, [heads, S], of its prefix."""
    points, visual = len(kept.points), len(kept.points) + len(kept.image)
    received = attention[:, 1 : 1 + visual].T.cpu()
    embedded = prefix.embeddings[0, 1 : 1 + visual].float().cpu()
    return LayerAttention(
        _spread(received[points:], masks.keep_2d),
        _spread(received[:points], masks.keep_3d),
        _spread(embedded[points:], masks.keep_2d),
        _spread(embedded[:points], masks.keep_3d),
    )


def _spread(values: Tensor, keep: Tensor) -> Tensor:
    """Put the rows of the kept tokens in their places among all, NaN elsewhere."""
    full = values.new_full((len(keep), *values.shape[1:]), torch.nan)
    full[keep] = values
    return full
