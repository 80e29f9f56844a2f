"""Start the pick cell: `ros2 launch tristage_ros piper_pick.launch.py hardware:=sim|piper ...`."""

import os
import sys

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch_ros.actions import Node

from tristage_ros.graph import namespaces, prerequisites
from tristage_ros.graph.arguments import ARGUMENTS, refuse_unknown, typed


def generate_launch_description() -> LaunchDescription:
    """Describe the pick cell."""
    return describe("piper_pick")


def describe(name: str) -> LaunchDescription:
    """Declare the arguments of the graph called `name`; the nodes follow when their values are known."""
    # Values are checked with the graph: `choices` would say it twice, and refuse True for true.
    declared = [
        DeclareLaunchArgument(argument.name, default_value=argument.default, description=argument.help)
        for argument in ARGUMENTS[name]
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start, args=[name])])


def start(context: LaunchContext, name: str) -> list:
    """Return the processes of the graph, or what ends the launch with exit code 1 and one line that says why."""
    try:
        return processes(context, name)
    except (ValueError, RuntimeError, OSError) as error:
        reason = RuntimeError(str(error))
    # Not now: launch would forget, and leave behind, what a parent file has begun to start.
    return [TimerAction(period=0.0, actions=[OpaqueFunction(function=failed, args=[reason])])]


def failed(context: LaunchContext, reason: Exception) -> None:
    """Raise `reason`, of which launch prints the message before it stops what runs."""
    raise reason


def processes(context: LaunchContext, name: str) -> list:
    """Return the processes of the graph; the end of one of them ends the launch.

    Raises:
        ValueError: an argument is wrong.
        RuntimeError: something is not installed.
        OSError: a file cannot be read.
    """
    if is_launched_itself(context):
        refuse_unknown(ARGUMENTS[name], typed(context.argv))
    try:
        from tristage_ros.graph import graph  # takes numpy and more
    except ModuleNotFoundError as error:
        raise RuntimeError(prerequisites.complaint([error.name], sys.executable)) from None
    given = {argument.name: context.launch_configurations[argument.name] for argument in ARGUMENTS[name]}
    pushed = context.launch_configurations.get("ros_namespace", "")
    described = graph.build(name, given | {"namespace": namespaces.below(pushed, given["namespace"])})
    script = prerequisites.program(graph.OURS, described.executables[0])
    if script:  # else launch says that it is not installed
        prerequisites.require(described.executables, prerequisites.interpreter(script))
    files = graph.parameter_files(described.nodes)
    return [action for node in described.nodes for action in watched(node, described, files.get(node.name))]


def is_launched_itself(context: LaunchContext) -> bool:
    """Tell whether the file that is being read was typed, not included by another one, whose arguments are its own."""
    known = context.get_locals_as_dict()
    root = getattr(known.get("event"), "launch_description", LaunchDescription())
    here = known.get("current_launch_file_path")
    included = [entity for entity in root.entities if isinstance(entity, IncludeLaunchDescription)]
    return any(os.path.abspath(entity.launch_description_source.location) == here for entity in included)


def watched(spec, described, parameters) -> list:
    """Return one node with what happens when it ends: the others stop, and a failure is the launch's failure."""
    node = Node(
        package=spec.package,
        executable=spec.executable,
        name=spec.name,
        namespace=described.namespace or "/",
        arguments=list(spec.arguments),
        output="screen",
        parameters=[str(parameters)] if parameters else [],
        remappings=list(spec.remappings.items()),
        # Of this node alone. A launch that is killed cannot stop its nodes; they watch it and stop by themselves.
        additional_env=described.environment_of(spec) | {"TRISTAGE_SUPERVISOR": str(os.getpid())},
    )

    def ended(event: object, context: LaunchContext) -> EmitEvent:
        if event.returncode and not context.is_shutdown:
            raise RuntimeError(f"{spec.name} ended with exit code {event.returncode}")
        return EmitEvent(event=Shutdown(reason=f"{spec.name} ended"))

    return [RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended)), node]
