"""The command `tristage record`: the recorder node in this process, beside a graph that runs already."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from tristage_ros.graph.graph import environment
from tristage_ros.graph.middleware import without_images
from tristage_ros.graph.namespaces import node_arguments
from tristage_ros.nodes.recorder.node import RecorderNode
from tristage_ros.ros.runner import run


def record(options: argparse.Namespace) -> int:
    """Record as the options say until Ctrl-C; return the exit code."""
    os.environ.update(without_images(environment()))
    run_dir = "" if options.out == Path() else str(options.out)
    values = {
        "run_dir": json.dumps(run_dir),
        "color": options.color,
        "cameras": json.dumps(options.cameras),
        "image_interval": options.every,
    }
    overrides = [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]
    made: list[RecorderNode] = []

    def make() -> RecorderNode:
        made.append(RecorderNode())
        return made[0]

    code = run(make, ["tristage", *node_arguments(options), "--ros-args", *overrides], niceness=10)
    return code or int(any(node.writer.failure for node in made))
