"""The whole MLA model: tokenizers, embedders, decoder and action head."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.image_tokens import ImageTokenizer, Projector
from tristage_ros.mla.llama import Llama, RmsNorm
from tristage_ros.mla.places import LONGEST_IMAGE, LONGEST_SPACE, PlaceEmbedder, window_centres
from tristage_ros.mla.point_tokens import PointTokenizer

TIME_WIDTH = 256  # channels of a diffusion step before it is embedded
HEAD_NORM_EPS = 1e-6


class Mlp(nn.Module):
    """Apply two linear layers with a tanh-approximated GELU between them."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        """Build for `inputs`, `width` hidden and `outputs` channels."""
        super().__init__()
        self.fc1 = nn.Linear(inputs, width)
        self.act = nn.GELU(approximate="tanh")
        self.fc2 = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., outputs] from [..., inputs]."""
        out: Tensor = self.fc2(self.act(self.fc1(x.to(self.fc1.weight.dtype))))
        return out


def time_encoding(timesteps: Tensor) -> Tensor:
    """Return [cos | sin] of the raw diffusion steps [n], float32 [n, TIME_WIDTH]."""
    half = TIME_WIDTH // 2
    exponent = torch.arange(half, device=timesteps.device, dtype=torch.float32) / half
    angle = timesteps[:, None].float() * torch.exp(-math.log(1e4) * exponent)
    return torch.cat([angle.cos(), angle.sin()], -1)


class TimeEmbedder(nn.Module):
    """Embed diffusion steps."""

    def __init__(self, width: int) -> None:
        """Build for a model of `width` channels."""
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_WIDTH, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, timesteps: Tensor) -> Tensor:
        """Return [n, width] for [n] raw steps."""
        out: Tensor = self.mlp(time_encoding(timesteps).to(self.dtype))
        return out

    @property
    def dtype(self) -> torch.dtype:
        """Return what the parameters are stored as."""
        return next(self.parameters()).dtype


class VarianceNorm(nn.Module):
    """Divide by the unbiased standard deviation without centring, as the model was trained; this is no RMS norm."""

    def __init__(self, width: int) -> None:
        """Build for vectors of `width` channels."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape and dtype."""
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.var(-1, keepdim=True) + HEAD_NORM_EPS)).to(x.dtype)


class FinalLayer(nn.Module):
    """Read the predicted noise or velocity from the decoder's output."""

    def __init__(self, config: MlaConfig) -> None:
        """Build for `config`."""
        super().__init__()
        rms = config.final_norm == "rms"
        self.norm_final = RmsNorm(config.width, HEAD_NORM_EPS) if rms else VarianceNorm(config.width)
        self.mlp = Mlp(config.width, config.width, config.action_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., action_dim] from [..., width]."""
        out: Tensor = self.mlp(self.norm_final(x))
        return out


class Mla(nn.Module):
    """Hold the parts of the model; what is computed when, is the engine's and the policy's concern."""

    def __init__(self, config: MlaConfig) -> None:
        """Build the parts with parameters that are yet to be set: see `initialise` and `load_checkpoint`."""
        super().__init__()
        self.config = config
        self.vision_tower_2d = ImageTokenizer(config)
        self.projector_2d = Projector(config.image_width, config.width)
        self.vision_tower_3d = PointTokenizer(config)
        self.projector_3d = Projector(config.point_width, config.width)
        placed = config.place_features
        self.place_2d = PlaceEmbedder(2, LONGEST_IMAGE, config.width) if placed else None
        self.place_3d = PlaceEmbedder(3, LONGEST_SPACE, config.width) if placed else None
        self.llm = Llama(config)
        self.proprio_embedder = Mlp(config.action_dim, config.width, config.width)
        self.x_embedder = Mlp(config.action_dim, config.width, config.width)
        self.t_embedder = TimeEmbedder(config.width)
        self.final_layer = FinalLayer(config)

    @property
    def device(self) -> torch.device:
        """Return where the parameters are."""
        return self.llm.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Return what the parameters are stored as."""
        return self.llm.norm.weight.dtype

    def embed_image(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """Return [..., n, width] from image tokens, [..., n, image_width], which `keep`, long [n], numbers."""
        embedded: Tensor = self.projector_2d(tokens)
        return embedded if self.place_2d is None else embedded + self.place_2d(window_centres(keep, self.config.grid))

    def embed_points(self, tokens: Tensor, xyz: Tensor) -> Tensor:
        """Return [..., n, width] from point tokens, [..., n, point_width], with centres [..., n, 3] m."""
        embedded: Tensor = self.projector_3d(tokens)
        return embedded if self.place_3d is None else embedded + self.place_3d(xyz)

    def predict(self, hidden: Tensor) -> Tensor:
        """Return the predicted noise or velocity, float32 [B, n, action_dim], from last-block outputs [B, n, width]."""
        out: Tensor = self.final_layer(self.llm.norm(hidden)).float()
        return out
