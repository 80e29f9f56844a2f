"""What a model is read from: checkpoints, run directories, the scales beside them, and traces of what it saw."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tristage_ros.bench.fuzz.judge import Kind
from tristage_ros.bench.fuzz.mutations import JSON_PIECES, VALUES, mangled, spoiled, spoiled_json, written_to
from tristage_ros.mla.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.model import random_model
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.official import load_official, save_official
from tristage_ros.mla.scales import load_magnitudes, save_magnitudes
from tristage_ros.mla.trace_file import TraceError, load_trace, save_trace
from tristage_ros.pruning import Salience, TokenGeometry
from tristage_ros.pruning.calibration import TraceStep
from tristage_ros.pruning.scale import Magnitudes

TINY = MlaConfig(
    width=16, layers=1, heads=1, ffn_width=8, vocabulary=16, image_size=6, patch_size=2, image_width=4, image_heads=1,
    points=8, groups=(4, 4), neighbours=2, point_base=3, point_width=4, image_squash=None,
)  # fmt: skip


def kinds(folder: Path) -> dict[str, Kind]:
    """Return the kinds by name; their files are in `folder`."""
    model, statistics, file = random_model(TINY, 0), DatasetStatistics.tabletop(), folder / "input.safetensors"
    save_checkpoint(file, model, statistics, {"task": "banana"})
    checkpoint = file.read_bytes()
    save_trace(file, [_seen(), _seen()], "pre_norm")
    trace = file.read_bytes()
    run = folder / "run"
    weights = save_official(run, model, statistics)
    scales = save_magnitudes(weights, {"pre_norm": Magnitudes(1.5, 0.5, 9)}, "a bag")

    def of_run(path: Path, inputs: SearchStrategy[bytes]) -> Kind:
        whole = path.read_bytes()

        def read(data: bytes) -> None:
            path.write_bytes(data)
            try:
                load_official(run, dtype=torch.float32)
            finally:
                path.write_bytes(whole)

        return Kind(inputs, read, (CheckpointError, ValueError))

    texts = (run / "config.json", run / "dataset_statistics.json")
    return {
        "checkpoint": Kind(
            safetensors(checkpoint), written_to(file, lambda: load_checkpoint(file)), (CheckpointError,)
        ),
        **{f"run_{path.stem}": of_run(path, spoiled_json(json.loads(path.read_text()))) for path in texts},
        "run_weights": of_run(weights, _torch_files(weights.read_bytes())),
        "scales": Kind(
            mangled([scales.read_bytes()]), written_to(scales, lambda: load_magnitudes(weights)), (CheckpointError,)
        ),
        "trace": Kind(safetensors(trace), written_to(file, lambda: load_trace(file)), (TraceError,)),
    }


def _seen() -> TraceStep:
    sizes = (4,), (3,), (4, 2), (3, 2)
    return TraceStep(TokenGeometry(torch.tensor([0, 1, -1]), 4), Salience(*map(torch.ones, sizes)))


@st.composite
def safetensors(draw: DrawFn, whole: bytes) -> bytes:
    """Return a file of safetensors near `whole`: its header spoiled, a text in its metadata spoiled, or bytes of it."""
    if draw(st.integers(0, 2)) == 0:
        return draw(mangled([whole]))
    length = int.from_bytes(whole[:8], "little")
    header, body = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    texts = header["__metadata__"]
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(texts)))
        texts[name] = draw(_text_near(texts[name]))
    else:
        header = draw(spoiled(header))
    code = json.dumps(header, skipkeys=True).encode()
    return struct.pack("<Q", len(code)) + code + draw(st.sampled_from((body, body, body[:-1], body + b"\0")))


@st.composite
def _text_near(draw: DrawFn, text: str) -> str:
    try:
        tree = json.loads(text)
    except ValueError:
        return draw(st.text(max_size=8))
    tree = draw(st.one_of(spoiled(tree), spoiled(tree), VALUES))
    return draw(st.one_of(st.just(json.dumps(tree, skipkeys=True)), st.sampled_from(JSON_PIECES)))


@st.composite
def _torch_files(draw: DrawFn, whole: bytes) -> bytes:
    """Return a file of weights near `whole`: other weights, another pickle with right checksums, or bytes of it."""
    how = draw(st.integers(0, 2))
    if how == 0:
        return draw(mangled([whole]))
    made = io.BytesIO()
    if how == 1:
        modules = torch.load(io.BytesIO(whole), weights_only=True)["model"]
        leaf = st.one_of(VALUES, st.just(torch.zeros(2, 3)), st.just(torch.zeros(1, dtype=torch.int8)))
        tree = {"model": {module: dict.fromkeys(part, None) for module, part in modules.items()}}
        tree = draw(st.one_of(spoiled(tree), VALUES))
        torch.save(_filled(tree, {"model": modules}, draw(leaf)), made)
        return made.getvalue()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(made, "w") as new:
        spoilt = draw(st.sampled_from([name for name in old.namelist() if "/data/" not in name]))
        for name in old.namelist():
            new.writestr(name, draw(mangled([old.read(name)])) if name == spoilt else old.read(name))
    return made.getvalue()


def _filled(tree: Any, real: Any, leaf: Any) -> Any:
    """Return `tree` with the values of `real` where it has None, and one `leaf` more where it has no mapping."""
    if isinstance(tree, dict):
        inner = real if isinstance(real, dict) else {}
        return {key: _filled(value, inner.get(key), leaf) for key, value in tree.items()}
    return leaf if tree is None and real is None else real if tree is None else tree
