"""Whether depth is in metres: another unit is far from what a camera beside an arm sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEAREST, FARTHEST = 0.03, 20.0  # m, half of what a camera sees is between these
THINNED = 8  # pixels from one that is looked at to the next


def require_metres(depth: NDArray[np.float32], where: str, hint: str) -> None:
    """Refuse depth ([H, W] m, NaN or 0: none) of a room that no arm stands in.

    Raises:
        ValueError: it is; the message begins with `where` and ends with `hint`.
    """
    measured = depth[::THINNED, ::THINNED]
    measured = measured[measured > 0]
    middle = float(np.median(measured)) if measured.size else NEAREST
    if not NEAREST <= middle <= FARTHEST:
        raise ValueError(f"{where}: {middle:g} m in the middle, which looks like another unit; {hint}")
