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

Angles: TypeAlias = tuple[Tensor, Tensor]  # cosines and sines, each [S, head_width / 2]
Remember: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # new keys and values -> all of them


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
    """Return cosines and sines, each float32 [S, head_width / 2], for long [S] positions (arXiv 2104.09864)."""
    exponent = torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float32) / head_width
    angle = positions[:, None].float() * ROPE_THETA**-exponent
    return angle.cos(), angle.sin()


def rotate(x: Tensor, angles: Angles) -> Tensor:
    """Rotate the two halves of every head against each other, [..., S, head_width]."""
    cos, sin = (a.to(x.dtype) for a in angles)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class KvCache:
    """Hold the rotated keys and the values of a prefix, with room for the tokens that follow it.

    Whatever is written behind the prefix is overwritten by the next pass: the prefix never changes.
    """

    def __init__(self, config: MlaConfig, prefix: int, room: int, like: Tensor) -> None:
        """Reserve `prefix + room` positions on the device and in the dtype of `like`."""
        self.prefix = prefix
        shape = (config.layers, 2, 1, config.heads, prefix + room, config.width // config.heads)
        self.store = like.new_empty(shape)  # (layers, key and value, 1, heads, S, head_width)

    def write(self, start: int, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put [1, heads, n, head_width] at `start` and return all keys and values up to their end."""
        stop = start + key.shape[2]
        kv = self.store[layer, :, :, :, :stop]
        kv[0, :, :, start:], kv[1, :, :, start:] = key, value
        return kv[0], kv[1]

    def keep(self, rows: Tensor) -> None:
        """Forget every position of the prefix but `rows`, long [n]."""
        room = self.store.shape[4] - self.prefix
        spare = torch.arange(self.prefix, self.prefix + room, device=rows.device)
        self.store = self.store.index_select(4, torch.cat([rows, spare]))
        self.prefix = len(rows)


def causal_mask(queries: int, keys: int, device: torch.device) -> Tensor:
    """Return bool [queries, keys]: which of the keys the last `queries` tokens may see."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def branched_mask(queries: int, prefix: int, branch: int, branches: int, device: torch.device) -> Tensor:
    """Return which keys the last `queries` tokens may see, where branches follow a prefix side by side.

    Every branch of `branch` tokens sees the prefix and itself, causally, as if there were no other; bool
    [queries, prefix + branch * branches].
    """
    seen = causal_mask(queries, prefix + branch * branches, device)
    if branches > 1:
        number = torch.arange(-prefix, branch * branches, device=device).div(branch, rounding_mode="floor")
        seen &= (number < 0) | (number == number[-queries:, None])
    return seen


def attention_received(query: Tensor, key: Tensor, seen: Tensor) -> Tensor:
    """Return the softmax weights of some tokens' queries, [1, heads, n, head_width], mean over them: [heads, S].

    `seen`, bool [n, S], says which keys they may see.
    """
    score = (query.float() @ key.float().transpose(-1, -2))[0] / math.sqrt(query.shape[-1])
    return score.masked_fill(~seen, -torch.inf).softmax(-1).mean(1)


class Attention(nn.Module):
    """Attend causally, all heads with keys and values of their own."""

    def __init__(self, config: MlaConfig) -> None:
        """Build for `config`."""
        super().__init__()
        self.heads = config.heads
        self.qkv = JointLinear(config.width, config.width, ("q_proj", "k_proj", "v_proj"))
        self.register_load_state_dict_pre_hook(JointLinear.join)  # type: ignore[no-untyped-call]
        self.o_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(
        self, x: Tensor, angles: Angles, remember: Remember | None, watched: Tensor | None, seen: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return [1, S, width] and what the `watched` tokens attended to; see `Llama.forward`."""
        q, k, v = self.project(x, angles)
        if remember is not None:
            k, v = remember(k, v)
        received = None
        if watched is not None:
            keys = torch.arange(k.shape[2], device=k.device)
            visible = keys <= watched[:, None] if seen is None else seen[watched]
            received = attention_received(q.index_select(2, watched), k, visible)
        attended = F.scaled_dot_product_attention(q, k, v, seen, is_causal=seen is None)
        return self.join(attended), received

    def project(self, x: Tensor, angles: Angles) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated queries, rotated keys, and values of [B, S, width], each [B, heads, S, head_width]."""
        joint = self.qkv(x).view(len(x), x.shape[1], 3 * self.heads, -1).transpose(1, 2)
        queries_and_keys, v = joint.split([2 * self.heads, self.heads], 1)
        q, k = rotate(queries_and_keys, angles).chunk(2, 1)
        return q, k, v

    def join(self, attended: Tensor) -> Tensor:
        """Return [B, S, width] from what every head attended to, [B, heads, S, head_width]."""
        out: Tensor = self.o_proj(attended.transpose(1, 2).flatten(2))
        return out


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
        gate, up = self.gate_up(x).chunk(2, -1)
        out: Tensor = self.down_proj(F.silu(gate) * up)
        return out


class Block(nn.Module):
    """Chain attention and MLP, each normed before and added after."""

    def __init__(self, config: MlaConfig) -> None:
        """Build for `config`."""
        super().__init__()
        self.input_layernorm = RmsNorm(config.width, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RmsNorm(config.width, config.norm_eps)
        self.mlp = GatedMlp(config)

    def forward(
        self, x: Tensor, angles: Angles, remember: Remember | None, watched: Tensor | None, seen: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return [1, S, width] and what the `watched` tokens attended to; see `Llama.forward`."""
        attended, received = self.self_attn(self.input_layernorm(x), angles, remember, watched, seen)
        x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x)), received


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

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        cache: KvCache | None = None,
        start: int = 0,
        watched: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Run all blocks.

        Args:
            x: [1, S, width] embeddings.
            positions: long [S] of the unpruned sequence.
            cache: takes the keys and values of `x` behind the `start` ones that are in it already.
            watched: long [n] which of the tokens to report the attention of.
            seen: bool [S, start + S] which tokens each of `x` may see; None: those up to itself.

        Returns: the last block's output before the final norm, [1, S, width], and, where tokens are watched, the
            attention that every token received from them, float32 [heads, start + S], mean over them and all layers.
        """
        angles = rotary_angles(positions, self.config.width // self.config.heads)
        if seen is None and start:
            seen = causal_mask(x.shape[1], start + x.shape[1], x.device)
        remember = None if cache is None else partial(cache.write, start)
        return self.run(x, angles, remember, watched, seen)

    def run(
        self,
        x: Tensor,
        angles: Angles,
        remember: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]] | None,
        watched: Tensor | None,
        seen: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Run all blocks at the angles of the tokens' positions; see `forward`.

        `remember` is given a layer's number and the keys and values of `x`, and returns those to attend to.
        """
        received: list[Tensor] = []
        for layer, block in enumerate(self.layers):
            x, shares = block(x, angles, remember and partial(remember, layer), watched, seen)
            if shares is not None:
                received.append(shares)
        return x, torch.stack(received).mean(0) if received else None
