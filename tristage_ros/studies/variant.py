"""What prunes in an episode: a method, its settings and whether the change guard watches.

Beside the methods of the pruning room there is random pruning of 2D tokens alone or of 3D tokens alone: which of them
does the model need (Table 1)?
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch

from tristage_ros.mla.passes import SEQUENTIAL, Denoising
from tristage_ros.pruning import PruningConfig, make_pruner
from tristage_ros.pruning.baselines import CONTROL_LABELS, LABELS, Baseline
from tristage_ros.pruning.baselines.controls import Modality
from tristage_ros.pruning.values import FrameContext, TokenGeometry, TokenMasks


class OneModalityRandom(Baseline):
    """Keep every token of one modality, and of the other by lot what the target rate, a share of it, leaves.

    No token bucket: the kept count is that of the paper's case studies. At least one token of each modality survives.
    """

    def __init__(self, config: PruningConfig | None, modality: Modality) -> None:
        """Say which modality is pruned. Raises ValueError for another one, and without a `target_rate`."""
        if modality not in get_args(Modality):
            raise ValueError(f"modality = {modality!r} must be 2D or 3D")
        super().__init__(config)
        self.modality = modality

    def _choose(self, geometry: TokenGeometry, frame: FrameContext | None) -> TokenMasks:
        rate = self.config.target_rate
        assert rate is not None  # checked when the pruner was made
        generator = torch.Generator().manual_seed((self.config.seed * 1_000_003 + self._step.number) % 2**63)
        everything = TokenMasks.all_kept(geometry)
        pruned = everything.keep_2d if self.modality == "2D" else everything.keep_3d
        size = max(round((1 - rate) * len(pruned)), 1)
        chosen = torch.randperm(len(pruned), generator=generator)[:size].to(pruned.device)
        kept = torch.zeros_like(pruned).index_fill(0, chosen, True)
        return TokenMasks(kept, everything.keep_3d) if self.modality == "2D" else TokenMasks(everything.keep_2d, kept)


Looks = Literal["off", "arrival", "moving"]  # before every control step, or while the arm moves to its key frame
LOOKS: dict[Looks, str] = {"off": "", "arrival": "a look on arrival", "moving": "looks on the way"}  # for print
Settings = tuple[tuple[str, Any], ...]
Preset = Literal["paper", "robot"]
NAMES = LABELS | CONTROL_LABELS  # of all methods, for print
STAGED = ("tristage", "split", "weighted", "attention")  # methods that a preset says something to
# What keeps a method from going blind:
GUARD = ("change_guard", "change_guard_depth", "refresh_every", "max_age", "watch_share")


@dataclass(frozen=True)
class Variant:
    """Name one way to prune. All variants share the token bucket, and all guarded ones the guard of the robot preset.

    Baselines look at `rate` and the guard alone, and what is theirs is among `options`.
    """

    method: str = "none"  # a key of LABELS or CONTROL_LABELS
    rate: float | None = None  # share of all visual tokens to prune; None: the stages decide
    guard: bool = False
    preset: Preset = "paper"  # of tri-stage and what is made of it
    settings: Settings = ()  # of PruningConfig, changed after all that
    modality: Modality | None = None  # random only: the one that is pruned, to `rate` of it
    layer: int | None = None  # of methods that decide inside the pass: the first on fewer tokens; None: their paper's
    denoising: Denoising = SEQUENTIAL
    options: Settings = ()  # the method's own, as its class takes them
    looks: Looks = "off"  # beside those that it needs before the first step; of key frames only
    note: str = ""  # what the settings amount to, for print in their place

    @property
    def name(self) -> str:
        """Return a name that no other variant has and that stays the same from run to run."""
        preset = self.preset if self.method in STAGED else ""
        rate = "" if self.rate is None else f"r={self.rate:.2f}"
        settings = [f"{key}={sorted(v) if isinstance(v, frozenset) else v}" for key, v in sorted(self.settings)]
        denoising = "" if self.denoising == SEQUENTIAL else denoising_label(self.denoising)
        layer = "" if self.layer is None else f"layer={self.layer}"
        options = [f"{key}={value}" for key, value in sorted(self.options)]
        looks = "" if self.looks == "off" else f"looks={self.looks}"
        words = [self.method, self.modality, layer, *options, preset, rate, "guard" * self.guard, *settings, denoising]
        words.append(looks)
        return " ".join(filter(None, words))

    @property
    def key(self) -> str:
        """Return the name with a digest of all that it stands for, so that another preset is another variant."""
        if self.method == "none":
            return self.name
        settings = self.config(0).to_dict()
        if settings["scale_3d"] == 1.0:  # what is as published is what it always was
            del settings["scale_3d"]
        if self.method not in STAGED:
            settings = {name: settings[name] for name in (*GUARD, "target_rate", "token_bucket", *dict(self.settings))}
        return f"{self.name} #{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]}"

    @property
    def over_layers(self) -> bool:
        """Tell whether `rate` is the mean over the decoder's layers, those that run on all tokens included."""
        return "target_rate" in dict(self.settings)

    @property
    def for_good(self) -> bool:
        """Tell whether what is dropped inside the first pass of a step is dropped from the later ones, too."""
        return bool(dict(self.options).get("for_good"))

    @property
    def label(self) -> str:
        """Return the method for print, without its rate."""
        label = NAMES[self.method]
        if self.modality is not None:
            label += f", {self.modality} tokens"
        if self.layer is not None:
            decides = f" after layer {self.layer}" if self.for_good else f" from layer {self.layer} on"
            label += ", compute-matched" if self.over_layers else decides
        if self.method == "tristage":
            label += f", {self.preset}"
            stages = None if self.note else dict(self.settings).get("stages")
            label += "" if stages is None else ", " + (" + ".join(f"S{stage}" for stage in sorted(stages)))
        label += "".join(f", {words}" for words in (self.note, LOOKS[self.looks]) if words)
        # The robot preset has the guard; what differs from the custom is what has to be said.
        usual = self.method in STAGED and self.preset != "paper"
        return label + ("" if self.guard == usual else ", guard" if self.guard else ", no guard")

    def config(self, seed: int) -> PruningConfig:
        """Return the pruning settings for the episode of `seed`."""
        robot, paper = PruningConfig.robot(), PruningConfig.paper()
        base, guard = paper if self.preset == "paper" else robot, robot if self.guard else paper
        guarded = {name: getattr(guard, name) for name in GUARD}
        return replace(base, seed=seed, **{"target_rate": self.rate} | guarded | dict(self.settings))

    def pruner(self, seed: int) -> Any:
        """Return the pruner for the episode of `seed`.

        Raises:
            ValueError: the method is unknown, lacks its rate, or a setting is wrong.
        """
        config = self.config(seed)
        if self.modality is not None:
            return OneModalityRandom(config, self.modality)
        inside: dict[str, Any] = dict(self.options) | ({} if self.layer is None else {"mid_layer": self.layer})
        if self.over_layers and self.method == "vla_pruner":
            inside["full_history"] = False  # every step is to prune that the others prune
        return make_pruner(self.method, config, **inside)


def denoising_label(denoising: Denoising) -> str:
    """Return a way to denoise for print; no other has the same."""
    words = [f"{denoising.steps or 'all'} steps", f"{denoising.initial_noise} noise"]
    if parallel := denoising.parallel:
        most = "" if parallel.sweeps is None else f", at most {parallel.sweeps} sweeps"
        words.append(f"side by side to {parallel.tolerance:g}{most}")
    return ", ".join(words)


UNPRUNED = Variant()
# Nothing is pruned, but everything is observed: for what speaks of the model and not of a method.
NOTHING = (("stages", frozenset({3})),)
OBSERVED = Variant("tristage", preset="robot", settings=NOTHING)  # stage 1 before the final norm
OBSERVED_LOGITS = Variant("tristage", preset="paper", settings=NOTHING)
