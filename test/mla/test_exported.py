"""The decoder as a graph of another runtime acts as the cached engine does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tristage_ros.mla.exported import PACKAGES, missing
from tristage_ros.mla.graph_cache import MANIFEST
from tristage_ros.mla.model import random_model
from tristage_ros.mla.passes import Denoising, ParallelDenoising
from tristage_ros.pruning import PruningConfig, TriStagePruner

HALF = replace(PruningConfig.paper(), target_rate=0.5, token_bucket=1, s1_feature="pre_norm")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tristage" / "graphs"


def values(action) -> np.ndarray:
    return np.concatenate([action.translation, action.rotation], 1)


@pytest.fixture(params=list(PACKAGES))
def engine(request) -> str:
    if lacking := missing(request.param):
        pytest.skip(f"{' and '.join(lacking)} not installed")
    return request.param


@pytest.mark.parametrize(("prediction", "steps"), [("noise", 1), ("velocity", 2)])
def test_a_graph_acts_as_the_cached_engine_and_again_as_before(
    make_policy, observation, tiny_config, engine, cache, caplog, prediction, steps
):
    model, ran = random_model(tiny_config(prediction=prediction, clip_denoised=prediction == "noise"), 1), []
    for name in ("cached", engine, engine):
        policy = make_policy(TriStagePruner(HALF), model, engine=name, denoising=Denoising(steps=steps))
        ran.append([policy.act(observation(step)) for step in range(3)])
        for folder in list(cache.glob("[!.]*"))[:1] if cache.exists() else []:  # damage it: it is made again
            file = next(f for f in sorted(folder.iterdir()) if f.name != MANIFEST)
            file.write_bytes(file.read_bytes()[:-1])
    for cached, once, again in zip(*ran, strict=True):
        np.testing.assert_allclose(values(once[0]), values(cached[0]), rtol=0, atol=1e-4)
        np.testing.assert_array_equal(values(once[0]), values(again[0]))
        for other in (once[1], again[1]):
            assert torch.equal(other.masks.keep_2d, cached[1].masks.keep_2d)
            assert torch.equal(other.masks.keep_3d, cached[1].masks.keep_3d)
    assert not ran[1][-1][1].masks.keep_2d.all()
    folders = list(cache.glob("[!.]*"))
    assert len(folders) == 2 and all(json.loads((folder / MANIFEST).read_text()) for folder in folders)
    assert [record.message.partition(" holds ")[2] for record in caplog.records if "made again" in record.message]


def test_what_is_decided_between_passes_runs_in_torch(make_policy, observation, tiny, engine, cache):
    two = make_policy(TriStagePruner(replace(HALF, stages=frozenset({1, 2}))), tiny, engine=engine)
    side_by_side = make_policy(
        TriStagePruner(HALF), tiny, engine=engine, denoising=Denoising(parallel=ParallelDenoising())
    )
    for policy in (two, side_by_side):
        policy.act(observation())
    assert not cache.exists()


@pytest.mark.parametrize("name", PACKAGES)
def test_a_runtime_that_is_not_there_is_named(make_policy, tiny, monkeypatch, name):
    monkeypatch.setattr("tristage_ros.mla.exported.find_spec", lambda package: None)
    with pytest.raises(ValueError, match=f"{name}.*pip install .*{name}"):
        make_policy(model=tiny, engine=name)
    assert make_policy(model=tiny, engine="auto").engine == "cached"


def test_what_a_graph_cannot_run_is_refused(make_policy, tiny_config, engine):
    for changes, dtype, words in (({"chunk": 2}, torch.float32, "chunks of one"), ({}, torch.bfloat16, "bfloat16")):
        model = random_model(tiny_config(**changes), 0, dtype=dtype)
        with pytest.raises(ValueError, match=f"{words}.*use engine = 'cached'"):
            make_policy(model=model, engine=engine)
        assert make_policy(model=model, engine="auto").engine == "cached"
