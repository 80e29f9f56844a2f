"""One client's conversation: a message in, a control step, an answer out, with pruning state of its own."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np

from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.mla.values import Action, StepReport
from tristage_ros.pruning import TriStagePruner
from tristage_ros.serving.observations import Reader
from tristage_ros.serving.wire import pack, unpack
from tristage_ros.words import one_line

logger = logging.getLogger(__name__)


class Session:
    """Answer one client's messages, one after the other, by a policy that shares its model with those of others."""

    def __init__(self, policy: MlaPolicy, reader: Reader, client: str) -> None:
        """Begin without state: the first message resets.

        Args:
            policy: of whose model and settings that of this client is; its pruner is tri-stage.
            reader: of the messages.
            client: what it is called in the log.
        """
        pruner = policy.pruner
        assert isinstance(pruner, TriStagePruner)
        self._policy = policy.another(TriStagePruner(pruner.config, pruner.scales))
        self._reader, self._client = reader, client
        self._prompt: str | None = None
        self._told_unknown = False
        self.previous_ms: float | None = None  # from the last message to the end of its answer

    def answer(self, data: bytes, waiting_ms: float) -> bytes:
        """Run one control step on a message that waited so long, and return the answer.

        Raises ValueError where the message is none or its observation cannot be used, and what else `MlaPolicy.act`
        raises; where it is a ValueError of ours the step has not taken place, and the pruning state is as it was.
        """
        began = time.perf_counter()
        message = unpack(data)
        request = self._reader.read(message)
        self._tell_unknown(message)
        if request.reset or request.prompt != self._prompt:
            self._policy.reset(request.prompt)
            self._prompt = request.prompt
        read = time.perf_counter()
        action, report = self._policy.act(request.observation)
        timing = {
            "infer_ms": (time.perf_counter() - read) * 1e3,
            "read_ms": (read - began) * 1e3,
            "waiting_ms": waiting_ms,
            **{f"{part}_ms": float(value) for part, value in report.milliseconds.items()},
        }
        if self.previous_ms is not None:
            timing["prev_total_ms"] = self.previous_ms
        # Arrays but for the actions would be cut into steps by OpenPI's ActionChunkBroker.
        return pack(
            {
                "actions": as_array(action),
                "pruning": pruning_of(report),
                "state_clipped": report.state_clipped,
                "points_dropped": report.points_dropped,
                "server_timing": timing,
            }
        )

    def _tell_unknown(self, message: dict[str, Any]) -> None:
        unknown = self._reader.names.unknown(message)
        if unknown and not self._told_unknown:
            self._told_unknown = True
            logger.info("%s: %s mean nothing here", self._client, one_line(", ".join(unknown)))


def as_array(action: Action) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return actions as [n, 7]: translation (m), roll, pitch, yaw (rad), gripper 0..1, as `Action` has them."""
    return np.column_stack([action.translation, action.rotation, action.gripper])


def pruning_of(report: StepReport) -> dict[str, Any]:
    """Return what a step pruned: shares of tokens, 0..1, counts of those kept, and what each stage came to and took."""
    pruning, cost = report.pruning, report.milliseconds

    def stage(name: str, milliseconds: str) -> dict[str, float]:
        rates = {rate: float(getattr(pruning, f"{name}_{rate}")) for rate in ("rate_2d", "rate_3d")}
        return rates | {"ms": float(cost.get(milliseconds, 0.0))}

    return {
        "step": report.step,
        "pruned": pruning.pruned,
        "rate": pruning.rate,
        "rate_2d": pruning.rate_2d,
        "rate_3d": pruning.rate_3d,
        "tokens_2d": pruning.tokens_2d,
        "tokens_3d": pruning.tokens_3d,
        "stage1": stage("stage1", "stage1"),
        "stage2": stage("stage2", "stage2"),
        "stage3": {"changed": pruning.ema_changed, "ms": float(cost.get("stage3", 0.0))},
        "fusion": stage("fused", "fusion"),
    }
