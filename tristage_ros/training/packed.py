"""Many observations at once, and many noisy actions behind each of them, in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tristage_ros.mla.inputs import SequenceLayout
from tristage_ros.mla.llama import Angles, Block, rotary_angles
from tristage_ros.mla.model import Mla
from tristage_ros.training.dataset import Batch

TOKENS = 2  # of a suffix: the diffusion step and the noisy action


class PackedPass:
    """Run the model on a batch, with N suffixes behind every prefix.

    A suffix sees its prefix and itself, so that its prediction is what it would get alone; the prefix sees no suffix.
    Prompts of different lengths are filled up behind the state, where no token that counts can see it. Every visual
    token takes part. Suffixes are [diffusion step, noisy action], as for chunks of one action.
    """

    def __init__(self, model: Mla, bos: int, compiled: bool = False) -> None:
        """Run `model`, whose prompts begin with the token `bos`; `compiled`: its parts go through torch.compile."""
        if model.config.chunk != 1 or model.config.marker_before_state:
            raise ValueError("training is for chunks of one action with the state right behind the prompt")
        self.model, self._bos = model, bos
        parts: tuple[Callable[..., Tensor], ...] = (
            packed_block,
            model.vision_tower_2d.pool,
            model.vision_tower_3d.pool,
        )
        self._block, self._image, self._points = (
            torch.compile(part, dynamic=False) if compiled else part for part in parts
        )

    def __call__(self, batch: Batch, noisy: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict noise or velocity.

        Args:
            batch: B observations.
            noisy: float32 [B, N, action_dim] actions.
            timesteps: long [B, N] their diffusion steps.

        Returns: the predictions, float32 [B, N, action_dim], and the last block's outputs at the state, [B, width],
            and at the prefix, [B, S, width].
        """
        model, (count, suffixes, _) = self.model, noisy.shape
        prefix, state = self._prefix(batch)
        suffix = torch.stack([model.t_embedder(timesteps.flatten()), model.x_embedder(noisy.flatten(0, 1))], 1)
        x = torch.cat([prefix, suffix.view(count, TOKENS * suffixes, -1)], 1)
        length = prefix.shape[1]
        angles = self._angles(length, state, suffixes)
        seen = packed_mask(state, length, suffixes)
        for block in model.llm.layers:
            x = self._block(block, x, angles, seen)
        rows = torch.arange(count, device=x.device)
        return model.predict(x[:, length + 1 :: TOKENS]), x[rows, state], x[:, :length]

    def _prefix(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return embeddings [B, S, width] and the places, long [B], of the states among them."""
        model, config, count = self.model, self.model.config, len(batch)
        everything = torch.arange(config.image_tokens, device=model.device)
        image = self._image(batch.windows).view(count, -1, config.image_width)
        points = self._points(batch.groups).view(count, -1, config.point_width)
        groups = batch.groups
        xyz = groups.points[groups.centres[groups.own]].view(count, -1, 3)
        state = model.proprio_embedder(batch.state)[:, None]
        words = model.llm.embed_tokens(F.pad(batch.prompt, (0, 1)))  # room for the state
        place = torch.arange(words.shape[1], device=model.device) == batch.lengths[:, None]
        tail = torch.where(place[..., None], state.to(words.dtype), words)
        bos = model.llm.embed_tokens(torch.full((count, 1), self._bos, device=model.device))
        tactile = bos.new_zeros(count, int(config.tactile_slot), config.width)
        embedded = [model.embed_points(points, xyz, batch.patches), model.embed_image(image, everything)]
        parts = [bos, *embedded, tactile, tail]
        head = SequenceLayout(1, config)
        return torch.cat([part.to(bos.dtype) for part in parts], 1), head.state + batch.lengths

    def _angles(self, length: int, state: Tensor, suffixes: int) -> Angles:
        """Return rotary angles [B, 1, S + 2 N, half a head]; every suffix stands right behind the state."""
        config = self.model.config
        behind = state[:, None] + torch.arange(1, TOKENS + 1, device=state.device).repeat(suffixes)
        prefix = torch.arange(length, device=state.device).expand(len(state), -1)
        positions = torch.cat([prefix, behind], 1)
        cos, sin = rotary_angles(positions.flatten(), config.width // config.heads)
        return cos.view(*positions.shape, -1)[:, None], sin.view(*positions.shape, -1)[:, None]


def packed_mask(state: Tensor, length: int, suffixes: int) -> Tensor:
    """Return bool [B, S + 2 N, S + 2 N]: which keys a token may see, with states at `state`, long [B]."""
    token = torch.arange(length + TOKENS * suffixes, device=state.device)
    suffix = (token - length).div(TOKENS, rounding_mode="floor")  # negative in the prefix
    causal = token <= token[:, None]
    alone = causal & ((suffix == suffix[:, None]) | (token < length))
    behind = (token >= length)[:, None] & (token < length)
    return alone & (~behind | (token <= state[:, None, None]))


def attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """Return [B, heads, T, head_width] for a mask [B, T, T].

    A CPU multiplies matrices: half of the products are for nothing, and still its fused kernel takes longer.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, seen[:, None])
    count, heads, tokens, width = q.shape
    barred = torch.zeros_like(seen, dtype=q.dtype).masked_fill_(~seen, -math.inf)
    barred = barred[:, None].expand(-1, heads, -1, -1).flatten(0, 1)
    logits = torch.baddbmm(barred, q.flatten(0, 1), k.flatten(0, 1).mT, alpha=width**-0.5)
    return (logits.softmax(-1) @ v.flatten(0, 1)).view(count, heads, tokens, width)


def packed_block(block: Block, x: Tensor, angles: Angles, seen: Tensor) -> Tensor:
    """Run a decoder block on [B, S + 2 N, width]; see `attend`."""
    q, k, v = block.self_attn.project(block.input_layernorm(x), angles)
    x = x + block.self_attn.join(attend(q, k, v, seen))
    out: Tensor = x + block.mlp(block.post_attention_layernorm(x))
    return out
