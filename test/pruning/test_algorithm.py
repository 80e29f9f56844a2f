"""Algorithm 1 against a plain transcription of it: loops and dictionaries, one number at a time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from math import isclose

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.pruning import PruningConfig, Salience, TokenGeometry, TokenMasks, TriStagePruner
from tristage_ros.pruning.stages import background_to_keep

NAMES = ("m_2d_s1", "m_3d_s1", "m_2d_s2", "m_3d_s2", "attention")


class TooCloseError(Exception):
    """A comparison that rounding decides."""


def above(value: float, bound: float) -> bool:
    if isclose(value, bound, rel_tol=1e-5, abs_tol=1e-6):
        raise TooCloseError
    return value > bound


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


@dataclass
class Transcription:
    config: PruningConfig
    t: int = 0
    magnitudes: dict = field(default_factory=dict)  # (patch, name) -> newest
    counts: dict = field(default_factory=dict)  # patch -> n
    predicted: dict = field(default_factory=dict)  # patch -> {name: X^}

    def observe(self, patch_of_point: list[int], masks: tuple, salience: tuple) -> None:
        keep_2d, keep_3d = masks
        feature_2d, feature_3d, attention_2d, attention_3d = salience
        patches = range(len(keep_2d))
        inside = {p: [j for j, a in enumerate(patch_of_point) if a == p] for p in patches}
        kept = {p: [j for j in inside[p] if keep_3d[j]] for p in patches}
        rho = 1.0
        if self.predicted and self.config.attention_share:
            everything = sum(self.predicted[p]["attention"] for p in self.predicted)
            seen = sum(self.predicted[p]["attention"] for p in self.predicted if keep_2d[p] or kept[p])
            rho = seen / everything if everything else 1.0
        for p in patches:
            if keep_2d[p]:
                self.magnitudes[p, "f2"] = feature_2d[p]
                self.magnitudes[p, "a2"] = [rho * a for a in attention_2d[p]]
            if kept[p]:
                self.magnitudes[p, "f3"] = sum(feature_3d[j] for j in kept[p]) / len(kept[p])
                scale = rho * len(inside[p]) / len(kept[p])
                columns = zip(*(attention_3d[j] for j in kept[p]), strict=True)
                self.magnitudes[p, "a3"] = [scale * sum(column) for column in columns]
            elif keep_2d[p] and not inside[p]:
                self.magnitudes[p, "f3"], self.magnitudes[p, "a3"] = 0.0, [0.0] * len(attention_2d[p])
            if (keep_2d[p] or kept[p]) and (p, "f2") in self.magnitudes and (p, "f3") in self.magnitudes:
                self.update(p)

    def update(self, p: int) -> None:
        f2, f3, a2, a3 = (self.magnitudes[p, name] for name in ("f2", "f3", "a2", "a3"))
        norm_2d, norm_3d = sum(map(abs, a2)), sum(map(abs, a3))
        parallel = ratio(sum(x * y for x, y in zip(a3, a2, strict=True)), sum(y * y for y in a2))
        ortho = sum(abs(x - parallel * y) for x, y in zip(a3, a2, strict=True))
        new = {
            "m_2d_s1": ratio(f2, f2 + f3),
            "m_3d_s1": ratio(f3, f2 + f3),
            "m_2d_s2": ratio(norm_2d, norm_2d + norm_3d),
            "m_3d_s2": ratio(ortho, norm_2d + norm_3d),
            "attention": norm_2d + norm_3d,
        }
        n = self.counts[p] = self.counts.get(p, 0) + 1
        beta, old = self.config.beta, self.predicted.get(p)
        if old is None or 3 not in self.config.stages:
            self.predicted[p] = new
        elif n < self.config.window:
            self.predicted[p] = {name: ((n - 1) * old[name] + new[name]) / n for name in NAMES}
        else:
            self.predicted[p] = {name: beta * old[name] + (1 - beta) * new[name] for name in NAMES}

    def clusters(self) -> dict[int, str]:
        by_patch = {p: self.predicted[p]["attention"] for p in self.predicted}
        order = sorted(by_patch, key=by_patch.__getitem__)
        values = [by_patch[p] for p in order]
        places = [i for i in range(1, len(values)) if above(values[i], values[i - 1])]
        splits = []
        for cuts in combinations(places, min(2, len(places))):
            runs = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
            splits.append((sum(self.spread([by_patch[p] for p in run]) for run in runs), runs))
        splits.sort(key=lambda split: split[0])
        if len(splits) > 1:
            above(splits[1][0], splits[0][0])
        runs = splits[0][1]
        names = {1: ["object"], 2: ["background", "object"], 3: ["background", "robot", "object"]}[len(runs)]
        return {p: name for name, run in zip(names, runs, strict=True) for p in run}

    @staticmethod
    def spread(values: list[float]) -> float:
        mean = sum(values) / len(values)
        return sum((value - mean) ** 2 for value in values)

    def plan(self, patch_of_point: list[int], keep_background: list[bool]) -> tuple[list[bool], list[bool]]:
        sets, count = self.clusters(), len(self.predicted)
        mu_2d = sum(x["m_2d_s2"] for x in self.predicted.values()) / count
        mu_3d = sum(x["m_3d_s2"] for x in self.predicted.values()) / count
        final = {}
        for p, x in self.predicted.items():
            if p not in patch_of_point or not above(x["m_3d_s1"], self.config.tau_2d):
                first = {"2D"}
            elif above(x["m_3d_s1"], self.config.tau_3d):
                first = {"3D"}
            else:
                first = {"2D", "3D"}
            second = self.semantic(sets[p], x, mu_2d, mu_3d, keep_background[p])
            final[p] = (second & first) or second
        keep_2d = ["2D" in final[p] for p in range(count)]
        keep_3d = [a < 0 or "3D" in final[a] for a in patch_of_point]
        if not any(keep_2d):
            keep_2d[max(self.predicted, key=lambda p: self.predicted[p]["attention"])] = True
        return keep_2d, keep_3d

    def semantic(self, name: str, x: dict[str, float], mu_2d: float, mu_3d: float, lucky: bool) -> set[str]:
        if name == "background":
            return {"2D", "3D"} if lucky else set()
        if name == "robot":
            if above(x["m_3d_s2"], mu_3d):
                return {"2D", "3D"}
            return {"2D"} if above(x["m_2d_s2"], mu_2d) else set()
        much_2d = above(x["m_2d_s2"], self.config.obj_2d_floor)
        return {"2D"} if much_2d and not above(x["m_3d_s2"], self.config.obj_3d_epsilon) else {"2D", "3D"}


@settings(max_examples=500, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    patches=st.integers(3, 12),
    points=st.integers(0, 18),
    heads=st.integers(1, 4),
    config=st.builds(
        PruningConfig,
        window=st.integers(1, 5),
        beta=st.sampled_from([0.0, 0.5, 0.85]),
        background_drop=st.sampled_from([0.3, 0.9]),
        attention_share=st.booleans(),
        seed=st.integers(0, 4),
    ),
    partial=st.booleans(),
)
def test_plain_transcription_agrees(
    seed: int, patches: int, points: int, heads: int, config: PruningConfig, partial: bool
) -> None:
    pruner, transcription = TriStagePruner(config), Transcription(config)
    generator = torch.Generator().manual_seed(seed)
    for step in range(1, 8):
        geometry = TokenGeometry(torch.randint(-1, max(patches - 2, 1), (points,), generator=generator), patches)
        salience = draw(generator, geometry, heads)
        pruner.begin_step()
        masks = pruner.plan(geometry)
        index = geometry.patch_of_point.tolist()
        if step == 1:
            assert masks.keep_2d.all()
            assert masks.keep_3d.all()
        else:
            kept = background_to_keep(
                patches, config.background_drop, False, config.seed, step, masks.keep_2d.device
            ).tolist()
            # A comparison that rounding decides says nothing; the steps after it still do.
            with suppress(TooCloseError):
                assert (masks.keep_2d.tolist(), masks.keep_3d.tolist()) == transcription.plan(index, kept)
        if not partial:
            masks = TokenMasks.all_kept(geometry)
        pruner.observe(geometry, masks, salience)
        lists = tuple(tensor.tolist() for tensor in vars(salience).values())
        transcription.observe(index, (masks.keep_2d.tolist(), masks.keep_3d.tolist()), lists)


def draw(generator: torch.Generator, geometry: TokenGeometry, heads: int) -> Salience:
    patches, points = geometry.patches, len(geometry.patch_of_point)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    # Magnitudes around the thresholds of stage 1, and 3D attention that is sometimes next to nothing.
    return Salience(
        feature_2d=uniform(patches) + 0.5,
        feature_3d=uniform(points) * 0.4,
        attention_2d=uniform(patches, heads) * uniform(patches, 1) ** 2,
        attention_3d=uniform(points, heads) * uniform(points, 1) ** 4,
    )
