"""How far cameras or joints are from where they are said to be, by the surfaces that depth images show.

Robust least squares on point-to-plane errors: what is far from the predicted surface has no say, and a direction in
which the surfaces tell nothing keeps what was expected of it, no displacement.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tristage_ros.perception.cloud import RgbdFrame
from tristage_ros.perception.surfaces import GATE, TABLE, ArmShape, Sight, Table, cells, compare

Floats = NDArray[np.float64]

NOISE = 0.004  # m, of one pixel against a shell that is a little off
ALIKE = 20.0  # pixels whose errors go together
EXPECTED_MOVE = np.array([0.02] * 3 + [0.03] * 3)  # m and rad, of a camera
EXPECTED_TURN = 0.07  # rad, of a joint
EXPECTED_TILT = np.array([0.03, 0.1, 0.1])  # m and rad, of a plane
NARROWING = (0.10, 0.06, 0.03, 0.015, 0.008)  # m: what is farther off has no say, from step to step
STILL = 0.006  # m: a smaller step needs no new prediction
ARM_LENGTH = 0.5  # m, about: what a joint moves
LEAST = 150  # pixels that a plane needs
WIDE = 0.03  # m, standard deviation that they have to be spread by, along x and y
LEVEL = 0.6  # share of them that have to lie in it


@dataclass(frozen=True)
class Move:
    """How the scene is displaced for a camera that is elsewhere than is said: turned, then shifted."""

    centre: Floats  # [3] m, base frame
    shift: Floats  # [3] m
    turn: Floats  # [3] rad, a rotation vector

    def at(self, points: Floats) -> Floats:
        """Return by how much points [N, 3] are displaced, [N, 3] m."""
        moved: Floats = self.shift + np.cross(self.turn, np.asarray(points) - self.centre)
        return moved

    def undone(self, frame: RgbdFrame) -> RgbdFrame:
        """Return the frame with its camera where it must be for the scene not to be displaced."""
        step = np.eye(4)
        step[:3, :3] = Rotation.from_rotvec(self.turn).as_matrix()
        step[:3, 3] = self.centre + self.shift - step[:3, :3] @ self.centre
        return replace(frame, camera=frame.camera.at(np.linalg.inv(step) @ frame.camera.pose))


def moved_camera(
    frame: RgbdFrame,
    shape: ArmShape,
    table: Table,
    stride: int,
    trusted: Collection[int],
    centre: Floats,
    first: Sight,
) -> Move:
    """Return how the scene is displaced in `frame`.

    Args:
        frame: what the camera measured.
        shape: the arm.
        table: what the arm stands on.
        stride: pixels, see `compare`.
        trusted: links (TABLE, 0 the base, 1 to 6) that are where they are said to be, seen from this camera.
        centre: [3] m, base frame, what it is turned about.
        first: what `compare` gave for all that.
    """
    sight, shown = first, np.zeros(6)  # the displacement that `sight` was predicted with
    move = shown
    for reach in NARROWING:
        near = _of(sight, trusted)
        if len(near.points) and np.abs(Move(centre, *np.split(move - shown, 2)).at(near.points)).max() > STILL:
            moved = Move(centre, *np.split(move, 2)).undone(frame)
            sight, shown = compare(moved, shape, table, stride), move
            near = _of(sight, trusted)
        rows = np.concatenate([near.normals, np.cross(near.points - centre, near.normals)], axis=1)
        move = shown + _solve(rows, near.errors, EXPECTED_MOVE, reach, move - shown, shown)
    return Move(centre, *np.split(move, 2))


def turned_joints(frame: RgbdFrame, shape: ArmShape, table: Table, stride: int, first: Sight) -> Floats:
    """Return by how much the joints are turned against `shape`, [6] rad, as a camera on the base sees it."""
    sight, shown, bent = first, np.zeros(6), shape
    turn = shown
    for reach in NARROWING[1:-1]:
        if np.abs(turn - shown).max() > STILL / ARM_LENGTH:
            (bent, _), shown = shape.turned(turn), turn
            sight = compare(frame, bent, table, stride)
        near = sight.of((sight.link > 1) & ~sight.hidden & ~sight.missing)  # the shoulder's shell tells J1 badly
        arms = near.points[:, None] - bent.origins
        rows = np.einsum("nkj,nj->nk", np.cross(bent.axes[None], arms), near.normals)
        rows *= near.link[:, None] > np.arange(6)
        turn = shown + _solve(rows, near.errors, np.full(6, EXPECTED_TURN), reach, turn - shown, shown)
    return turn


def tilted_table(sight: Sight, table: Table, bare: NDArray[np.bool_] | None) -> Floats | None:
    """Return height (m) and tilts (rad, along x and y) [3] of the table above where it should be.

    None where too little of it is seen, or what is seen is no plane. `bare` [X, Y] tells where nothing lies on it, see
    `surfaces.bare_table`.
    """
    seen = sight.of(sight.link == TABLE)
    if bare is not None:
        seen = seen.of(bare[tuple(cells(table, seen.points).T)])
    if len(seen.points) < LEAST or seen.points[:, :2].std(0).min() < WIDE:
        return None
    if np.median(seen.errors) > GATE:  # something is in front of most of it
        return None
    rows = np.column_stack([np.ones(len(seen.points)), seen.points[:, :2] - seen.points[:, :2].mean(0)])
    tilt = np.zeros(3)
    for reach in NARROWING:
        tilt = _solve(rows, seen.errors, EXPECTED_TILT, reach, tilt, np.zeros(3))
    level = np.abs(seen.errors - rows @ tilt) < NARROWING[-1]
    return tilt if level.mean() >= LEVEL else None


def _of(sight: Sight, links: Collection[int]) -> Sight:
    return sight.of(np.isin(sight.link, list(links)))


def _solve(rows: Floats, errors: Floats, expected: Floats, reach: float, now: Floats, before: Floats) -> Floats:
    """Return what explains `errors` [N] by `rows` [N, K] best, weighted by what `now` [K] leaves of them.

    `before` [K] is what was explained already; `expected` [K] is the usual size of it all.
    """
    left = np.clip(1.0 - ((errors - rows @ now) / reach) ** 2, 0.0, None)
    weights = left**2 / (NOISE**2 * ALIKE)
    known = rows.T @ (rows * weights[:, None]) + np.diag(1.0 / expected**2)
    answer: Floats = np.linalg.solve(known, rows.T @ (weights * errors) - before / expected**2)
    return answer
