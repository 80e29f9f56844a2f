"""The command `tristage preset save`: write what the running policy's pruner is set to as a preset."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any

import rclpy
import yaml
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from tristage_ros.bags.facts import pruner_settings
from tristage_ros.graph.graph import environment
from tristage_ros.graph.namespaces import node_arguments
from tristage_ros.nodes.policy.tuning import PARAMETERS, PRESET
from tristage_ros.pruning import PruningConfig
from tristage_ros.ros.context import begin

PATIENCE = 5.0  # s for the policy to be found, and again for its answer
SUFFIXES = (".yaml", ".yml")


def run(options: argparse.Namespace) -> int:
    """Write the preset that the options name; return the exit code.

    Raises:
        ValueError: the file is there already, or would be no preset by its name, or no policy answers.
        OSError: the file cannot be written.
    """
    if options.file.suffix not in SUFFIXES:
        raise ValueError(f"{options.file}: the name of a preset ends in {' or '.join(SUFFIXES)}")
    if options.file.exists() and not options.force:
        raise ValueError(f"{options.file} exists already; --force writes over it")
    os.environ.update(environment())
    parameters = _parameters(node_arguments(options))
    config = PruningConfig.from_dict(pruner_settings(parameters))
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    head = f"# Token pruning as it was set on {since}, beside the preset {parameters['pruning'] or 'robot'}\n"
    values = yaml.safe_dump(config.to_dict(), sort_keys=False, default_flow_style=None)
    options.file.write_text(head + values, encoding="utf-8")
    print(f"{options.file}: pruning:={options.file} uses it")
    return 0


def _parameters(ros_arguments: Sequence[str]) -> dict[str, Any]:
    """Ask the policy for its preset and all `pruner.*`."""
    begin(ros_arguments)
    node = Node("preset", start_parameter_services=False, enable_rosout=False)
    try:
        return _asked(node, [parameter.name for parameter in PARAMETERS])
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _asked(node: Node, names: Sequence[str]) -> dict[str, Any]:
    client = node.create_client(GetParameters, "policy/get_parameters")
    found = client.wait_for_service(timeout_sec=PATIENCE)
    asked = client.call_async(GetParameters.Request(names=names))
    if found:
        rclpy.spin_until_future_complete(node, asked, timeout_sec=PATIENCE)
    if not found or not asked.done():
        domain = os.environ.get("ROS_DOMAIN_ID", "0")
        raise ValueError(f"no policy answers on {client.srv_name} in ROS domain {domain}: start the graph first")
    values = [parameter_value_to_python(value) for value in asked.result().values]
    if len(values) != len(names):
        raise ValueError(f"the policy that runs does not know {PRESET.name} and pruner.*: it is of another version")
    return {name: list(v) if hasattr(v, "tolist") else v for name, v in zip(names, values, strict=True)}
