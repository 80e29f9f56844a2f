"""Start the pick cell: `ros2 launch tristage_ros piper_pick.launch.py hardware:=sim|piper ...`."""

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch_ros.actions import Node

from tristage_ros import graph


def generate_launch_description() -> LaunchDescription:
    """Describe the pick cell."""
    return describe("piper_pick")


def describe(name: str) -> LaunchDescription:
    """Declare the arguments of the graph called `name`; the nodes follow when their values are known."""
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in graph.GRAPHS[name][0]
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start, args=[name])])


def start(context: LaunchContext, name: str) -> list:
    """Return the processes of the graph; the end of one of them ends the launch."""
    names = [argument.name for argument in graph.GRAPHS[name][0]]
    described = graph.build(name, {argument: context.launch_configurations[argument] for argument in names})
    # A launch that is killed cannot stop its nodes; they watch it and stop by themselves.
    variables = described.environment | {"TRISTAGE_SUPERVISOR": str(os.getpid())}
    environment = [SetEnvironmentVariable(name, value) for name, value in variables.items()]
    actions = [action for node in described.nodes for action in watched(node, described)]
    return [*unknown(context, names), *environment, *actions]


def unknown(context: LaunchContext, names: list[str]) -> list:
    """Return a warning for every argument of the command line that is not ours; `ros2 launch` says nothing."""
    given = [text.partition(":=")[0] for text in context.argv if ":=" in text]
    valid = ", ".join(names)
    return [LogInfo(msg=f"no launch argument is called {n!r}; there are: {valid}") for n in given if n not in names]


def watched(spec: graph.NodeSpec, described: graph.Graph) -> list:
    """Return one node with what happens when it ends: the others stop, and a failure is the launch's failure."""
    node = Node(
        package=spec.package,
        executable=spec.executable,
        name=spec.name,
        arguments=list(spec.arguments),
        output="screen",
        parameters=[str(described.parameter_file), spec.parameters],
        remappings=list(spec.remappings.items()),
    )

    def ended(event: object, context: LaunchContext) -> EmitEvent:
        if event.returncode and not context.is_shutdown:
            raise RuntimeError(f"{spec.name} ended with exit code {event.returncode}")
        return EmitEvent(event=Shutdown(reason=f"{spec.name} ended"))

    return [RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended)), node]
