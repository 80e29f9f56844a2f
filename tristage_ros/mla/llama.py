"""The LLaMA decoder with a cache of keys and values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tristage_ros.mla.config import MlaConfig

ROPE_THETA = 1e4

Angles: TypeAlias = tuple[Tensor, Tensor]  # cosines and signed sines, each [S, head_width]
Remember: TypeAlias = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]  # q, k, v -> k, v to attend to


class RmsNorm(nn.Module):
    """Scale every vector to unit root mean square, in float32 (arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        """Build for vectors of `width` channels; `eps` is added to the mean square."""
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape and dtype."""
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)  # the weight costs nothing here: not folded away


class JointLinear(nn.Linear):
    """Apply several linear layers without bias to the same input at once.

    Checkpoints know each by its own name, as the released ones do: `names`, beside this module.
    """

    def __init__(self, inputs: int, outputs: int, names: Sequence[str]) -> None:
        """Build a layer to `outputs` channels for each of `names`."""
        super().__init__(inputs, outputs * len(names), bias=False)
        self.names = names

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        weight = self.weight if keep_vars else self.weight.detach()
        destination |= dict(zip(self.keys(prefix), weight.chunk(len(self.names)), strict=True))

    def keys(self, prefix: str) -> list[str]:
        """Return what the joined layers are called in a checkpoint, below `prefix`."""
        parent = prefix.rstrip(".").rpartition(".")[0]
        return [f"{parent}.{name}.weight".lstrip(".") for name in self.names]

    @staticmethod
    def join(parent: nn.Module, state_dict: dict[str, Any], prefix: str, *unused: object) -> None:
        """Join what is about to be loaded into the joint layers of `parent`; to be registered as its hook."""
        for name, layer in parent.named_children():
            if isinstance(layer, JointLinear):
                keys = layer.keys(f"{prefix}{name}.")
                if all(key in state_dict for key in keys):
                    state_dict[f"{prefix}{name}.weight"] = torch.cat([state_dict.pop(key) for key in keys])


def rotary_angles(positions: Tensor, head_width: int) -> Angles:
    """Return what `rotate` takes, each float32 [S, head_width], for long [S] positions (arXiv 2104.09864)."""
    exponent = torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float32) / head_width
    angle = positions[:, None].float() * ROPE_THETA**-exponent
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def rotate(x: Tensor, angles: Angles) -> Tensor:
    """Rotate the two halves of every head against each other, [..., S, head_width]."""
    cos, sin = (a.to(x.dtype) for a in angles)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class KvCache:
    """Hold the rotated keys and the values of a prefix, and of what changes from pass to pass in front of them.

    Places do not say what a token sees: what is in front came later, and sees the prefix. The passes' tokens are right
    in front of it, so that what a single one sees lies in a row.
    """

    def __init__(self, config: MlaConfig, front: int, prefix: int, like: Tensor) -> None:
        """Reserve `front + prefix` places on the device and in the dtype of `like`."""
        self.front, self.prefix = front, prefix
        shape = (config.layers, 1, config.heads, front + prefix, config.width // config.heads)
        self.store = like.new_empty(2, *shape)  # (key and value, layers, 1, heads, S, head_width)
        self.queries = like.new_empty(*shape[:3], front, shape[-1])  # of what is in front

    def writer(self, start: int, count: int, queries: bool = True) -> Callable[..., tuple[Tensor, Tensor]]:
        """Return what takes queries, keys and values of `count` tokens, [1, heads, count, head_width], layer by layer.

        It puts them at place `start`, and returns all keys and values from there on. `queries`: whether it keeps those
        of what is in front.
        """
        kept = [part.unbind() for part in self.store[..., start : self.front + self.prefix, :]]
        slots = [part.unbind() for part in self.store[..., start : start + count, :]]
        asked = self.queries[..., start : start + count, :].unbind() if queries and start < self.front else ()

        def write(layer: int, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            slots[0][layer].copy_(key)
            slots[1][layer].copy_(value)
            if asked:
                asked[layer].copy_(query[:, :, : self.front - start])
            return kept[0][layer], kept[1][layer]

        return write

    def keep(self, rows: Tensor) -> None:
        """Forget every token of the prefix but `rows`, long [n]."""
        front = torch.arange(self.front, device=rows.device)
        self.store = self.store.index_select(4, torch.cat([front, self.front + rows]))
        self.prefix = len(rows)


def causal_mask(queries: int, keys: int, device: torch.device) -> Tensor:
    """Return bool [queries, keys]: which of the keys the last `queries` tokens may see."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def attention_received(query: Tensor, key: Tensor, seen: Tensor | None = None) -> Tensor:
    """Return the softmax weights of some tokens' queries, [..., n, head_width], over keys [..., S, head_width].

    `seen`, bool [n, S], says which keys they may see; None: all.
    """
    score = query.float() @ key.float().transpose(-1, -2) / math.sqrt(query.shape[-1])
    return (score if seen is None else score.masked_fill_(~seen, -torch.inf)).softmax(-1)


def attend(query: Tensor, key: Tensor, value: Tensor, front: int = 0, seen: Tensor | None = None) -> Tensor:
    """Return what tokens attend to, [1, heads, n, head_width], the first `front` as told and the others causally.

    `seen`, bool [front, S], says which keys those in front see; None: all. The others' keys are the last ones.
    """
    told = F.scaled_dot_product_attention(query[:, :, :front], key, value, seen) if front else query[:, :, :0]
    rest = query.shape[2] - front
    if not rest:
        return told
    own = key[:, :, -rest:], value[:, :, -rest:]
    causal = F.scaled_dot_product_attention(query[:, :, front:], *own, is_causal=True)
    return torch.cat([told, causal], 2) if front else causal


class Attention(nn.Module):
    """Attend causally, all heads with keys and values of their own."""

    def __init__(self, config: MlaConfig) -> None:
        """Build for `config`."""
        super().__init__()
        self.heads = config.heads
        self.qkv = JointLinear(config.width, config.width, ("q_proj", "k_proj", "v_proj"))
        self.register_load_state_dict_pre_hook(JointLinear.join)  # type: ignore[no-untyped-call]
        self.o_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, angles: Angles, remember: Remember, front: int, seen: Tensor | None) -> Tensor:
        """Return [1, S, width]; see `Llama.run`."""
        q, k, v = self.project(x, angles)
        return self.join(attend(q, *remember(q, k, v), front, seen))

    def project(self, x: Tensor, angles: Angles) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated queries, rotated keys, and values of [B, S, width], each [B, heads, S, head_width]."""
        heads, joint = (
            self.heads,
            F.linear(x, self.qkv.weight).view(len(x), x.shape[1], 3 * self.heads, -1).transpose(1, 2),
        )
        q, k = rotate(joint[:, : 2 * heads], angles).chunk(2, 1)
        return q, k, joint[:, 2 * heads :]

    def join(self, attended: Tensor) -> Tensor:
        """Return [B, S, width] from what every head attended to, [B, heads, S, head_width]."""
        return F.linear(attended.transpose(1, 2).flatten(2), self.o_proj.weight)


class GatedMlp(nn.Module):
    """Apply SwiGLU to every token (arXiv 2002.05202)."""

    def __init__(self, config: MlaConfig) -> None:
        """Build for `config`."""
        super().__init__()
        self.gate_up = JointLinear(config.width, config.ffn_width, ("gate_proj", "up_proj"))
        self.register_load_state_dict_pre_hook(JointLinear.join)  # type: ignore[no-untyped-call]
        self.down_proj = nn.Linear(config.ffn_width, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        gate, up = F.linear(x, self.gate_up.weight).chunk(2, -1)
        return F.linear(F.silu(gate) * up, self.down_proj.weight)


class Block(nn.Module):
    """Chain attention and MLP, each normed before and added after."""

    def __init__(self, config: MlaConfig) -> None:
        """Build for `config`."""
        super().__init__()
        self.input_layernorm = RmsNorm(config.width, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RmsNorm(config.width, config.norm_eps)
        self.mlp = GatedMlp(config)

    def forward(self, x: Tensor, angles: Angles, remember: Remember, front: int, seen: Tensor | None) -> Tensor:
        """Return [1, S, width]; see `Llama.run`."""
        x = x + self.self_attn(self.input_layernorm(x), angles, remember, front, seen)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Llama(nn.Module):
    """Run a LLaMA decoder over embeddings (arXiv 2307.09288)."""

    def __init__(self, config: MlaConfig) -> None:
        """Build for `config`."""
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RmsNorm(config.width, config.norm_eps)
        self.lm_head = nn.Linear(config.width, config.vocabulary, bias=False)

    def part(self, blocks: slice) -> Llama:
        """Return a decoder of some of the blocks only, at least one; it shares their weights."""
        part = Llama.__new__(Llama)
        nn.Module.__init__(part)
        part.layers = self.layers[blocks]
        part.config = replace(self.config, layers=len(part.layers))
        return part

    def angles(self, positions: Tensor) -> Angles:
        """Return what rotates tokens at `positions`, long [S]."""
        return rotary_angles(positions, self.config.width // self.config.heads)

    def forward(
        self, x: Tensor, positions: Tensor, watched: Tensor | None = None, seen: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Run all blocks over a sequence of which nothing is remembered.

        Args:
            x: [1, S, width] embeddings.
            positions: long [S] of the unpruned sequence.
            watched: long [n] which of the tokens to report the attention of.
            seen: bool [S, S] which tokens each of `x` may see; None: those up to itself.

        Returns: the last block's output before the final norm, [1, S, width], and, where tokens are watched, the
            attention that every token received from them, float32 [heads, S], mean over them and all layers.
        """
        received: list[Tensor] = []

        def remember(layer: int, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            if watched is not None:
                visible = causal_mask(len(positions), len(positions), x.device) if seen is None else seen
                shares = attention_received(query[0].index_select(1, watched), key[0], visible[watched])
                received.append(shares.mean(1))
            return key, value

        hidden = self.run(x, self.angles(positions), remember, 0 if seen is None else len(seen), seen)
        return hidden, torch.stack(received).mean(0) if received else None

    def run(
        self,
        x: Tensor,
        angles: Angles,
        remember: Callable[[int, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
        front: int = 0,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Run all blocks over [1, S, width] at the angles of the tokens' positions; return the last one's output.

        `remember` is given a layer's number and the queries, keys and values of `x`, and returns the keys and values to
        attend to. Of the tokens the first `front` see what `seen` says (`attend`), the others those up to themselves.
        """
        for layer, block in enumerate(self.layers):
            x = block(x, angles, partial(remember, layer), front, seen)
        return x
