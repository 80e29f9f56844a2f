"""What the device can do at best, and how long a control step would take at that."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor

from tristage_ros.bench.model.timing import Rounds, alternate
from tristage_ros.mla.config import MlaConfig


@dataclass(frozen=True)
class Ceilings:
    """Hold measured limits of the device."""

    flops: float  # 1/s, of a large matrix product
    bandwidth: float  # bytes/s, of a large copy, read and written

    @classmethod
    def measure(cls, device: torch.device, dtype: torch.dtype, rounds: Rounds) -> Ceilings:
        """Measure both with the best of a few products and copies."""
        large = device.type == "cuda"
        side, length = (8192, 2**31) if large else (1024, 2**28)  # of the matrices; bytes that are copied
        left = torch.randn(side, side, device=device).to(dtype)
        source = torch.empty(length, dtype=torch.uint8, device=device).fill_(1)
        target = torch.empty_like(source)
        calls = {"product": partial(_product, left), "copy": partial(_copy, target, source)}
        times = alternate(calls, rounds, device)
        return cls(2 * side**3 / min(times["product"]) * 1e3, 2 * length / min(times["copy"]) * 1e3)

    def to_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)

    def pass_ms(self, config: MlaConfig, tokens: int, context: int, bytes_each: int) -> float:
        """Return how long the decoder needs for `tokens` that attend to `context`: for arithmetic or one weight sweep.

        Tokenizers, heads and attention's memory are left out, so the true limit is a little higher.
        """
        weights = config.layers * (4 * config.width**2 + 3 * config.width * config.ffn_width)
        work = 2 * weights * tokens + 4 * config.layers * config.width * tokens * context
        return 1e3 * max(work / self.flops, weights * bytes_each / self.bandwidth)

    def step_ms(self, config: MlaConfig, engine: str, tokens: int, bytes_each: int) -> float:
        """Return how long the passes of a control step over `tokens` need; its suffix is one step and one action."""
        whole = self.pass_ms(config, tokens, tokens, bytes_each)
        if engine == "recompute":
            return config.denoising_steps * whole
        suffix = self.pass_ms(config, 1 + config.chunk, tokens, bytes_each)
        return whole + (config.denoising_steps - 1) * suffix


def _product(left: Tensor, index: int) -> Tensor:
    return left @ left


def _copy(target: Tensor, source: Tensor, index: int) -> Tensor:
    return target.copy_(source)
