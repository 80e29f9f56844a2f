"""The names of the lens models; without OpenCV, which who only reads the cameras file need not have."""

from __future__ import annotations

PLUMB_BOB, RATIONAL, EQUIDISTANT, INVERSE = (
    "plumb_bob", "rational_polynomial", "equidistant", "inverse_brown_conrady"
)  # fmt: skip
COUNTS = {PLUMB_BOB: (4, 5), RATIONAL: (4, 5, 8, 12, 14), EQUIDISTANT: (4,), INVERSE: (4, 5)}
RECTIFIED = "rectified"  # no model: the image has been freed of what its camera_info tells of
NAMES = (*COUNTS, RECTIFIED)  # what `lens` of a camera may be in the cameras file
