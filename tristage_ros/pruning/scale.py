"""Carry thresholds of stage 1 over to another model: its unit of M_3d, measured without labels, beside the paper's.

M_3d (Eq. 1) compares two magnitudes, and a model's 3D features may be any number of times larger than its 2D ones. In
odds, M_3d / (1 - M_3d) = f_3d / f_2d, such a number is a factor: the scale of a model is how many times the odds of its
average patch exceed those of the paper's, and a threshold is carried over by odds(tau') = scale * odds(tau). The
average is that of logits, so that a factor on f_3d is the same factor on the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from torch import Tensor

PAPER_MEAN = 0.10  # of M_3d: what Table 1 of arXiv 2604.09244 leaves for 3D is 0.085 to 0.185, most of it near 0.10


def odds(share: float) -> float:
    """Return share / (1 - share), of a share below 1."""
    return share / (1.0 - share)


def carried_threshold(tau: float, scale: float) -> float:
    """Return the threshold of a model's M_3d that stands for `tau`, 0..1: odds(tau') = scale * odds(tau)."""
    return scale * tau / (1.0 - tau + scale * tau)


@dataclass(frozen=True)
class Magnitudes:
    """Sum up how the magnitudes of 3D and 2D compare over the 3D-bearing patches of a model's unpruned steps."""

    mean_logit: float  # of M_3d
    bearing: float  # share of all patches that are 3D-bearing, 0..1
    patches: int  # 3D-bearing ones, over all steps

    @property
    def scale(self) -> float:
        """Return the scale of the model, where the paper's mean is one over 3D-bearing patches."""
        return exp(self.mean_logit) / odds(PAPER_MEAN)

    @property
    def scale_if_empty_count(self) -> float:
        """Return the scale of the model, where the paper's mean counts patches without 3D tokens as 0.

        Its mean over 3D-bearing patches is then PAPER_MEAN over their share, for which that of this model has to
        stand in. Raises ValueError where that share is no more than PAPER_MEAN.
        """
        if self.bearing <= PAPER_MEAN:
            raise ValueError(
                f"a share of {self.bearing:.3f} 3D-bearing patches cannot have a mean M_3d of {PAPER_MEAN}"
            )
        return exp(self.mean_logit) / odds(PAPER_MEAN / self.bearing)


def compare_magnitudes(feature: Tensor) -> Magnitudes | None:
    """Return how the L1 norms of 2D and 3D, [2, P], compare where both are above 0; None where they nowhere are.

    NaN stands for what was not observed. Waits for the device.
    """
    both = (feature > 0).all(0)
    count = int(both.sum())
    if count == 0:
        return None
    of_2d, of_3d = feature[:, both].double().log().unbind()
    return Magnitudes(float((of_3d - of_2d).mean()), count / feature.shape[1], count)
