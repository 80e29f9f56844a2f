"""What the pruner demands of its inputs. Every check raises ValueError and changes nothing."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from tristage_ros.pruning.values import FrameContext, LayerAttention, Salience, TokenGeometry, TokenMasks


def check_geometry(geometry: TokenGeometry) -> None:
    """Demand at least 3 patches and a patch index in -1..P-1 for every 3D token."""
    index, patches = geometry.patch_of_point, geometry.patches
    if patches < 3:
        raise ValueError(f"geometry.patches = {patches} must be at least 3")
    if index.ndim != 1 or index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise ValueError(f"patch_of_point is {index.dtype} {list(index.shape)}; need integers of shape [N3]")
    if index.shape[0] == 0:
        return
    low, high = _span(index)
    if low < -1 or high >= patches:
        raise ValueError(f"patch_of_point holds {low if low < -1 else high}; need -1 (outside) to {patches - 1}")


def check_masks(geometry: TokenGeometry, masks: TokenMasks) -> None:
    """Demand masks of `geometry`."""
    _check_mask("keep_2d", masks.keep_2d, geometry.patches)
    _check_mask("keep_3d", masks.keep_3d, geometry.patch_of_point.shape[0])


def checked_magnitudes(masks: TokenMasks, salience: Salience) -> Tensor:
    """Return what every token, 2D ahead of 3D, adds to its patch, float64 [P + N3, 3 + H].

    That is one token, and of those that were kept one kept token, the L1 norm and the attention; zeros of others.
    Demands finite, non-negative magnitudes for every kept token.
    """
    count_2d, count_3d = masks.keep_2d.shape[0], masks.keep_3d.shape[0]
    heads = max(salience.attention_2d.shape[1], 1) if salience.attention_2d.ndim == 2 else 1
    _check_float("feature_2d", salience.feature_2d, (count_2d,))
    _check_float("attention_2d", salience.attention_2d, (count_2d, heads))
    _check_float("feature_3d", salience.feature_3d, (count_3d,))
    _check_float("attention_3d", salience.attention_3d, (count_3d, heads))
    feature = torch.cat([salience.feature_2d, salience.feature_3d])
    attention = torch.cat([salience.attention_2d, salience.attention_3d])
    dropped = torch.cat([masks.keep_2d, masks.keep_3d]).logical_not_()[:, None]
    magnitudes = torch.ones(len(dropped), 3 + heads, dtype=torch.float64, device=dropped.device)
    magnitudes[:, 2], magnitudes[:, 3:] = feature.detach(), attention.detach()
    magnitudes[:, 1:].masked_fill_(dropped, 0.0)
    low, high = _span(magnitudes)
    if not (low >= 0 and high < inf):
        token = int((~((magnitudes >= 0) & (magnitudes < inf)).all(1)).nonzero()[0])
        span = f"{float(attention[token].min())} to {float(attention[token].max())}"
        modality, index = ("2d", token) if token < count_2d else ("3d", token - count_2d)
        raise ValueError(
            f"kept {modality} token {index} has feature_{modality} = {float(feature[token])} and attention_{modality} "
            f"from {span}; magnitudes must be finite and not negative"
        )
    return magnitudes


def check_layer_attention(geometry: TokenGeometry, shown: LayerAttention) -> None:
    """Demand finite, non-negative attention and an embedding for every token of `geometry`."""
    heads, width = (rows.shape[-1] if rows.ndim == 2 else 0 for rows in (shown.attention_2d, shown.embedding_2d))
    for modality, count in (("2d", geometry.patches), ("3d", len(geometry.patch_of_point))):
        attention = getattr(shown, f"attention_{modality}")
        _check_float(f"attention_{modality}", attention, (count, max(heads, 1)))
        _check_float(f"embedding_{modality}", getattr(shown, f"embedding_{modality}"), (count, max(width, 1)))
        if not bool(((attention >= 0) & (attention < torch.inf)).all()):
            span = f"{float(attention.min())} to {float(attention.max())}"
            raise ValueError(f"attention_{modality} spans {span}; need finite numbers that are not negative")
    if (states := shown.states) is not None:
        width = states.hidden_2d.shape[-1]
        counts = {"2d": geometry.patches, "3d": len(geometry.patch_of_point), "text": len(states.key_text)}
        for part, count in counts.items():
            key = getattr(states, f"key_{part}")
            _check_float(f"hidden_{part}", getattr(states, f"hidden_{part}"), (count, width))
            _check_float(f"key_{part}", key, (count,))
            if not bool(((key >= 0) & (key < torch.inf)).all()):
                raise ValueError(f"key_{part} spans {float(key.min())} to {float(key.max())}; need finite norms")


def check_frame(frame: FrameContext, patches: int) -> None:
    """Demand of what the change guard looks at: finite colours in 0..1 and depths, for every patch."""
    color = frame.color_mean
    if color is not None:
        _check_float("color_mean", color, (patches, 3))
        low, high = _span(color)
        if not (low >= 0 and high <= 1):
            raise ValueError(f"color_mean spans {low} to {high}; need finite 0..1")
    if frame.depth_mean is not None:
        _check_float("depth_mean", frame.depth_mean, (patches,))


def _span(values: Tensor) -> tuple[float, float]:
    """Return the least and the highest value, NaN where there is one; waits for the device."""
    low, high = torch.aminmax(values)
    return low.item(), high.item()


def _check_mask(name: str, mask: Tensor, length: int) -> None:
    if mask.dtype != torch.bool or mask.shape != (length,):
        raise ValueError(f"{name} is {mask.dtype} {list(mask.shape)}; need bool [{length}]")


def _check_float(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if not value.is_floating_point() or value.shape != shape:
        raise ValueError(f"{name} is {value.dtype} {list(value.shape)}; need floating point {list(shape)}")
