"""What the released checkpoints call the weights, and which of theirs inference has no use for."""

from __future__ import annotations

import re

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
