"""A control step's decoder as one graph for another runtime: the prefix, and all denoising steps behind it.

The arithmetic is that of `CachedEngine`. A graph is of a fixed shape: prefixes are filled up to a bucket of tokens,
which nothing sees. It is made once for a model and a bucket, and lies in a cache on the disk then (`graph_cache`).
"""

from __future__ import annotations

import logging
import math
import warnings
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

logger = logging.getLogger(__name__)

BUCKET = 8  # tokens; prefixes are filled up to a multiple, so that few graphs come up
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

    times: Tensor  # [N, width] embedded denoising steps
    sight: Tensor  # [N + 1, N + 1] 0 where steps and the first action see one of these, else minus infinity

    def __init__(self, model: Mla, times: Tensor, sampler: DdimSampler) -> None:
        """Join the parts of `model` and the embedded denoising steps, [N, width]."""
        super().__init__()
        self.model, self.sampler = model, sampler
        self.blocks = [block for block in model.llm.layers if isinstance(block, Block)]
        self.heads, self.width, self.steps = model.config.heads, model.config.width, len(sampler.timesteps)
        self.register_buffer("times", times.clone())
        sees = torch.eye(self.steps + 1, dtype=torch.bool)
        sees[-1, 0] = True  # an action its own step
        self.register_buffer("sight", torch.zeros(sees.shape).masked_fill(~sees, -torch.inf))

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
        length, steps = x.shape[0], self.steps
        angles = tuple(
            torch.cat([own, place[:1].expand(steps, -1), place[1:]])
            for own, place in zip((cos, sin), places.unbind(), strict=True)
        )
        bias = torch.cat([hidden.expand(steps + 1, -1), self.sight], 1)
        x = torch.cat([x, self.times, self.model.x_embedder(noise)])
        remembered, received = [], []
        for block in self.blocks:  # all but the later actions
            query, key, value = self._project(block, x, angles)
            q, k, v = (part[None, :, :length] for part in (query, key, value))
            prefix = F.scaled_dot_product_attention(q, k, v, is_causal=True)[0]
            shares = (self._scores(query[:, length:], key) + bias).softmax(-1)
            received.append(shares[:, steps - 1, :length])
            if steps == 1:  # there is no later action
                received.append(shares[:, steps, :length])
            x = self._behind(block, x, torch.cat([prefix, shares @ value], 1))
            remembered.append((key, value))
        last, x = x[:length], x[length + steps :]
        action_angles = tuple(place[1:] for place in places.unbind())
        for step in range(steps):
            for block, (keys, values) in zip(self.blocks, remembered, strict=True) if step else ():
                query, key, value = self._project(block, x, action_angles)
                place = slice(length + step, length + step + 1)
                near_keys, near_values = torch.cat([keys[:, place], key], 1), torch.cat([values[:, place], value], 1)
                scores = [self._scores(query, keys[:, :length]) + hidden, self._scores(query, near_keys)]
                shares = torch.cat(scores, -1).softmax(-1)
                if step == steps - 1:
                    received.append(shares[:, 0, :length])
                attended = shares[..., :length] @ values[:, :length] + shares[..., length:] @ near_values
                x = self._behind(block, x, attended)
            noise = self.less(step, noise, self._head(x))
            x = self.model.x_embedder(noise)
        return noise, last, torch.stack(received).mean(0)

    def _project(self, block: Block, x: Tensor, angles: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated queries and keys, and values, each [heads, n, head_width]."""
        joint = block.self_attn.qkv(self._norm(x, block.input_layernorm))
        joint = joint.view(x.shape[0], 3 * self.heads, -1).transpose(0, 1)
        queries_and_keys = rotate(joint[: 2 * self.heads], angles)
        return queries_and_keys[: self.heads], queries_and_keys[self.heads :], joint[2 * self.heads :]

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        scores: Tensor = (query * (self.width // self.heads) ** -0.5) @ key.transpose(1, 2)
        return scores

    def _behind(self, block: Block, x: Tensor, attended: Tensor) -> Tensor:
        x = x + block.self_attn.o_proj(attended.transpose(0, 1).reshape(x.shape[0], self.width))
        out: Tensor = x + block.mlp(self._norm(x, block.post_attention_layernorm))
        return out

    def _norm(self, x: Tensor, norm: RmsNorm) -> Tensor:
        out: Tensor = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + norm.eps) * norm.weight
        return out

    def _head(self, x: Tensor) -> Tensor:
        x, final = self._norm(x, self.model.llm.norm), self.model.final_layer
        normed = final.norm_final(x) if isinstance(final.norm_final, VarianceNorm) else self._norm(x, final.norm_final)
        out: Tensor = final.mlp(normed)
        return out

    def less(self, step: int, noisy: Tensor, predicted: Tensor) -> Tensor:
        """Do what `DdimSampler.step` does, with numbers for its tables."""
        now, later = self.sampler.alpha_bar[step : step + 2]
        signal, noise = math.sqrt(now), math.sqrt(1 - now)
        velocity = self.sampler.prediction == "velocity"
        clean = signal * noisy - noise * predicted if velocity else (noisy - noise * predicted) / signal
        clean = clean.clamp(-1, 1) if self.sampler.clip else clean
        return math.sqrt(later) * clean + math.sqrt(1 - later) * (noisy - signal * clean) / noise


class ExportedDecoder:
    """Run the decoder of a policy's model as a graph of another runtime."""

    def __init__(
        self,
        engine: EngineName,
        model: Mla,
        times: Tensor,
        sampler: DdimSampler,
        graph: type[DecoderGraph] = DecoderGraph,
        bucket: int = BUCKET,
    ) -> None:
        """Make no graph yet.

        Raises ValueError where the runtime is not installed, or cannot run the model: it says what to do.
        """
        if lacking := missing(engine):
            raise ValueError(f"engine = {engine!r} needs {' and '.join(lacking)}: pip install {' '.join(lacking)}")
        if obstacle := _obstacle(model):
            raise ValueError(f"engine = {engine!r}: {obstacle}; use engine = 'cached'")
        self._engine, self._model, self._graph, self._bucket = (
            engine,
            model,
            graph(model, times, sampler).eval(),
            bucket,
        )
        self._make, self._load = {"openvino": (_openvino, _load_openvino), "onnx": (_onnx, _load_onnx)}[engine]
        names = ("torch", *PACKAGES[engine])
        versions = {name: str(import_module(name).__version__) for name in names}
        self._cache = GraphCache(
            engine, self._graph.state_dict(), {"versions": versions, "sampler": repr(sampler), "graph": graph.__name__}
        )
        self._runs: dict[int, Run] = {}

    def denoise(self, prefix: Prefix, suffix: Suffix, noise: Tensor) -> tuple[Denoised, PassOutput]:
        """Take noise, [1, 1, action_dim], to an action; the pass's output is that of the last one, observed."""
        known = len(prefix)
        total = -(-known // self._bucket) * self._bucket
        given = inputs_of(self._model, prefix, suffix, noise, total)
        if total not in self._runs:
            logger.info("%s: looking for, or making, the graph of %d tokens", self._engine, total)
            self._runs[total] = self._load(
                self._cache.path(total, lambda folder: self._make(self._graph, given, folder))
            )
        action, last, attention = map(torch.from_numpy, self._runs[total]([part.numpy() for part in given]))
        output = PassOutput(last.new_empty(1, 1, 0), last[None, :known], attention[:, :known])
        return Denoised(action[None], action[None]), output


def inputs_of(model: Mla, prefix: Prefix, suffix: Suffix, noise: Tensor, total: int) -> tuple[Tensor, ...]:
    """Return what `DecoderGraph.forward` takes, of a prefix that is filled up to `total` tokens."""
    fill = (0, 0, 0, total - len(prefix))
    cos, sin = (F.pad(part, fill) for part in model.llm.angles(prefix.positions))
    hidden = cos.new_zeros(total)
    hidden[len(prefix) :] = -torch.inf
    places = torch.stack(model.llm.angles(suffix.positions))
    return F.pad(prefix.embeddings[0], fill), cos, sin, places, hidden, noise[0]


_INPUTS = ("x", "cos", "sin", "places", "hidden", "noise")
_FILE = {"openvino": "graph.xml", "onnx": "graph.onnx"}


def _onnx(graph: nn.Module, given: tuple[Tensor, ...], folder: Path) -> None:
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
