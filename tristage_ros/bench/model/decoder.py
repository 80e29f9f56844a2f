"""The decoder alone: how its passes grow with visual tokens, and Hugging Face's at the same shapes beside it.

With the growth over tokens goes that of preprocessing over the points in the cloud.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from tristage_ros.bench.model.table import Table, ratio
from tristage_ros.bench.model.timing import Rounds, alternate, medians
from tristage_ros.bench.model.workloads import Workload, observe
from tristage_ros.mla.engines import ENGINES, CachedEngine, EngineName, Prefix, Suffix, make_engine
from tristage_ros.mla.inputs import sample_cloud

TOKENS = (64, 128, 256, 512, 1024)
POINTS = (1_000, 4_000, 16_000, 64_000)
BESIDES = 20  # text and state tokens
TOKENS_NOTE = "All passes of the decoder for one control step, without tokenizers."
POINTS_NOTE = "Thinning the cloud to the model's points by farthest-point sampling on the CPU."


def measure_tokens(workload: Workload, rounds: Rounds) -> dict[str, dict[int, float]]:
    """Return the milliseconds of all passes of a step by engine and number of visual tokens."""
    calls: dict[str, Callable[[int], object]] = {
        f"{engine} {tokens}": partial(_passes, workload, engine, tokens) for engine in ENGINES for tokens in TOKENS
    }
    times = medians(alternate(calls, rounds, workload.device))
    return {engine: {tokens: times[f"{engine} {tokens}"] for tokens in TOKENS} for engine in ENGINES}


@torch.inference_mode()
def _passes(workload: Workload, engine: EngineName, tokens: int, index: int) -> None:
    model, length = workload.model, tokens + BESIDES
    prefix, suffix = _sequence(workload, length)
    passes, actions = make_engine(engine, model.llm, prefix, suffix), _tokens(workload, model.config.chunk)
    for step in range(model.config.denoising_steps):
        passes.run(step, actions)


def measure_points(workload: Workload, rounds: Rounds) -> dict[int, float]:
    """Return the milliseconds of thinning a cloud by its number of points."""
    clouds = {points: observe(0, points).points for points in POINTS}
    wanted = workload.model.config.points

    def call(points: int, index: int) -> object:
        return sample_cloud(clouds[points], wanted)

    calls = {str(points): partial(call, points) for points in POINTS}
    times = medians(alternate(calls, rounds, torch.device("cpu")))
    return {points: times[str(points)] for points in POINTS}


def growth_tables(tokens: dict[str, dict[int, float]], points: dict[int, float]) -> list[Table]:
    """Return the tables of both."""
    by_tokens = Table("Growth with visual tokens", ("engine, ms", *map(str, TOKENS)), note=TOKENS_NOTE)
    by_tokens.rows.extend((engine, *(f"{row[n]:.1f}" for n in TOKENS)) for engine, row in tokens.items())
    by_points = Table("Growth with points", ("points", *map(str, POINTS)), note=POINTS_NOTE)
    by_points.rows.append(("ms", *(f"{points[n]:.1f}" for n in POINTS)))
    return [by_tokens, by_points]


# The outside reference: the decoder of Hugging Face's transformers at the same shapes.

REFERENCE_TOKENS = {512: "unpruned", 160: "r = 70 %"}  # visual ones, and how that comes about
REFERENCE_NOTE = (
    "Decoder alone, random weights of the same shapes: the prefix once, then the passes of a control step, one after "
    "the other; ours have one token each, as those of the denoising steps go with the first of them, theirs two. "
    "Theirs is LlamaModel with SDPA attention and a static cache, not compiled, in which each pass stands behind the "
    "one before. Speedup: ours over theirs."
)


def available() -> bool:
    """Tell whether transformers is installed; a release before 5 has other caches."""
    return find_spec("transformers") is not None and int(import_module("transformers").__version__.split(".")[0]) >= 5


def measure_reference(workload: Workload, rounds: Rounds) -> list[dict[str, Any]]:
    """Return milliseconds of prefill and of all passes behind it, by number of visual tokens: ours and theirs."""
    theirs = _their_decoder(workload)
    runs = {"ours": _Ours, "theirs": partial(_Theirs, decoder=theirs)}
    calls: dict[str, Callable[[int], object]] = {}
    for tokens in REFERENCE_TOKENS:
        for name, make in runs.items():
            run = make(workload, tokens)
            calls |= {f"{name} prefill {tokens}": run.prefill, f"{name} passes {tokens}": run.passes}
    times = medians(alternate(calls, rounds, workload.device))
    return [
        {"tokens": tokens} | {f"{name}_{part}": times[f"{name} {part} {tokens}"] for name in runs for part in PARTS}
        for tokens in REFERENCE_TOKENS
    ]


PARTS = ("prefill", "passes")


def reference_table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of the rows."""
    columns = ("visual tokens", "prefill ms", "theirs", "speedup", "passes ms", "theirs", "speedup")
    table = Table("Against Hugging Face's LLaMA", columns, note=REFERENCE_NOTE)
    for row in rows:
        cells = [
            text
            for part in PARTS
            for ours, theirs in [(row[f"ours_{part}"], row[f"theirs_{part}"])]
            for text in (f"{ours:.1f}", f"{theirs:.1f}", ratio(theirs / ours))
        ]
        table.rows.append((f"{row['tokens']}, {REFERENCE_TOKENS[row['tokens']]}", *cells))
    return table


def _tokens(workload: Workload, count: int) -> Tensor:
    model = workload.model
    return torch.zeros(1, count, model.config.width, device=model.device, dtype=model.dtype)


def _sequence(workload: Workload, length: int) -> tuple[Prefix, Suffix]:
    config, device = workload.model.config, workload.model.device
    prefix = Prefix(_tokens(workload, length), torch.arange(length, device=device))
    after = torch.arange(length, length + 1 + config.chunk, device=device)
    return prefix, Suffix(_tokens(workload, config.denoising_steps)[0], after)


class _Ours:
    def __init__(self, workload: Workload, tokens: int) -> None:
        self._llm, self._actions = workload.model.llm, _tokens(workload, workload.model.config.chunk)
        self._prefix, self._suffix = _sequence(workload, tokens + BESIDES)

    @torch.inference_mode()
    def prefill(self, index: int) -> None:
        self._engine = CachedEngine(self._llm, self._prefix, self._suffix)
        self._engine.prefill()

    @torch.inference_mode()
    def passes(self, index: int) -> None:
        for step in range(len(self._suffix.times)):
            self._engine.run(step, self._actions)


class _Theirs:
    def __init__(self, workload: Workload, tokens: int, decoder: Any) -> None:
        self._decoder, self._steps = decoder, workload.model.config.denoising_steps
        self._suffix = _tokens(workload, 1 + workload.model.config.chunk)
        self._prefix = _tokens(workload, tokens + BESIDES)
        self._room = tokens + BESIDES + self._steps * self._suffix.shape[1]

    @torch.inference_mode()
    def prefill(self, index: int) -> None:
        static_cache = import_module("transformers").StaticCache
        self._cache = static_cache(config=self._decoder.config, max_cache_len=self._room)
        self._decoder(inputs_embeds=self._prefix, past_key_values=self._cache)

    @torch.inference_mode()
    def passes(self, index: int) -> None:
        for _ in range(self._steps):
            self._decoder(inputs_embeds=self._suffix, past_key_values=self._cache)


def _their_decoder(workload: Workload) -> Any:
    transformers, config = import_module("transformers"), workload.model.config
    shapes = transformers.LlamaConfig(
        vocab_size=4, hidden_size=config.width, intermediate_size=config.ffn_width, num_hidden_layers=config.layers,
        num_attention_heads=config.heads, max_position_embeddings=config.max_positions, attn_implementation="sdpa",
    )  # fmt: skip
    with torch.device(workload.model.device):
        return transformers.LlamaModel(shapes).to(workload.model.dtype).eval()
