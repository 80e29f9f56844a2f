"""The whole MLA model: tokenizers, places, embedders, decoder and action head; and random weights for it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.llama import Llama, RmsNorm
from tristage_ros.mla.visual_tokens import ImageTokenizer, NormStatistics, PointTokenizer, Projector

# Where tokens lie, as features: for models too small to learn it from positions alone.

OCTAVES = 6
LONGEST_IMAGE = 4.0  # widths of the image, the longest wavelength of image tokens
LONGEST_SPACE = 1.6  # m, that of point tokens; the shortest is 5 cm


class PlaceEmbedder(nn.Module):
    """Embed places by sines and cosines whose wavelengths halve from octave to octave."""

    def __init__(self, axes: int, longest: float, width: int) -> None:
        """Build for places with `axes` coordinates, in the unit of the `longest` wavelength."""
        super().__init__()
        self.longest = longest
        self.linear = nn.Linear(2 * OCTAVES * axes, width, bias=False)

    def forward(self, places: Tensor) -> Tensor:
        """Return [..., width] from [..., axes]."""
        octaves = 2.0 ** torch.arange(OCTAVES, device=places.device)
        angle = places[..., None] * (2 * math.pi / self.longest * octaves)  # (..., axes, OCTAVES)
        features = torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)
        out: Tensor = self.linear(features.to(self.linear.weight.dtype))
        return out


def window_centres(tokens: Tensor, grid: int) -> Tensor:
    """Return the centres, float32 [n, 2], of image tokens, long [n], in widths of the image: right, down."""
    return torch.stack([tokens % grid, tokens // grid], -1).add(0.5).div(grid)


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
        """Build the parts with parameters that are yet to be set: see `random_model` and `load_checkpoint`."""
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

    def embed_points(self, tokens: Tensor, xyz: Tensor, patches: Tensor) -> Tensor:
        """Embed point tokens.

        Args:
            tokens: [..., n, point_width].
            xyz: [..., n, 3] m, their centres in the base frame.
            patches: long [..., n], the image tokens that the centres lie in, -1 outside the image.

        Returns: [..., n, width].
        """
        embedded: Tensor = self.projector_3d(tokens)
        if self.place_3d is None or self.place_2d is None:
            return embedded
        embedded = embedded + self.place_3d(xyz)
        if not self.config.point_patches:
            return embedded
        seen: Tensor = self.place_2d(window_centres(patches, self.config.grid))
        return embedded + seen.masked_fill((patches < 0)[..., None], 0.0)

    def predict(self, hidden: Tensor) -> Tensor:
        """Return the predicted noise or velocity, float32 [B, n, action_dim], from last-block outputs [B, n, width]."""
        out: Tensor = self.final_layer(self.llm.norm(hidden)).float()
        return out


# Random weights for a model without a checkpoint: seeded, and harmless to sample from.

PATH_GAIN = 4.0  # of the noisy action over what the blocks add to its channels
HEAD_GAIN = 0.1  # of a head that predicts velocity


def random_model(config: MlaConfig, seed: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Mla:
    """Return a model in eval mode whose weights depend on `seed` alone; the global generators are left untouched."""
    with torch.device("meta"):
        model = Mla(config).to(dtype)
    model.to_empty(device=device)
    generator = torch.Generator(device=device).manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            _initialise(module, generator)
        _connect_noise(model)
    return model.eval().requires_grad_(False)


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Keep the variance of what passes through: one over the fan-in for weights, one for norms and embeddings."""
    if isinstance(module, NormStatistics):
        module.running_mean.zero_()
        module.running_var.fill_(1.0)
    for name, parameter in module.named_parameters(recurse=False):
        if name == "bias":
            parameter.zero_()
        elif isinstance(module, nn.Embedding):
            parameter.normal_(generator=generator)
        elif parameter.dim() == 1:
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, parameter[0].numel() ** -0.5, generator=generator)


def _connect_noise(model: Mla) -> None:
    """Lead the noisy action straight to the output, so that the head predicts about the noise that it was given.

    Without it every denoising step amplifies the noise, eightfold in all, and each action ends at a limit of its range.
    A pair of GELUs passes any value: gelu(u) - gelu(-u) = u.
    """
    dim = model.config.action_dim
    eye = torch.eye(dim, device=model.device, dtype=model.dtype)
    pair = torch.cat([eye, -eye])  # (2 dim, dim)

    def connect(weight: Tensor, block: Tensor) -> None:
        weight[: len(block)] = 0
        weight[: len(block), : block.shape[1]] = block

    connect(model.x_embedder.fc1.weight, pair)
    connect(model.x_embedder.fc2.weight, PATH_GAIN * pair.T)
    for block in model.llm.layers:
        for name in ("self_attn.o_proj", "mlp.down_proj"):  # what the blocks add is small beside it
            block.get_submodule(name).weight.mul_((2 * model.config.layers) ** -0.5)  # type: ignore[operator]
    if model.config.prediction == "velocity":  # of a model that knows nothing it is 0
        model.final_layer.mlp.fc2.weight.mul_(HEAD_GAIN)
        return
    connect(model.final_layer.mlp.fc1.weight, pair)
    spread = (1 + dim * PATH_GAIN**2 / model.config.width) ** 0.5  # of the token that carries the action
    connect(model.final_layer.mlp.fc2.weight, spread / PATH_GAIN * pair.T)
