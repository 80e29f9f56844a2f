"""A control step's decoder as one graph for another runtime: the prefix, and all denoising steps behind it.

The arithmetic is that of `CachedEngine`. A graph is of a fixed shape: prefixes are filled up to a bucket of tokens,
which nothing sees. It is made once for a model and a bucket, and lies in a cache on the disk then (`graph_cache`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tristage_ros.mla.engines import EngineName, PassOutput, Prefix, Suffix
from tristage_ros.mla.graph_cache import GraphCache
from tristage_ros.mla.llama import Block, RmsNorm, rotate
from tristage_ros.mla.model import Mla, VarianceNorm
from tristage_ros.mla.passes import DdimSampler, Denoised

BUCKET = 16  # tokens; prefixes are filled up to a multiple, so that few graphs come up
PACKAGES: dict[EngineName, tuple[str, ...]] = {"openvino": ("openvino",), "onnx": ("onnxruntime", "onnx")}
Run: TypeAlias = Callable[[Sequence[NDArray[Any]]], list[NDArray[Any]]]


def missing(engine: EngineName) -> tuple[str, ...]:
    """Return which packages of an engine are not installed."""
    return tuple(package for package in PACKAGES.get(engine, ()) if find_spec(package) is None)


def fastest(model: Mla) -> EngineName:
    """Return the engine that `auto` stands for: the fastest one that is installed and can run `model`."""
    return "openvino" if not missing("openvino") and not _obstacle(model) else "cached"


def _obstacle(model: Mla) -> str:
    """Return what keeps a model from running as a graph; nothing where it can."""
    if (model.device.type, model.dtype) != ("cpu", torch.float32):
        return f"it runs on a CPU in float32, not on {model.device} in {str(model.dtype).removeprefix('torch.')}"
    return "" if model.config.chunk == 1 else f"it is for chunks of one action, not of {model.config.chunk}"


class DecoderGraph(nn.Module):
    """Take a prefix and noise to an action, for exporters: nothing is written in place, and every shape is known."""

    def __init__(self, model: Mla, times: Tensor, sampler: DdimSampler) -> None:
        """Join the parts of `model` and the embedded denoising steps, [N, width]."""
        super().__init__()
        self.model, self.sampler = model, sampler
        self.heads, self.width = model.config.heads, model.config.width
        self.register_buffer("times", times.clone())
        alone = torch.full((len(times), len(times)), -torch.inf).masked_fill(torch.eye(len(times), dtype=torch.bool), 0)
        self.register_buffer("alone", alone)  # no step sees another

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, places: Tensor, hidden: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run it all.

        Args:
            x: [S, width] the prefix, filled up.
            cos: [S, head_width] of its positions' angles; see `rotary_angles`.
            sin: likewise.
            places: [2, 2, head_width] cosines and sines of the denoising steps' position and the action's.
            hidden: [S] 0 for tokens, minus infinity for what fills up.
            noise: [1, action_dim].

        Returns: the action, [1, action_dim]; the last block's output of the prefix, [S, width]; and the attention that
            it received from the last step and its action, [heads, S].
        """
        length, steps = len(x), len(self.times)  # type: ignore[arg-type]
        angles = tuple(
            torch.cat([own, place[:1].expand(steps, -1)])
            for own, place in zip((cos, sin), places.unbind(), strict=True)
        )
        bias = torch.cat([hidden.expand(steps, -1), self.alone], 1)  # type: ignore[list-item]
        x = torch.cat([x, self.times])  # type: ignore[list-item]
        remembered, received = [], []
        for block in self.model.llm.layers:
            query, key, value = self._project(block, x, angles)
            own = (part[None, :, :length] for part in (query, key, value))
            prefix = F.scaled_dot_product_attention(*own, is_causal=True)[0]
            shares = (self._scores(query[:, length:], key) + bias).softmax(-1)
            received.append(shares[:, -1, :length])
            x = self._behind(block, x, torch.cat([prefix, shares @ value], 1))
            remembered.append((key, value))
        last = x[:length]
        action_angles = tuple(place[1:] for place in places.unbind())
        for step in range(steps):
            x = self.model.x_embedder(noise)
            for block, (keys, values) in zip(self.model.llm.layers, remembered, strict=True):
                query, key, value = self._project(block, x, action_angles)
                near = [torch.cat([old[:, length + step : length + step + 1], new], 1)
                        for old, new in ((keys, key), (values, value))]  # fmt: skip
                scores = torch.cat([self._scores(query, keys[:, :length]) + hidden, self._scores(query, near[0])], -1)
                shares = scores.softmax(-1)
                if step == steps - 1:
                    received.append(shares[:, 0, :length])
                x = self._behind(block, x, shares[..., :length] @ values[:, :length] + shares[..., length:] @ near[1])
            noise = self._less(step, noise, self._head(x))
        return noise, last, torch.stack(received).mean(0)

    def _project(self, block: Block, x: Tensor, angles: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated queries and keys, and values, each [heads, n, head_width]."""
        joint = block.self_attn.qkv(self._norm(x, block.input_layernorm))
        joint = joint.view(len(x), 3 * self.heads, -1).transpose(0, 1)
        queries_and_keys = rotate(joint[: 2 * self.heads], angles)
        return queries_and_keys[: self.heads], queries_and_keys[self.heads :], joint[2 * self.heads :]

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        return (query * (self.width // self.heads) ** -0.5) @ key.transpose(1, 2)

    def _behind(self, block: Block, x: Tensor, attended: Tensor) -> Tensor:
        x = x + block.self_attn.o_proj(attended.transpose(0, 1).reshape(len(x), self.width))
        out: Tensor = x + block.mlp(self._norm(x, block.post_attention_layernorm))
        return out

    def _norm(self, x: Tensor, norm: RmsNorm) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + norm.eps) * norm.weight

    def _head(self, x: Tensor) -> Tensor:
        x, final = self._norm(x, self.model.llm.norm), self.model.final_layer
        normed = final.norm_final(x) if isinstance(final.norm_final, VarianceNorm) else self._norm(x, final.norm_final)
        out: Tensor = final.mlp(normed)
        return out

    def _less(self, step: int, noisy: Tensor, predicted: Tensor) -> Tensor:
        """Do what `DdimSampler.step` does, with numbers for its tables."""
        now, later = self.sampler.alpha_bar[step : step + 2]
        signal, noise = math.sqrt(now), math.sqrt(1 - now)
        velocity = self.sampler.prediction == "velocity"
        clean = signal * noisy - noise * predicted if velocity else (noisy - noise * predicted) / signal
        clean = clean.clamp(-1, 1) if self.sampler.clip else clean
        return math.sqrt(later) * clean + math.sqrt(1 - later) * (noisy - signal * clean) / noise


class ExportedDecoder:
    """Run the decoder of a policy's model as a graph of another runtime."""

    def __init__(self, engine: EngineName, model: Mla, times: Tensor, sampler: DdimSampler) -> None:
        """Make no graph yet.

        Raises ValueError where the runtime is not installed, or cannot run the model: it says what to do.
        """
        if lacking := missing(engine):
            raise ValueError(f"engine = {engine!r} needs {' and '.join(lacking)}: pip install {' '.join(lacking)}")
        if obstacle := _obstacle(model):
            raise ValueError(f"engine = {engine!r}: {obstacle}; use engine = 'cached'")
        self._model, self._graph = model, DecoderGraph(model, times, sampler).eval()
        self._make, self._load = {"openvino": (_openvino, _load_openvino), "onnx": (_onnx, _load_onnx)}[engine]
        names = ("torch", *PACKAGES[engine])
        versions = {name: str(import_module(name).__version__) for name in names}
        self._cache = GraphCache(engine, self._graph.state_dict(), {"versions": versions, "sampler": repr(sampler)})
        self._runs: dict[int, Run] = {}

    def denoise(self, prefix: Prefix, suffix: Suffix, noise: Tensor) -> tuple[Denoised, PassOutput]:
        """Take noise, [1, 1, action_dim], to an action; the pass's output is that of the last one, observed."""
        known, llm = len(prefix), self._model.llm
        total = -(-known // BUCKET) * BUCKET
        fill = (0, 0, 0, total - known)
        cos, sin = (F.pad(part, fill) for part in llm.angles(prefix.positions))
        hidden = cos.new_zeros(total)
        hidden[known:] = -torch.inf
        places = torch.stack(llm.angles(suffix.positions))
        given = (F.pad(prefix.embeddings[0], fill), cos, sin, places, hidden, noise[0])
        if total not in self._runs:
            self._runs[total] = self._load(
                self._cache.path(total, lambda folder: self._make(self._graph, given, folder))
            )
        action, last, attention = map(torch.from_numpy, self._runs[total]([part.numpy() for part in given]))
        output = PassOutput(last.new_empty(1, 1, 0), last[None, :known], attention[:, :known])
        return Denoised(action[None], action[None]), output


_INPUTS = ("x", "cos", "sin", "places", "hidden", "noise")
_FILE = {"openvino": "graph.xml", "onnx": "graph.onnx"}


def _onnx(graph: nn.Module, given: tuple[Tensor, ...], folder: Path) -> None:
    import warnings

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of constants that are folded, and of an older exporter
        torch.onnx.export(
            graph, given, str(folder / _FILE["onnx"]), input_names=list(_INPUTS), opset_version=17, dynamo=False
        )


def _load_onnx(folder: Path) -> Run:
    runtime: Any = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(folder / _FILE["onnx"]), options, providers=["CPUExecutionProvider"])

    def run(given: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = session.run(None, dict(zip(_INPUTS, given, strict=True)))
        return found

    return run


def _openvino(graph: nn.Module, given: tuple[Tensor, ...], folder: Path) -> None:
    openvino: Any = import_module("openvino")
    with torch.no_grad():
        shapes = [tuple(part.shape) for part in given]
        converted = openvino.convert_model(graph, example_input=given, input=shapes)
    openvino.save_model(converted, str(folder / _FILE["openvino"]), compress_to_fp16=False)


def _load_openvino(folder: Path) -> Run:
    openvino: Any = import_module("openvino")
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(), "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False,
        "SNIPPETS_MODE": "DISABLE",  # 2026.4 dies of joining what it finds in passes of one token
    }  # fmt: skip
    request = openvino.Core().compile_model(str(folder / _FILE["openvino"]), "CPU", settings).create_infer_request()

    def run(given: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        request.infer(dict(enumerate(given)), share_inputs=True, share_outputs=True)
        return [np.array(request.get_output_tensor(number).data) for number in range(3)]

    return run
