"""Stage 1, data preprocessing: which modality of a patch the model depends on."""

from __future__ import annotations

from torch import Tensor

from tristage_ros.pruning.values import Candidates


def modality_candidates(m_3d: Tensor, has_points: Tensor, tau_2d: float, tau_3d: float) -> Candidates:
    """Return 2D below `tau_2d`, 3D above `tau_3d`, both between, by M_3d of stage 1 [P] (Alg. 1, step 2).

    A patch without 3D tokens in this step (`has_points`, bool [P], false) is 2D: nothing else is there to keep.
    """
    return Candidates((m_3d <= tau_3d) | ~has_points, (m_3d >= tau_2d) & has_points)
