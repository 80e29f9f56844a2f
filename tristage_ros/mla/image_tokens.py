"""The encoder-free image tokenizer: patches, one 3x3 local attention, a projector."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tristage_ros.mla.config import MlaConfig

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of RGB in 0..1
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class LocalAttention(nn.Module):
    """Pool every window of patches by letting its mean attend to them."""

    def __init__(self, width: int, heads: int) -> None:
        """Build for patches of `width` channels."""
        super().__init__()
        self.heads = heads
        self.q = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width, bias=False))
        self.kv = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width, bias=False))
        self.proj = nn.Linear(width, width)

    def forward(self, patches: Tensor) -> Tensor:
        """Return one token per window, [n, width] from [n, patches in a window, width]."""
        n, window, width = patches.shape
        pooled = patches.mean(1)
        query = self.q(pooled).view(n, self.heads, 1, -1)
        key, value = self.kv(patches).view(n, window, 2, self.heads, -1).permute(2, 0, 3, 1, 4)  # (n, heads, window, d)
        # the released model scales by the full width, not by the width of a head
        attended = F.scaled_dot_product_attention(query, key, value, scale=width**-0.5)
        out: Tensor = pooled + self.proj(attended.reshape(n, width))
        return out


class ImageTokenizer(nn.Module):
    """Turn an image into tokens, one for every 3x3 patches, row by row."""

    def __init__(self, config: MlaConfig) -> None:
        """Build for square images of `config.image_size` pixels."""
        super().__init__()
        self.grid, self.window, self.patch = config.grid, config.window, config.patch_size
        self.patch_embedding = nn.Conv2d(3, config.image_width, config.patch_size, config.patch_size, bias=False)
        self.local_attention = LocalAttention(config.image_width, config.image_heads)

    def forward(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokenise the kept part of an image.

        Args:
            image: uint8 [size, size, 3] RGB.
            keep: long [n] tokens wanted, row-major; all when None. The others cost nothing.

        Returns: [n, image_width].
        """
        return self.pool(self.windows(image, keep))

    def pool(self, windows: Tensor) -> Tensor:
        """Return [n, image_width], a token for each window, uint8 [n, patches in a window, 3 * patch * patch]."""
        weight = self.patch_embedding.weight
        mean, std = (
            torch.cat([torch.full((self.patch**2,), value, device=windows.device) for value in channels])
            for channels in (CLIP_MEAN, CLIP_STD)
        )
        pixels = torch.addcmul(-mean / std, windows.float(), 1 / (255 * std))
        tokens: Tensor = self.local_attention(F.linear(pixels.to(weight.dtype), weight.flatten(1)))
        return tokens

    def windows(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return the pixels of the kept windows, patch by patch and channel by channel; see `forward`."""
        cut = image.view(self.grid, self.window, self.patch, self.grid, self.window, self.patch, 3)
        cut = cut.permute(0, 3, 1, 4, 6, 2, 5)  # (row, column, window row, window column, channel, y, x)
        kept = cut.flatten(0, 1) if keep is None else cut[keep // self.grid, keep % self.grid]
        return kept.flatten(1, 2).flatten(2)


class Projector(nn.Module):
    """Lift tokens to the width of the language model."""

    def __init__(self, width: int, out: int) -> None:
        """Build from `width` to `out` channels."""
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, out), nn.GELU(), nn.Linear(out, out))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return [..., out] from [..., width]."""
        out: Tensor = self.mlp(tokens)
        return out
