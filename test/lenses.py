"""Cameras with a lens of every model, as 640x480 images of colour cameras have them."""

from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.lens import Lens
from tristage_ros.perception.lens_models import EQUIDISTANT, INVERSE, PLUMB_BOB, RATIONAL

WIDE = (-0.0518, 0.0564, -0.0008, 0.0014, -0.0187)  # k1, k2, p1, p2, k3 of a wide colour camera
COEFFICIENTS = {
    "plumb_bob": (PLUMB_BOB, WIDE),
    "plumb_bob of 4": (PLUMB_BOB, (-0.11, 0.09, 0.0011, -0.0005)),
    "rational_polynomial": (RATIONAL, (0.52, -2.81, 0.0005, -0.0003, 1.62, 0.4, -2.63, 1.54)),
    "with a thin prism": (RATIONAL, (0.3, -0.2, 5e-4, -3e-4, 0.1, 0.1, -0.1, 0.1, 1e-3, 5e-4, 1e-3, 5e-4)),
    "tilted": (RATIONAL, (0.3, -0.2, 5e-4, -3e-4, 0.1, 0.1, -0.1, 0.1, 1e-3, 5e-4, 1e-3, 5e-4, 0.01, 0.02)),
    "equidistant": (EQUIDISTANT, (0.021, -0.012, 0.005, -0.002)),
    "inverse_brown_conrady": (INVERSE, WIDE),
}


def camera(name):
    """Return the camera of the name, in COEFFICIENTS, at the origin."""
    return CameraModel(640, 480, 435.9, 435.4, 328.3, 241.2, lens=Lens.of(*COEFFICIENTS[name]))
