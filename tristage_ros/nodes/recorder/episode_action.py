"""The action `~/record`: one episode from the acceptance of a goal to its result.

A goal is accepted in any case, for only a result has room for the reason of a refusal. It is executed, as rclpy calls
it, when its result is known, so that no thread waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from tristage_msgs.action import RecordEpisode
from tristage_msgs.msg import EpisodeStatus

from tristage_ros.bags.episodes.episode import UNMARKED
from tristage_ros.nodes.recorder.running import Running
from tristage_ros.nodes.recorder.session import Answer, Session


class EpisodeAction:
    """Offer the action; the goal of an episode goes with it to its end."""

    def __init__(self, node: Node, session: Session, start: Callable[[RecordEpisode.Goal], Answer]) -> None:
        """Offer it on `node`; `start` begins an episode of `session`."""
        self._session, self._start = session, start
        self._goal: Any = None
        self._server = ActionServer(
            node,
            RecordEpisode,
            "~/record",
            execute_callback=lambda goal: RecordEpisode.Result(),
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            handle_accepted_callback=self._on_goal,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def tick(self) -> None:
        """End an episode whose goal was cancelled."""
        if self._goal and self._goal.is_cancel_requested:
            self._session.end(UNMARKED, "cancelled")

    def tell(self, status: EpisodeStatus) -> None:
        """Publish how it goes as feedback."""
        if self._goal and status.state == EpisodeStatus.RECORDING:
            self._goal.publish_feedback(
                RecordEpisode.Feedback(seconds=status.seconds, messages=status.messages, complaints=status.complaints)
            )

    def closed(self, running: Running) -> None:
        """Send the result of an episode that has come to its end."""
        if self._goal:
            goal, self._goal = self._goal, None
            goal.execute(partial(_result, running=running))

    def _on_goal(self, goal: Any) -> None:
        begun, told = self._start(goal.request)
        if begun:
            self._goal = goal
        else:
            goal.execute(partial(_refused, why=told))


def _refused(goal: Any, why: str) -> RecordEpisode.Result:
    goal.abort()
    return RecordEpisode.Result(success=False, message=why)


def _result(goal: Any, running: Running) -> RecordEpisode.Result:
    episode, whole = running.episode, not running.trouble
    if goal.is_cancel_requested:
        goal.canceled()
    elif whole:
        goal.succeed()
    else:
        goal.abort()
    return RecordEpisode.Result(
        success=whole,
        message=running.trouble or str(running.place.path),
        folder=str(running.place.path),
        outcome=episode.outcome,
        reason=episode.reason,
        seconds=episode.seconds,
        messages=episode.messages,
        complaints=episode.complaints,
    )
