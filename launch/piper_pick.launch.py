"""Start the pick cell: `ros2 launch tristage_ros piper_pick.launch.py hardware:=sim|piper ...`."""

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from tristage_ros import graph


def generate_launch_description() -> LaunchDescription:
    """Declare the graph's arguments; the nodes follow when their values are known."""
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in graph.PIPER_PICK
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list:
    """Return the processes of the graph; the end of one of them ends the launch."""
    given = {argument.name: context.launch_configurations[argument.name] for argument in graph.PIPER_PICK}
    described = graph.build("piper_pick", given)
    environment = [SetEnvironmentVariable(name, value) for name, value in described.environment.items()]
    nodes = [
        Node(
            package=node.package,
            executable=node.executable,
            name=node.name,
            arguments=list(node.arguments),
            output="screen",
            parameters=[str(described.parameter_file), node.parameters],
        )
        for node in described.nodes
    ]
    handlers = [
        RegisterEventHandler(
            OnProcessExit(
                target_action=node,
                on_exit=[EmitEvent(event=Shutdown(reason=f"{spec.name} ended"))],
            )
        )
        for node, spec in zip(nodes, described.nodes, strict=True)
    ]
    return [*environment, *handlers, *nodes]
