"""The baselines: their recipes against plain-Python transcriptions, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tristage_ros.pruning import FrameContext, LayerAttention, PruningConfig, Salience, TokenGeometry, TokenMasks
from tristage_ros.pruning.baselines import METHODS, Dart, FastV, NaiveRandom, SpVla, VlaPruner, make_pruner
from tristage_ros.pruning.baselines.in_pass import most_different
from tristage_ros.pruning.values import LayerStates

Scene = Callable[[int], tuple[TokenGeometry, list[Salience]]]
HidePruned = Callable[[Salience, TokenMasks], Salience]
HALF = PruningConfig(target_rate=0.5, token_bucket=1)
OPTIONS = {"fastv": {"mid_layer": 2}, "vla_pruner": {"mid_layer": 2, "window": 2}, "sp_vla": {"fast_share": 1.0}}
PRUNING = [name for name in METHODS if name not in ("tristage", "none", "split", "weighted", "one_modality")]


def make(method: str, config: PruningConfig = HALF):
    return make_pruner(method, config, **OPTIONS.get(method, {}))


def look(generator: torch.Generator, geometry: TokenGeometry, heads: int = 3, text: int = 6) -> LayerAttention:
    counts = geometry.patches, len(geometry.patch_of_point)
    return LayerAttention(
        *(torch.rand(count, heads, generator=generator) for count in counts),
        *(torch.randn(count, 5, generator=generator) for count in counts),
        LayerStates(
            *(torch.randn(count, 5, generator=generator) for count in (*counts, text)),
            *(torch.rand(count, generator=generator) for count in (*counts, text)),
        ),
    )


def frame(patches: int = 64, generator: torch.Generator | None = None, **changes) -> FrameContext:
    edges = torch.rand(patches, generator=generator) < 0.3 if generator else torch.arange(patches) % 4 == 0
    return replace(FrameContext(torch.full((patches, 3), 0.5), None, edges, 0.0), **changes)


def step(pruner, geometry, salience, context, hide, generator) -> TokenMasks:
    """Take a whole step as a model does, the choice inside the pass included."""
    pruner.begin_step()
    masks = pruner.plan(geometry, context)
    if hasattr(pruner, "mid_pass"):
        masks = pruner.mid_pass(pruner.mid_layer, look(generator, geometry)) or masks
    pruner.observe(geometry, masks, hide(salience, masks) if pruner.wants_salience else None)
    return masks


def tokens(masks: TokenMasks) -> list[int]:
    """Return the kept tokens, the 2D ones ahead."""
    return torch.cat([masks.keep_2d, masks.keep_3d]).nonzero()[:, 0].tolist()


def same(first: TokenMasks, second: TokenMasks) -> bool:
    return tokens(first) == tokens(second)


# The recipes


def best(score: list[float], first: list[int], forced: list[int], size: int) -> list[int]:
    """Return `size` tokens: forced, then first, then the rest, each by score."""
    tier = [2 * (t in forced) + (t in first) for t in range(len(score))]
    order = sorted(range(len(score)), key=lambda t: (-tier[t], -score[t], t))
    return sorted({*order[:size], *forced})


def outside(geometry: TokenGeometry) -> list[int]:
    return [geometry.patches + j for j, patch in enumerate(geometry.patch_of_point.tolist()) if patch < 0]


def with_one_image_token(score: list[float], patches: int, forced: list[int], first: list[int]) -> list[int]:
    if any(t < patches for t in forced):
        return forced
    among = [t for t in first if t < patches] or list(range(patches))
    return [*forced, max(among, key=lambda t: (score[t], -t))]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**31), points=st.integers(1, 30), rate=st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_fastv_keeps_what_the_last_token_looks_at(seed: int, points: int, rate: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    geometry = TokenGeometry(torch.randint(-1, 12, (points,), generator=generator), 12)
    pruner = FastV(replace(HALF, target_rate=rate), mid_layer=3)
    assert pruner.mid_queries == 1
    pruner.plan(geometry)
    shown = look(generator, geometry)
    score = [sum(row) / len(row) for row in torch.cat([shown.attention_2d, shown.attention_3d]).double().tolist()]
    forced = with_one_image_token(score, 12, outside(geometry), [])
    masks = pruner.mid_pass(3, shown)
    assert masks is not None
    assert tokens(masks) == best(score, [], forced, round((1 - rate) * (12 + points)))
    assert pruner.mid_pass(2, shown) is None  # another layer


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**31), speed=st.sampled_from([None, 0.0, 0.1, 9.0]))
def test_sp_vla_keeps_edges_and_what_was_attended_to(seed: int, speed: float | None) -> None:
    generator = torch.Generator().manual_seed(seed)
    pruner, past = SpVla(HALF, fast_speed=0.4, fast_share=0.2, decay=0.6), None
    rate = 0.5 * {None: 1.0, 0.0: 1.0, 0.1: 0.8, 9.0: 0.2}[speed]
    for number in range(4):
        geometry = TokenGeometry(torch.randint(-1, 9, (14,), generator=generator), 12)
        index = geometry.patch_of_point.tolist()
        context = frame(12, generator, tool_speed=speed)
        masks = pruner.plan(geometry, context)
        if number:
            score = past[0] + [past[1][a] if a >= 0 else 0.0 for a in index]
            edges = [p for p in range(12) if context.edges[p]]
            first = edges + [12 + j for j, a in enumerate(index) if a in edges]
            forced = with_one_image_token(score, 12, outside(geometry), first)
            assert tokens(masks) == best(score, first, forced, round((1 - rate) * 26))
        else:
            assert len(tokens(masks)) == 26
        salience = draw(generator, geometry)
        pruner.observe(geometry, masks, salience)
        newest = by_patch(index, masks, salience, past)
        past = newest if past is None else [mixed(*rows) for rows in zip(newest, past, strict=True)]


def mixed(new: list[float], old: list[float]) -> list[float]:
    return [0.4 * a + 0.6 * b for a, b in zip(new, old, strict=True)]


def by_patch(index: list[int], masks: TokenMasks, salience: Salience, past: list | None) -> list[list[float]]:
    """Return attention per token of every patch, mean over heads; where nothing was seen, the past's."""
    keep_2d, keep_3d = masks.keep_2d.tolist(), masks.keep_3d.tolist()
    of_2d, of_3d = (
        [sum(row) / len(row) for row in rows.double().tolist()]
        for rows in (salience.attention_2d, salience.attention_3d)
    )
    new_2d, new_3d = [], []
    for p in range(len(keep_2d)):
        old_2d, old_3d = (past[0][p], past[1][p]) if past else (0.0, 0.0)
        new_2d.append(of_2d[p] if keep_2d[p] else old_2d)
        inside = [j for j, a in enumerate(index) if a == p]
        seen = [of_3d[j] for j in inside if keep_3d[j]]
        empty = not inside and keep_2d[p]
        new_3d.append(sum(seen) / len(seen) if seen else 0.0 if empty else old_3d)
    return [new_2d, new_3d]


def draw(generator: torch.Generator, geometry: TokenGeometry) -> Salience:
    counts = geometry.patches, len(geometry.patch_of_point)
    return Salience(
        *(torch.rand(count, generator=generator) for count in counts),
        *(torch.rand(count, 3, generator=generator) for count in counts),
    )


def cosine_distance(a: list[float], b: list[float]) -> float:
    lengths = sqrt(sum(x * x for x in a)) * sqrt(sum(y * y for y in b))
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / lengths


def thinned(embedding: list[list[float]], among: list[int], count: int) -> list[int]:
    if len(among) <= count:
        return among
    chosen: list[int] = []
    while len(chosen) < count:
        rest = [t for t in among if t not in chosen]
        others = chosen or among
        nearest = {t: min(cosine_distance(embedding[t], embedding[u]) for u in others if u != t) for t in rest}
        chosen.append(max(rest, key=lambda t: (nearest[t], -t)))
    return chosen


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), zero=st.booleans(), full=st.booleans(), rate=st.sampled_from([0.3, 0.6, 0.9]))
def test_vla_pruner_unites_two_rankings_and_thins_them_out(seed: int, zero: bool, full: bool, rate: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    options = {"mid_layer": 1, "window": 2, "decay": 0.5, "full_history": full, "unseen_is_zero": zero}
    pruner = VlaPruner(replace(HALF, target_rate=rate), **options)
    assert pruner.mid_queries is None
    history: list[list[list[float]]] = []  # newest first
    for number in range(5):
        geometry = TokenGeometry(torch.randint(-1, 9, (14,), generator=generator), 12)
        index = geometry.patch_of_point.tolist()
        masks, shown = pruner.plan(geometry), look(generator, geometry)
        assert len(tokens(masks)) == 26  # everything is embedded
        chosen = pruner.mid_pass(1, shown)
        assert (chosen is None) == (number < (2 if full else 1))
        if chosen is not None:
            masks = chosen
            expected = expected_vla(geometry, shown, history, round((1 - rate) * 26))
            assert tokens(masks) == expected
        salience = draw(generator, geometry)
        pruner.observe(geometry, masks, salience)
        history.insert(0, by_patch(index, masks, salience, history[0] if history and not zero else None))
        del history[2:]


def expected_vla(geometry: TokenGeometry, shown: LayerAttention, history: list, size: int) -> list[int]:
    weighted = [
        [sum(0.5**age * past[kind][p] for age, past in enumerate(history)) for p in range(12)] for kind in (0, 1)
    ]
    by_actions = weighted[0] + [weighted[1][a] if a >= 0 else 0.0 for a in geometry.patch_of_point.tolist()]
    by_prompt = [sum(row) / 3 for row in torch.cat([shown.attention_2d, shown.attention_3d]).double().tolist()]
    embedding = torch.cat([shown.embedding_2d, shown.embedding_3d]).double().tolist()

    def keep(forced: list[int]) -> list[int]:
        room = max(size - len(forced), 0)
        free = [t for t in range(26) if t not in forced]
        rankings = [sorted(free, key=lambda t, score=score: (-score[t], t))[:room] for score in (by_actions, by_prompt)]
        return sorted([*forced, *thinned(embedding, sorted({*rankings[0], *rankings[1]}), room)])

    kept = keep(outside(geometry))
    if not any(t < 12 for t in kept):
        kept = keep([*outside(geometry), max(range(12), key=lambda t: (by_prompt[t], -t))])
    return kept


def test_the_most_different_are_not_twins() -> None:
    embedding = torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [-1.0, 0.0]])
    assert sorted(most_different(embedding, torch.arange(4), 3).tolist()) in ([0, 2, 3], [1, 2, 3])
    assert most_different(embedding, torch.tensor([1, 3]), 2).tolist() == [1, 3]
    assert most_different(embedding, torch.arange(4), 0).tolist() == []


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**31), points=st.integers(0, 30), rate=st.sampled_from([0.0, 0.3, 0.6, 0.9]),
    pivots=st.integers(1, 4), text=st.integers(0, 6),
)  # fmt: skip
def test_dart_keeps_what_is_least_like_its_pivots(seed: int, points: int, rate: float, pivots: int, text: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    geometry = TokenGeometry(torch.randint(-1, 12, (points,), generator=generator), 12)
    pruner = Dart(replace(HALF, target_rate=rate), mid_layer=3, pivots=pivots)
    assert (pruner.mid_queries, pruner.mid_states) == (0, True)
    pruner.plan(geometry)
    shown = look(generator, geometry, text=text)
    masks = pruner.mid_pass(3, shown)
    assert masks is not None and shown.states is not None
    assert tokens(masks) == expected_dart(geometry, shown.states, pivots, round((1 - rate) * (12 + points)))


def expected_dart(geometry: TokenGeometry, states: LayerStates, pivots: int, size: int) -> list[int]:
    hidden = [row for part in ("2d", "3d", "text") for row in getattr(states, f"hidden_{part}").double().tolist()]
    key = torch.cat([states.key_2d, states.key_3d, states.key_text]).tolist()
    visual = 12 + len(geometry.patch_of_point)
    parts = [range(12), range(12, visual), range(visual, len(key))]
    chosen = [sorted(sorted(part, key=lambda t: (-key[t], t))[:pivots]) for part in parts]
    kept = with_one_image_token(key, 12, outside(geometry), [])
    visible = sorted((t for t in chosen[0] + chosen[1] if t not in kept), key=lambda t: -key[t])
    kept = [*kept, *visible[: max(size - len(kept), 0)]]
    turns, room = [*chosen[0], *chosen[1], *chosen[2]], max(size - len(kept), 0)
    for turn, pivot in enumerate(turns):
        rest = [t for t in range(visual) if t not in kept]
        rest.sort(key=lambda t, pivot=pivot: -cosine_distance(hidden[t], hidden[pivot]))
        kept += rest[: room // len(turns) + (turn < room % len(turns))]
    return sorted(kept)


def test_dart_leaves_duplicates_out() -> None:
    """Of 12 image tokens, three are alike to each of four pivots; of 8 point tokens, all that is no copy of a pivot."""
    axes = torch.eye(8)
    geometry = TokenGeometry(torch.zeros(8, dtype=torch.long), 16)
    hidden_2d = axes[:4].repeat_interleave(4, 0) + 0.01 * torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    hidden_3d = torch.cat([axes[:4], axes[4:]])  # four copies of what the image shows, four that are new
    key_2d = torch.zeros(16)
    key_2d[::4] = 9.0  # one token of every four that are alike
    key_3d = torch.tensor([0.0] * 4 + [0.0, 0.0, 0.0, 5.0])
    states = LayerStates(hidden_2d, hidden_3d, axes[:0], key_2d, key_3d, torch.zeros(0))
    shown = replace(look(torch.Generator(), geometry), states=states)
    pruner = Dart(replace(HALF, target_rate=1 - 8 / 24), pivots=4)
    pruner.plan(geometry)
    masks = pruner.mid_pass(2, shown)
    assert masks is not None
    assert masks.keep_2d.nonzero()[:, 0].tolist() == [0, 4, 8, 12]
    assert masks.keep_3d[4:].sum() >= 1 and len(tokens(masks)) == 8


def test_random_prunes_both_modalities_alike_and_differently_in_every_step(scene: Scene) -> None:
    geometry, _ = scene(0)
    geometry = TokenGeometry(geometry.patch_of_point.clamp(min=0), geometry.patches)
    pruner = NaiveRandom(replace(HALF, target_rate=0.75))
    planned = []
    for _ in range(40):
        pruner.begin_step()
        masks = pruner.plan(geometry)
        assert same(pruner.plan(geometry), masks)
        assert (int(masks.keep_2d.sum()), int(masks.keep_3d.sum())) == (16, 20)
        planned.append(torch.cat([masks.keep_2d, masks.keep_3d]))
    often = torch.stack(planned).float().mean(0)
    assert often.min() > 0.0 and often.max() < 0.7  # nobody is always or never among them
    other = NaiveRandom(replace(HALF, target_rate=0.75, seed=1))
    assert not torch.equal(other.plan(geometry).keep_2d, planned[0][:64])


def test_none_keeps_everything(scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(0)
    pruner = make_pruner("none", PruningConfig.robot())
    for salience in steps[:3]:
        masks = step(pruner, geometry, salience, frame(), hide_pruned, torch.Generator())
        assert masks.keep_2d.all() and masks.keep_3d.all()
    assert (pruner.report().rate, pruner.report().pruned, pruner.wants_salience) == (0.0, False, False)


# What all share


@pytest.mark.parametrize("method", PRUNING)
@pytest.mark.parametrize("rate", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("bucket", [1, 16])
def test_the_budget_is_exact(method: str, rate: float, bucket: int, scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(2)
    pruner = make(method, PruningConfig(target_rate=rate, token_bucket=bucket))
    total, generator = 64 + 80, torch.Generator().manual_seed(0)
    target = -(-round((1 - rate) * total) // bucket) * bucket
    for number, salience in enumerate(steps[:6]):
        masks = step(pruner, geometry, salience, frame(), hide_pruned, generator)
        report = pruner.report()
        assert masks.keep_2d.any()
        assert masks.keep_3d[geometry.patch_of_point < 0].all()
        assert report.step == number + 1
        if number >= 2:
            assert len(tokens(masks)) == target == report.tokens_2d + report.tokens_3d
            assert (report.pruned, report.rate, report.budget_excess) == (True, pytest.approx(1 - target / total), 0)


@pytest.mark.parametrize("method", PRUNING)
def test_the_guard_shows_what_moved_until_it_was_seen(method: str, scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(3)
    generator = torch.Generator().manual_seed(0)
    pruner = make(method, replace(HALF, target_rate=0.8, change_guard=12 / 255))
    for salience in steps[:4]:
        masks = step(pruner, geometry, salience, frame(), hide_pruned, generator)
    hidden = (~masks.keep_2d).nonzero()[:3, 0]
    color = torch.full((64, 3), 0.5)
    color[hidden] += 13 / 255
    moved = frame(color_mean=color)
    masks = step(pruner, geometry, steps[4], moved, hide_pruned, generator)
    assert masks.keep_2d[hidden].all()
    assert masks.keep_3d[torch.isin(geometry.patch_of_point, hidden)].all()
    assert pruner.report().changed_patches == 3
    step(pruner, geometry, steps[5], moved, hide_pruned, generator)
    assert pruner.report().changed_patches == 0


@pytest.mark.parametrize("method", PRUNING)
def test_age_and_refresh_bound_the_blindness(method: str, scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(4)
    generator = torch.Generator().manual_seed(0)
    pruner = make(method, replace(HALF, target_rate=0.8, max_age=3, refresh_every=7))
    full, oldest = [], []
    for salience in steps:
        masks = step(pruner, geometry, salience, frame(), hide_pruned, generator)
        full.append(len(tokens(masks)) == 144)
        oldest.append(pruner.report().oldest_patch)
    assert max(oldest) <= 3
    assert full[0] and full[7] and not any(full[2:7]) and not any(full[8:])


@pytest.mark.parametrize("method", PRUNING)
def test_saved_in_the_middle_it_goes_on_as_if_nothing_had_been(
    method: str, scene: Scene, hide_pruned: HidePruned
) -> None:
    geometry, steps = scene(5)
    config = replace(HALF, target_rate=0.7, change_guard=0.05, max_age=3)
    first = make(method, config)
    for salience in steps[:4]:
        step(first, geometry, salience, frame(), hide_pruned, torch.Generator().manual_seed(0))
    second = make(method, config)
    second.load_state_dict(first.state_dict())
    for salience in steps[4:8]:
        masks = [
            step(pruner, geometry, salience, frame(), hide_pruned, torch.Generator().manual_seed(1))
            for pruner in (first, second)
        ]
        assert same(*masks)
    with pytest.raises(ValueError, match=r"state lacks (history|smoothed)"):
        second.load_state_dict({"step": 1, "observed": False, "last_seen": None, "seen": None, "frame": None})
    first.reset()
    assert first.report().step == 0
    assert first.state_dict().get("history") is None


@pytest.mark.parametrize("method", ["vla_pruner", "sp_vla"])
def test_salience_is_wanted_when_it_is_due(method: str, scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(6)
    pruner = make(method, replace(HALF, observe_every=3))
    wanted = []
    for salience in steps[:7]:
        pruner.begin_step()
        pruner.plan(geometry, frame())
        wanted.append(pruner.wants_salience)
        masks = TokenMasks.all_kept(geometry)
        pruner.observe(geometry, masks, salience if wanted[-1] else None)
    assert wanted == [True, False, False, True, False, False, True]
    with pytest.raises(ValueError, match="salience = None"):
        make(method).observe(geometry, masks)


# Bad input


@pytest.mark.parametrize(
    ("method", "config", "options", "message"),
    [
        ("fast", HALF, {}, "method = 'fast' must be one of tristage, none, random, fastv, vla_pruner, dart, sp_vla"),
        ("fastv", HALF, {"layer": 2}, "fastv has no option layer; it has mid_layer, by_modality, for_good"),
        ("random", HALF, {"layer": 2}, "random has no option layer; it has none"),
        ("random", PruningConfig(), {}, "target_rate = None"),
        ("fastv", HALF, {"mid_layer": 0}, "mid_layer = 0"),
        ("vla_pruner", HALF, {"mid_queries": 0}, "mid_queries = 0"),
        ("vla_pruner", HALF, {"window": 0}, "window = 0"),
        ("vla_pruner", HALF, {"decay": 0.0}, "decay = 0.0"),
        ("sp_vla", HALF, {"fast_speed": 0.0}, "fast_speed = 0.0"),
        ("dart", HALF, {"pivots": 0}, "pivots = 0"),
        ("attention", PruningConfig(), {}, "target_rate = None"),
        ("split", PruningConfig(), {}, "target_rate = None"),
        ("split", HALF, {"share_2d": 1.5}, "share_2d = 1.5"),
        ("one_modality", HALF, {"modality": "4D"}, "'4D' must be 2D or 3D"),
    ],
)
def test_bad_settings_are_named(method: str, config: PruningConfig, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_pruner(method, config, **options)


@pytest.mark.parametrize("method", PRUNING)
def test_bad_calls_change_nothing(method: str, scene: Scene, hide_pruned: HidePruned) -> None:
    geometry, steps = scene(7)
    pruner = make(method, replace(HALF, change_guard=0.1))
    step(pruner, geometry, steps[0], frame(), hide_pruned, torch.Generator())
    before = str(pruner.state_dict())
    masks = TokenMasks.all_kept(geometry)
    for call in (
        lambda: pruner.plan(TokenGeometry(torch.tensor([64]), 64), frame()),
        lambda: pruner.plan(TokenGeometry(torch.tensor([1]), 9), frame(9)),
        lambda: pruner.plan(geometry, frame(color_mean=None)),
        lambda: pruner.plan(geometry, frame(color_mean=torch.full((64, 3), torch.nan))),
        lambda: pruner.observe(geometry, TokenMasks(masks.keep_2d[1:], masks.keep_3d), steps[0]),
    ):
        with pytest.raises(ValueError):
            call()
        assert str(pruner.state_dict()) == before


def test_sp_vla_needs_edges(scene: Scene) -> None:
    geometry, _ = scene(8)
    pruner = SpVla(HALF)
    for edges, message in ((None, "edges = None"), (torch.ones(64), r"edges is torch.float32 \[64\]")):
        with pytest.raises(ValueError, match=message):
            pruner.plan(geometry, frame(edges=edges))
    with pytest.raises(ValueError, match="edges = None"):
        pruner.plan(geometry)


def test_attention_inside_the_pass_is_checked(scene: Scene) -> None:
    geometry, _ = scene(9)
    pruner, shown = FastV(HALF), look(torch.Generator(), geometry)
    with pytest.raises(RuntimeError, match="plan"):
        pruner.mid_pass(2, shown)
    pruner.plan(geometry)
    for name, value, message in (
        ("attention_2d", shown.attention_2d[1:], "attention_2d"),
        ("attention_3d", -shown.attention_3d, "attention_3d spans -"),
        ("embedding_3d", shown.embedding_3d[:, 1:], "embedding_3d"),
    ):
        with pytest.raises(ValueError, match=message):
            pruner.mid_pass(2, replace(shown, **{name: value}))
    assert pruner.mid_pass(2, shown) is not None
