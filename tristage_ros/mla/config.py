"""The sizes of an MLA model: one dataclass for the 7B and for the mini."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import inf
from typing import Any, Literal, get_args

from tristage_ros.words import shown

LARGEST_SIZE = 1 << 20
LARGEST = {"layers": 1024, "point_blocks": 64, "image_size": 1 << 13}
DIFFUSION_STEPS = 100  # of the training schedule
FinalNorm = Literal["variance", "rms"]
KnnPrecision = Literal["float32", "bfloat16"]
FpsStart = Literal["first", "random"]
Prediction = Literal["noise", "velocity"]
StateSource = Literal["measured", "commanded"]
CHOICES = {
    "final_norm": FinalNorm, "knn": KnnPrecision, "fps_start": FpsStart, "prediction": Prediction,
    "state_source": StateSource,
}  # fmt: skip
LATER = {"state_source": "measured", "point_patches": False}  # fields that files of before do not have
DENOISING_STEPS = {len(range(0, DIFFUSION_STEPS, stride)) for stride in range(1, DIFFUSION_STEPS + 1)}


@dataclass(frozen=True)
class MlaConfig:
    """Size an MLA model, and say how it reads what the released code leaves open or does in two ways.

    The sizes are the 7B's; `mini()` runs on two CPU cores. `docs/model.md` explains every switch.
    """

    # LLaMA decoder
    width: int = 4096  # of the residual stream
    layers: int = 32
    heads: int = 32
    ffn_width: int = 11008
    vocabulary: int = 32064  # rows of the text embedding
    max_positions: int = 2048
    # image tokens
    image_size: int = 672  # pixels, square
    patch_size: int = 14  # pixels
    window: int = 3  # patches a token is wide and high
    image_width: int = 1024
    image_heads: int = 8
    # point tokens
    points: int = 1024  # in a cloud
    groups: tuple[int, int] = (512, 256)  # centres per stage; the last are the tokens
    point_blocks: tuple[int, int] = (2, 1)  # residual blocks per stage
    neighbours: int = 81  # points in a group
    point_base: int = 96  # channels of a raw point; doubled by every stage
    point_width: int = 768  # channels of a finished token
    # actions
    action_dim: int = 7
    chunk: int = 1  # actions per control step
    denoising_steps: int = 8
    # switches: the sequence
    tactile_slot: bool = True  # a zero token after the image, as models trained by the released code have
    marker_before_state: bool = False  # the lone-space token stands before the state, as trained: see SequenceLayout
    # switches: the input
    image_squash: int | None = 224  # pixels, square, that images went through in training; None: straight to image_size
    zero_constant_state: bool = True  # dimensions without extent in training are 0, as there; else as released, -1 or 1
    state_source: StateSource = "measured"  # commanded, as released: the goal of the step before; see MlaPolicy
    place_features: bool = False  # tokens are told where they lie, beside their position; see PlaceEmbedder
    point_patches: bool = False  # a 3D token is also told where in the image it is seen, as the image token there is
    # switches: the arithmetic
    fps_start: FpsStart = "first"  # point that farthest-point sampling starts with; random: drawn anew in every step
    knn: KnnPrecision = "float32"  # precision of the distances to neighbours; bfloat16: as released, about 5 % differ
    norm_eps: float = 1e-5  # of the decoder's norms; Llama 2's, some code defaults to 1e-6
    final_norm: FinalNorm = "variance"  # of the action head; rms: what training with NVIDIA apex would have used
    prediction: Prediction = "noise"  # what the action head says of a noisy action; see DdimSampler
    clip_denoised: bool = False  # clip the clean action to -1..1 in every denoising step, not only in the end

    def __post_init__(self) -> None:
        """Refuse values that are none, and sizes that do not fit together."""
        for field in fields(self):
            _check(field.name, getattr(self, field.name), field.default)
        checks = {
            "width must be a multiple of 2 * heads": self.width % (2 * self.heads) == 0,
            "width must hold 2 * action_dim channels": self.width >= 2 * self.action_dim,
            "image_width must be a multiple of image_heads": self.image_width % self.image_heads == 0,
            "image_size must be a multiple of patch_size * window": self.image_size % self.token_size == 0,
            "point_base must be a multiple of 3": self.point_base % 3 == 0,
            "points >= groups[0] >= groups[1] must hold": self.points >= self.groups[0] >= self.groups[1],
            "neighbours must not exceed groups[0]": self.neighbours <= self.groups[0],
            f"denoising_steps must be one of {sorted(DENOISING_STEPS)}": self.denoising_steps in DENOISING_STEPS,
            "norm_eps must be positive": self.norm_eps > 0,
            "point_patches needs place_features": self.place_features or not self.point_patches,
        }
        for rule, holds in checks.items():
            if not holds:
                raise ValueError(f"{rule}, got {self}")

    @property
    def token_size(self) -> int:
        """Return the side of an image token in pixels of the model's image."""
        return self.patch_size * self.window

    @property
    def grid(self) -> int:
        """Return the number of image tokens along a side."""
        return self.image_size // self.token_size

    @property
    def image_tokens(self) -> int:
        """Return the number of image tokens."""
        return self.grid**2

    @property
    def point_tokens(self) -> int:
        """Return the number of point tokens."""
        return self.groups[-1]

    @classmethod
    def mla_7b(cls) -> MlaConfig:
        """Return the sizes of the released 7B model (arXiv 2509.26642)."""
        return cls(state_source="commanded")

    @classmethod
    def mini(cls) -> MlaConfig:
        """Return the same model, small enough for two CPU cores."""
        return cls(
            width=192, layers=4, heads=3, ffn_width=512, vocabulary=512, image_width=96,
            groups=(256, 256), neighbours=16, point_base=24, point_width=192, place_features=True,
            prediction="velocity",
        )  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MlaConfig:
        """Read what `to_dict()` wrote, perhaps through JSON; unknown or missing fields are a ValueError."""
        if not isinstance(data, dict):
            raise ValueError(f"model config: it is {shown(data)}, not names with values")
        data = LATER | data
        known, given = {field.name for field in fields(cls)}, set(data)
        if known != given:
            raise ValueError(f"model config: missing {sorted(known - given)}, unknown {shown(sorted(given - known))}")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that JSON can hold."""
        return asdict(self)


def _check(name: str, value: object, default: object) -> None:
    """Refuse what is not of the type of the `default`, and sizes that no model has."""
    if name in CHOICES:
        right, wish = value in get_args(CHOICES[name]), f"one of {', '.join(get_args(CHOICES[name]))}"
    elif isinstance(default, bool):
        right, wish = isinstance(value, bool), "true or false"
    elif isinstance(default, float):
        right, wish = type(value) in (int, float) and abs(value) < inf, "a finite number"  # type: ignore[arg-type]
    else:
        most = LARGEST.get(name, LARGEST_SIZE)
        sizes = value if isinstance(value, tuple) else (value,)
        right = (name == "image_squash" and value is None) or all(type(n) is int and 1 <= n <= most for n in sizes)
        right = right and isinstance(value, tuple) == isinstance(default, tuple)
        right = right and (not isinstance(default, tuple) or len(sizes) == len(default))
        wish = f"{'two whole numbers' if isinstance(default, tuple) else 'a whole number'} from 1 to {most}"
    if not right:
        raise ValueError(f"{name} must be {wish}, got {shown(value)}")
