"""The change guard: what moved since the model last saw it must be shown to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tristage_ros.pruning.checks import check_frame
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.values import FrameContext, TokenGeometry


@dataclass(frozen=True)
class View:
    """Hold colour and depth of every patch, of this frame or as the model last saw them; NaN where unknown."""

    color: Tensor  # float32 [P, 3], 0..1
    depth: Tensor  # float32 [P], m

    @staticmethod
    def unknown(patches: int, device: torch.device) -> View:
        """Return a view that knows nothing."""
        return View.of_frame(FrameContext(), patches, device)

    @staticmethod
    def of_frame(frame: FrameContext, patches: int, device: torch.device) -> View:
        """Return what `frame` shows; what it lacks is unknown."""

        def known(values: Tensor | None, *shape: int) -> Tensor:
            if values is None:
                return torch.full(shape, torch.nan, device=device)
            return values.detach().to(device, torch.float32)

        return View(known(frame.color_mean, patches, 3), known(frame.depth_mean, patches))

    def to_dict(self) -> dict[str, Tensor]:
        """Return copies of both tensors by name."""
        return {"color": self.color.clone(), "depth": self.depth.clone()}

    @staticmethod
    def from_dict(tensors: Mapping[str, Any]) -> View:
        """Return the view that `to_dict` gave. Raises ValueError for anything else."""
        color, depth = tensors.get("color"), tensors.get("depth")
        if not isinstance(color, Tensor) or not isinstance(depth, Tensor) or color.shape != (len(depth), 3):
            raise ValueError(f"view holds {dict(tensors)}; need color [P, 3] and depth [P]")
        return View(color.clone(), depth.clone())


def changed_patches(now: View, seen: View, color: float | None, depth: float | None) -> Tensor:
    """Tell which patches moved by more than a threshold, colour 0..1 or depth m, since they were seen; bool [P].

    Colour moves by the mean over channels of the absolute difference. What is unknown has not moved. A threshold of
    None switches its half off.
    """
    moved = None if color is None else (now.color - seen.color).abs_().mean(1) > color
    away = None if depth is None else (now.depth - seen.depth).abs_() > depth
    if moved is None:
        return torch.zeros_like(now.depth, dtype=torch.bool) if away is None else away
    return moved if away is None else moved | away


def urgency(age: Tensor, changed: Tensor | None) -> Tensor:
    """Return how urgent it is to see a patch again, long [P], from the steps since it was seen, long [P].

    One that changed waits as much in one step as another in four, so that neither is left out for ever.
    """
    return age if changed is None else age + 3 * age * changed


def view_of(config: PruningConfig, geometry: TokenGeometry, frame: FrameContext | None) -> View | None:
    """Return what `frame` shows where the guard of `config` needs it. Raises ValueError for a bad frame."""
    if not config.guarded or frame is None:
        return None
    check_frame(frame, geometry.patches)
    return View.of_frame(frame, geometry.patches, geometry.patch_of_point.device)


def check_guard(config: PruningConfig, frame: FrameContext | None, view: View | None) -> None:
    """Demand colours where the guard watches them: of `frame`, or in a `view` of the same step."""
    if config.change_guard is not None and (view is None or (frame is not None and frame.color_mean is None)):
        raise ValueError("color_mean = None, but change_guard is on: give plan() the frame's mean colours")


def after_pass(now: View, seen: View | None, geometry: TokenGeometry, keep_2d: Tensor, kept_3d: Tensor) -> View:
    """Return what the model has seen by now, after a pass over this view that kept 2D and 3D tokens of these [P]."""
    saw_3d = torch.where(geometry.has_points, kept_3d, keep_2d)
    return remember(now, seen or View.unknown(geometry.patches, kept_3d.device), keep_2d, saw_3d)


def remember(now: View, seen: View, saw_2d: Tensor, saw_3d: Tensor) -> View:
    """Return what the model has seen by now: colour where the 2D token was kept, depth where 3D was observed.

    Masks are bool [P]. What is unknown now stays as it was seen last.
    """
    return View(
        torch.where(saw_2d[:, None] & now.color.isfinite(), now.color, seen.color),
        torch.where(saw_3d & now.depth.isfinite(), now.depth, seen.depth),
    )
