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

DECLARED = graph.PIPER_PICK


def generate_launch_description() -> LaunchDescription:
    """Declare the graph's arguments; the nodes follow when their values are known."""
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in DECLARED
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list:
    """Return the processes of the graph; the end of one of them ends the launch."""
    described = graph.build("piper_pick", {a.name: context.launch_configurations[a.name] for a in DECLARED})
    # A launch that is killed cannot stop its nodes; they watch it and stop by themselves.
    variables = described.environment | {"TRISTAGE_SUPERVISOR": str(os.getpid())}
    environment = [SetEnvironmentVariable(name, value) for name, value in variables.items()]
    actions = [action for node in described.nodes for action in watched(node, described)]
    return [*unknown(context), *environment, *actions]


def unknown(context: LaunchContext) -> list:
    """Return a warning for every argument of the command line that is not ours; `ros2 launch` says nothing."""
    names = [argument.name for argument in DECLARED]
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
    )

    def ended(event: object, context: LaunchContext) -> EmitEvent:
        if event.returncode and not context.is_shutdown:
            raise RuntimeError(f"{spec.name} ended with exit code {event.returncode}")
        return EmitEvent(event=Shutdown(reason=f"{spec.name} ended"))

    return [RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended)), node]
