"""The scripted experts at other sites: boxes, a table that is higher, a cap of the tool's speed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tristage_ros.devices.arm.controller import ControllerConfig
from tristage_ros.devices.arm.guard import Guard
from tristage_ros.devices.arm.kinematics import link_poses
from tristage_ros.devices.arm.site import load_site
from tristage_ros.perception.extrinsics import load_extrinsics
from tristage_ros.resources import resource
from tristage_ros.simulation.episode import CONTROL, Episode
from tristage_ros.simulation.scene import object_poses
from tristage_ros.simulation.tasks import TASKS


def at(*parts: str) -> ControllerConfig:
    site = load_site(resource("config", *parts))
    return replace(CONTROL, guard=site.guard(load_extrinsics(resource("config", "cameras.yaml")).values()))


@pytest.mark.parametrize("parts", [("site.yaml",), ("sites", "raised_table.yaml")], ids=lambda parts: parts[-1])
@pytest.mark.parametrize("task", TASKS)
def test_experts_succeed_within_every_limit_of_the_site(
    task: str, parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    control, sent, limited = at(*parts), [], []
    let_pass = Guard.filter

    def watched(guard: Guard, *arguments, **named):
        setpoint = let_pass(guard, *arguments, **named)
        sent.append(setpoint.position)
        limited.append(setpoint.limited)
        return setpoint

    monkeypatch.setattr(Guard, "filter", watched)
    table = control.guard.workspace.table_height
    with Episode(task, 3, control=control, table=table) as episode:
        while not episode.finished:
            assert episode.step(episode.expert()).reason == ""
        assert episode.success()
    path = np.array(sent)
    assert control.guard.body.depth(link_poses(path), table)[0].max() <= 2e-3
    assert np.unique(limited).tolist() == [""]


def test_everything_stands_on_a_table_that_is_higher() -> None:
    for table in (0.05, -0.03):
        with Episode("banana", 1) as low, Episode("banana", 1, table=table) as high:
            for name in ("banana", "plate", "cup"):
                places = [object_poses(episode.world._data, [name])[name] for episode in (low, high)]
                np.testing.assert_allclose(places[1][:3, 3] - places[0][:3, 3], (0.0, 0.0, table), atol=2e-3)
                np.testing.assert_allclose(high.world.pose(name)[:3, 3], low.world.pose(name)[:3, 3], atol=2e-3)


def test_a_lower_table_is_no_higher_one_to_the_guard() -> None:
    control = at("sites", "raised_table.yaml")
    with Episode("banana", 0, control=control) as episode:  # the things stand 5 cm below what the guard knows
        reasons = [episode.step(episode.expert()).reason for _ in range(4)]
    assert any("outside the workspace" in reason or "in the table" in reason for reason in reasons)
