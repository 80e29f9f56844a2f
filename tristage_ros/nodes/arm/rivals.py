"""Who else is in this ROS domain that must not move the arm."""

from __future__ import annotations

from rclpy.node import Node


def rivals(node: Node, topic: str) -> str:
    """Return why no command on `topic` may be acted on, "" when there is one live source and no replay.

    Another cell's source is on a topic below that cell's namespace and counts for nothing; a clock is everybody's.
    """
    if node.count_publishers("/clock"):
        return "something publishes /clock: a replay or another simulation is in this ROS domain; end it"
    publishers = [
        f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in node.get_publishers_info_by_topic(topic)
    ]
    players = [name for name in publishers if "rosbag2_player" in name]
    if players:
        return f"{players[0]} plays {topic} from a bag, which must not move an arm; leave that topic out"
    if len(publishers) > 1:
        return f"{len(publishers)} nodes publish {topic}: {', '.join(sorted(publishers))}; end all but one"
    return ""
