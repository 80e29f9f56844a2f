"""Released checkpoints: a run directory with settings, statistics and one pickled file of weights.

Beside reading and writing them: which code trained one, and what it calls the weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tristage_ros.json_text import parse
from tristage_ros.mla.checkpoint import CheckpointError, cast, compare
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.downloads import complaint
from tristage_ros.mla.memory import require_memory
from tristage_ros.mla.model import Mla
from tristage_ros.mla.normalisation import DIMENSIONS, DatasetStatistics
from tristage_ros.words import one_line, shown

OWN_SETTINGS = "tristage"  # entry of config.json where `save_official` notes the model's sizes and switches
FILE_NAME = "step-000000-epoch-00-loss=0.0000.pt"


@dataclass(frozen=True)
class OfficialReport:
    """Say what was found in a run directory."""

    file: Path
    vintage: Vintage
    dropped: tuple[str, ...]  # weights that inference has no use for
    warnings: tuple[str, ...]


def run_directory(checkpoint: str | Path) -> Path | None:
    """Return the run directory that a path means, itself or one of its `checkpoints/*.pt`; None: it is neither."""
    path = Path(checkpoint)
    if path.suffix == ".pt":
        return path.absolute().parents[1]  # a download of Hugging Face is a link to elsewhere
    return path if path.is_dir() else None


def load_official(
    checkpoint: str | Path,
    dataset: str | None = None,
    *,
    config: MlaConfig | None = None,
    dtype: torch.dtype = torch.bfloat16,
    device: str = "cpu",
    tactile_slot: bool | None = None,
) -> tuple[Mla, DatasetStatistics, OfficialReport]:
    """Read a run directory: `config.json`, `dataset_statistics.json` and a file in `checkpoints/`.

    The file is mapped, and cast part by part: no more than the model in `dtype` and one of its parts is ever in memory.

    Args:
        checkpoint: directory of the run, or which of the files in its `checkpoints/`, as the release takes it.
        dataset: key of the statistics (`unnorm_key`); may be left out where there is only one.
        config: sizes and switches; by custom those that `save_official` noted, else the 7B's. The chunk is the run's,
            and so is `state_source` where its `config.json` has one.
        dtype: of the weights; the running statistics of the point tokenizer stay float32.
        device: where the model goes.
        tactile_slot: whether a zero token follows the image; by custom the vintage tells.

    Returns: the model in eval mode, its statistics, and what was found.

    Raises CheckpointError where a file is missing or unreadable, or where a weight of the model is missing, misshapen,
    or not known at all; MemoryShortageError where the model does not fit; ValueError for an unknown data set.
    """
    run = run_directory(checkpoint) or Path(checkpoint)
    file, settings = weights_file(Path(checkpoint)), _read_json(run / "config.json")
    statistics = DatasetStatistics.from_dict(_read_json(run / "dataset_statistics.json"), dataset)
    tensors = _map(file)
    modules = sorted({name.split(".")[0] for name in tensors})
    try:
        config = config or _noted_config(settings)
        vintage = _vintage(settings, modules, config, tactile_slot)
        source = settings.get("state_source", config.state_source)
        config = replace(config, tactile_slot=vintage.tactile_slot, chunk=_chunk(settings), state_source=source)
    except ValueError as error:
        raise CheckpointError(f"{run / 'config.json'}: {one_line(error)}") from None
    require_memory(config, dtype, device)
    with torch.device("meta"):
        model = Mla(config)
    expected = {released_name(n): released_shape(n, tuple(t.shape)) for n, t in model.state_dict().items()}
    dropped = tuple(name for name in tensors if name not in expected and is_unused(name))
    compare(file, expected, {name: tuple(t.shape) for name, t in tensors.items() if name not in dropped})
    del tensors
    _fill(model, file, dtype, device)
    return model.eval().requires_grad_(False), statistics, OfficialReport(file, vintage, dropped, _warn(model, modules))


def save_official(run_dir: str | Path, model: Mla, statistics: DatasetStatistics, dataset: str = "tristage") -> Path:
    """Write a run directory that `load_official()` reads, and return the file of weights in it."""
    run, config = Path(run_dir), model.config
    file = run / "checkpoints" / FILE_NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(_settings(config), indent=2))
    (run / "dataset_statistics.json").write_text(json.dumps(statistics.to_dict(dataset), indent=2))
    modules: dict[str, dict[str, Tensor]] = {}
    for name, tensor in model.state_dict().items():
        module, _, key = released_name(name).partition(".")
        modules.setdefault(module, {})[key] = tensor.reshape(released_shape(name, tuple(tensor.shape)))
    torch.save({"model": modules}, file)
    return file


def _settings(config: MlaConfig) -> dict[str, Any]:
    vintage = {"camera_name": "", "use_generation": False} if config.tactile_slot else {"use_reconstruction": False}
    return vintage | {
        "action_dim": config.action_dim,
        "future_action_window_size": config.chunk - 1,
        "use_diff": True,
        "use_pointcloud": True,
        "use_tactile": False,
        OWN_SETTINGS: config.to_dict(),
    }


def weights_file(checkpoint: Path) -> Path:
    """Return the one file of weights that a run directory, or a path into it, means; raise CheckpointError for none."""
    folder = checkpoint / "checkpoints"
    found = [checkpoint] if checkpoint.suffix == ".pt" else sorted(folder.glob("*.pt"))
    if not found or not found[0].is_file():
        raise CheckpointError(
            f"there is no {found[0] if found else folder / '*.pt'}: that is where a run's weights are"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CheckpointError(f"{folder} holds {len(found)} files ({names}): give the path of the one to load")
    if words := complaint(found[0]):
        raise CheckpointError(words)
    return found[0]


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise CheckpointError(f"there is no {path}: a run directory holds one beside checkpoints/")
    if words := complaint(path):
        raise CheckpointError(words)
    try:
        return parse(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path} must hold a JSON object: {error}") from None


def _map(file: Path) -> dict[str, Tensor]:
    """Return all tensors as `module.name` without reading them."""
    try:
        content = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # whatever the unpickler meets
        raise CheckpointError(f"{file} cannot be read as a PyTorch file of weights: {one_line(error)}") from None
    modules = content.get("model") if isinstance(content, dict) else None
    parts = list(modules.values()) if isinstance(modules, dict) else [None]
    if not all(isinstance(part, dict) and all(isinstance(t, Tensor) for t in part.values()) for part in parts):
        raise CheckpointError(f'{file} must hold {{"model": {{module: {{name: tensor}}}}}}')
    assert isinstance(modules, dict)
    return {f"{module}.{key}": t for module, part in modules.items() for key, t in part.items()}


def _noted_config(settings: Mapping[str, Any]) -> MlaConfig:
    noted = settings.get(OWN_SETTINGS)
    return MlaConfig.mla_7b() if noted is None else MlaConfig.from_dict(noted)


def _vintage(settings: Mapping[str, Any], modules: list[str], config: MlaConfig, slot: bool | None) -> Vintage:
    visual = config.point_tokens + config.image_tokens
    if slot is None:
        return detect_vintage(settings, modules, visual)
    return Vintage("release" if slot else "older", visual + slot, (f"tactile_slot = {slot} was asked for",))


def _chunk(settings: Mapping[str, Any]) -> int:
    """Return the number of actions per step; a ValueError where the run was trained for something else."""
    for name in ("use_diff", "use_pointcloud"):
        if settings.get(name) is False:
            raise ValueError(f"{name} is false, but only models with a diffusion head and point tokens can be run")
    for name in ("action_dim", "future_action_window_size"):
        if name not in settings:
            raise ValueError(f"{name} is missing")
    if settings["action_dim"] != DIMENSIONS:
        raise ValueError(f"action_dim must be {DIMENSIONS}, got {shown(settings['action_dim'])}")
    ahead = settings["future_action_window_size"]
    if type(ahead) is not int:
        raise ValueError(f"future_action_window_size must be a whole number, got {shown(ahead)}")
    return ahead + 1


def _fill(model: Mla, file: Path, dtype: torch.dtype, device: str) -> None:
    """Read the weights one part after the other, and unmap the file in between, which frees what was read of it."""
    for _, names in groupby(model.state_dict(), _part):
        tensors = _map(file)
        state = model.state_dict()
        part = {name: tensors[released_name(name)].reshape(state[name].shape) for name in names}
        model.load_state_dict({n: cast(n, t, dtype, device) for n, t in part.items()}, strict=False, assign=True)


def _part(name: str) -> str:
    pieces = name.split(".")
    return ".".join(pieces[:4] if pieces[:2] == ["llm", "layers"] else pieces[:2])


def _warn(model: Mla, modules: list[str]) -> tuple[str, ...]:
    buffers = dict(model.vision_tower_3d.named_buffers()).items()
    trivial = all(bool((t == ("var" in name)).all()) for name, t in buffers)
    found = {
        "the batch norms of the point tokenizer never saw data: it was not trained": trivial,
        "trained with a tactile sensor, whose token is zero here": "tactile_embedder" in modules,
    }
    return tuple(warning for warning, holds in found.items() if holds)


# Which code trained a released checkpoint: it decides whether a tactile slot follows the image.

RELEASE_HINTS = ("camera_name", "use_generation", "gen_", "generation_manager")
OLDER_HINTS = ("use_reconstruction", "recon_", "reconstruction_manager")


@dataclass(frozen=True)
class Vintage:
    """Say which code trained a checkpoint, and how that is known."""

    name: str  # release, older, or unknown, which is taken for the release
    fused_tokens: int  # point and image tokens, and the tactile slot where there is one
    evidence: tuple[str, ...]  # settings and modules that give it away

    @property
    def tactile_slot(self) -> bool:
        """Tell whether a zero token follows the image."""
        return self.name != "older"


def detect_vintage(settings: Collection[str], modules: Collection[str], visual_tokens: int) -> Vintage:
    """Judge by the names of the training settings and of the checkpoint's modules.

    The tactile slot came with the release; until then `visual_tokens`, both kinds together, were all. Raises ValueError
    where the names contradict each other.
    """
    names = [*settings, *modules]
    release = tuple(name for name in names if name.startswith(RELEASE_HINTS))
    older = tuple(name for name in names if name.startswith(OLDER_HINTS))
    if release and older:
        raise ValueError(
            f"{', '.join(older)} tell of code before the release, {', '.join(release)} of the release: "
            "say by tactile_slot whether a zero token follows the image"
        )
    if older:
        return Vintage("older", visual_tokens, older)
    return Vintage("release" if release else "unknown", visual_tokens + 1, release)


# What the released checkpoints call the weights, and which of theirs inference has no use for.

RENAMED = tuple(
    (re.compile(ours), released)
    for ours, released in (
        (r"^llm\.lm_head", "llm_backbone.llm.lm_head"),
        (r"^llm\.", "llm_backbone.llm.model."),
        (r"^projector_3d\.mlp", "projector_3d.projector"),
        (r"^(proprio|x)_embedder", r"\1_embedder.mlp"),
        (r"^vision_tower_3d\.raw_point_embed", "vision_tower_3d.patch_embed.EncP.raw_point_embed.net"),
        (r"^vision_tower_3d\.stages", "vision_tower_3d.patch_embed.EncP.LGA_list"),
        (r"^(vision_tower_3d\.patch_embed\..+)\.linear\.", r"\1.0."),
        (r"^(vision_tower_3d\.patch_embed\..+)\.norm\.", r"\1.1."),
    )
)
KERNEL_1D = "vision_tower_3d.raw_point_embed.linear.weight"  # a convolution over points
KERNEL_2D = re.compile(r"^vision_tower_3d\.stages\..+\.linear\.weight$")  # over groups and their points
UNUSED = re.compile(
    r"^(generation_manager|reconstruction_manager|tactile_embedder)\."
    r"|^llm_backbone\.llm\.\w*contrastive\w*\."
    r"|^vision_tower_2d\.(global_attention\.|class_embedding$|split_embedding$)"
    r"|^vision_tower_3d\.(cls_token$|pos_embed$|norm\.|.+\.num_batches_tracked$)"
)


def released_name(name: str) -> str:
    """Return what a released checkpoint calls our weight `name`: its module, a dot, and the name in the module."""
    for ours, released in RENAMED:
        name, found = ours.subn(released, name)
        if found and name.startswith("llm_backbone"):
            break
    return name


def released_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that our weight `name` of `shape` has there: linear layers over points are convolutions."""
    if name == KERNEL_1D:
        return (*shape, 1)
    return (*shape, 1, 1) if KERNEL_2D.match(name) else shape


def is_unused(released: str) -> bool:
    """Tell whether a weight of a released checkpoint serves training or generation only."""
    return UNUSED.search(released) is not None
