"""What can be set on the node that asks a policy server: names, defaults, ranges, meanings."""

from __future__ import annotations

from tristage_ros.ros.diagnostics import PARAMETERS as STREAM_PARAMETERS
from tristage_ros.ros.image_transport import IMAGE_TRANSPORT
from tristage_ros.ros.parameters import Parameter
from tristage_ros.ros.runner import AUTOSTART

PARAMETERS = (
    AUTOSTART,
    Parameter("server", "", "of the policy, as ws://HOST:PORT; it speaks OpenPI's protocol"),
    Parameter("map", "tristage", "what it is told and what it means: a file in config/openpi, or the path of one"),
    Parameter(
        "instruction",
        "put the banana on the blue plate",
        "what to do, the prompt; a change begins a new connection",
        read_only=False,
    ),
    Parameter(
        "control",
        "map",
        "ask when the map wants the next chunk, or on every frame (for replay)",
        choices=("map", "frame"),
    ),
    Parameter("answer_within", 1.0, "a server that takes longer is silent: a new connection is made", "s", 0.05, 60.0),
    Parameter(
        "first_within",
        300.0,
        "likewise of the first answer of a connection, before which models compile",
        "s",
        1.0,
        3600.0,
    ),
    Parameter("slow_step", 500.0, "an answer that takes longer is a warning", "ms", 1.0, 60000.0),
    Parameter("cameras_file", "", "camera extrinsics; empty: config/cameras.yaml"),
    Parameter("site_file", "", "which tool and joint limits the arm has; empty: config/site.yaml"),
    Parameter("max_age", 0.5, "nothing is asked about observations older than this", "s", 0.05, 10.0),
    Parameter("sync_tolerance", 0.05, "images and cloud this close belong together", "s", 0.0, 1.0),
    IMAGE_TRANSPORT,
    *STREAM_PARAMETERS,
)
