"""The policy: an observation in, an action and a report out, with pruning state kept across steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from tristage_ros.mla.checkpoint import CheckpointError, load_checkpoint
from tristage_ros.mla.config import MlaConfig
from tristage_ros.mla.diffusion import DdimSampler
from tristage_ros.mla.engine import ENGINES, Engine, EngineName, PassOutput, make_engine
from tristage_ros.mla.initialise import random_model
from tristage_ros.mla.model import Mla
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.point_tokens import Centres
from tristage_ros.mla.preprocess import ModelInputs, preprocess
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.mla.sequence import Instruction, KeptTokens, salience_of, suffix_embeddings
from tristage_ros.mla.stopwatch import Stopwatch
from tristage_ros.mla.values import Action, Observation, StepReport
from tristage_ros.perception.camera import CameraModel
from tristage_ros.perception.projection import patch_of_points
from tristage_ros.pruning import PruningConfig, TriStagePruner
from tristage_ros.pruning.report import PruningReport
from tristage_ros.pruning.values import FrameContext, Salience, TokenGeometry, TokenMasks

InitialNoise = Literal["fresh", "zero"]


class Pruner(Protocol):
    """Choose the visual tokens of every step; `TriStagePruner` does, and so do the baselines."""

    config: PruningConfig

    @property
    def wants_salience(self) -> bool:
        """Tell whether the next `observe()` needs salience."""

    def begin_step(self) -> None:
        """Begin a control step."""

    def plan(self, geometry: TokenGeometry, frame: FrameContext | None = None) -> TokenMasks:
        """Return what to keep."""

    def observe(
        self,
        geometry: TokenGeometry,
        masks: TokenMasks,
        salience: Salience | None = None,
        frame: FrameContext | None = None,
    ) -> None:
        """Learn from a pass."""

    def reset(self) -> None:
        """Forget everything."""

    def report(self) -> PruningReport:
        """Sum up the step."""


@dataclass
class _Step:
    """Hold what the parts of one control step hand on."""

    inputs: ModelInputs
    geometry: TokenGeometry
    masks: TokenMasks
    kept: KeptTokens
    clock: Stopwatch


class MlaPolicy:
    """Run MLA with pruning, one control step per `act()`.

    With stage 3 the masks of a step are planned before its frame is encoded: dropped tokens are never embedded. Without
    it, the first denoising pass of every step sees all tokens and is observed; the others run on what is kept.
    """

    def __init__(
        self,
        model: Mla,
        tokenizer: PromptTokenizer,
        statistics: DatasetStatistics,
        pruner: Pruner,
        *,
        engine: EngineName = "cached",
        initial_noise: InitialNoise = "fresh",
        seed: int = 0,
        random_weights: bool = False,
    ) -> None:
        """Join the parts.

        Args:
            engine: `cached` computes the prefix once per step, `recompute` in every denoising pass; the same actions.
            initial_noise: what is denoised: `fresh` noise in every step, or `zero`, which makes steps deterministic.
            seed: of the noise; every `reset()` starts its sequence anew.
            random_weights: whether the model was never trained.
        """
        if engine not in ENGINES:
            raise ValueError(f"engine = {engine!r} must be one of {', '.join(ENGINES)}")
        if initial_noise not in ("fresh", "zero"):
            raise ValueError(f"initial_noise = {initial_noise!r} must be fresh or zero")
        if tokenizer.vocabulary > model.config.vocabulary:
            raise ValueError(
                f"the tokenizer has {tokenizer.vocabulary} tokens, but the model only {model.config.vocabulary}: "
                "give the tokenizer that the model was trained with"
            )
        self.model, self.statistics, self.pruner = model, statistics, pruner
        self.engine, self.initial_noise, self.seed, self.random_weights = engine, initial_noise, seed, random_weights
        self._tokenizer = tokenizer
        self._sampler = DdimSampler.with_steps(model.config.denoising_steps)
        self._noise = torch.Generator()
        self._instruction: Instruction | None = None
        self._steps = 0

    @torch.inference_mode()
    def reset(self, instruction: str) -> None:
        """Start an episode: embed the instruction, forget the pruning state, and start the noise anew.

        Raises ValueError for an empty instruction, and for one that is too long for the model; nothing changes then.
        """
        ids = self._tokenizer.encode(instruction)
        self._instruction = Instruction(self.model, ids, self._tokenizer.lone_space)
        self.pruner.reset()
        self._noise.manual_seed(self.seed)
        self._steps = 0

    @torch.inference_mode()
    def act(self, observation: Observation) -> tuple[Action, StepReport]:
        """Run one control step.

        Raises ValueError for an observation that cannot be used; the step then has not taken place. Raises RuntimeError
        before the first `reset()`.
        """
        if self._instruction is None:
            raise RuntimeError("the policy has no instruction yet: call reset(instruction) first")
        clock = Stopwatch(self.model.device)
        inputs = preprocess(observation, self.statistics, self.model.config)
        clock.lap("preprocess")
        centres = self.model.vision_tower_3d.centres(inputs.points)
        geometry = self._geometry(centres, observation.camera)
        clock.lap("point_tokens")
        self.pruner.begin_step()
        masks = self.pruner.plan(geometry, inputs.frame)
        step = _Step(inputs, geometry, masks, KeptTokens.of(masks, self.model.device), clock)
        clock.lap("plan")
        engine = self._encode(step, centres, self._instruction)
        normalised = self._denoise(step, engine)
        action = self.statistics.denormalise_action(normalised[0].cpu().numpy())
        clock.lap("denoise")
        self._steps += 1
        return action, self._report(step)

    def _geometry(self, centres: Centres, camera: CameraModel) -> TokenGeometry:
        grid = self.model.config.grid
        patches = patch_of_points(centres.xyz.numpy(), camera, grid)
        return TokenGeometry(torch.from_numpy(patches), grid**2)

    def _encode(self, step: _Step, centres: Centres, instruction: Instruction) -> Engine:
        """Embed the kept tokens and start the engine on them."""
        model, kept, inputs = self.model, step.kept, step.inputs
        points = model.projector_3d(model.vision_tower_3d(inputs.points.to(model.device), centres, kept.points))
        step.clock.lap("point_tokens")
        image = model.projector_2d(model.vision_tower_2d(inputs.image.to(model.device), kept.image))
        step.clock.lap("image_tokens")
        state = model.proprio_embedder(inputs.state.to(model.device)[None])
        prefix = instruction.prefix(points, image, state, kept)
        engine = make_engine(self.engine, model.llm, prefix, instruction.suffix_positions)
        step.clock.lap("prefill")
        return engine

    def _denoise(self, step: _Step, engine: Engine) -> Tensor:
        """Return the clean normalised action, float32 [1, chunk, action_dim], observing one pass on the way."""
        times = self.model.t_embedder(torch.tensor(self._sampler.timesteps, device=self.model.device))
        predicts = 3 in self.pruner.config.stages
        observed = len(times) - 1 if predicts else 0
        noisy = self._initial_noise()
        for index, time in enumerate(times):
            observe = index == observed and self.pruner.wants_salience
            output = engine.run(suffix_embeddings(self.model, time, noisy), observe)
            epsilon = self.model.noise(output.suffix[:, 1:])
            noisy = self._sampler.step(index, noisy, epsilon)
            if index == observed:
                step.clock.lap("denoise")
                self._observe(step, output)
                step.clock.lap("observe")
                if not predicts:
                    self._replan(step, engine, len(output.prefix[0]))
                    step.clock.lap("plan")
        return noisy

    def _initial_noise(self) -> Tensor:
        shape = (1, self.model.config.chunk, self.model.config.action_dim)
        if self.initial_noise == "zero":
            return torch.zeros(shape, device=self.model.device)
        return torch.randn(shape, generator=self._noise).to(self.model.device)

    def _observe(self, step: _Step, output: PassOutput) -> None:
        salience = None
        if output.attention is not None:
            salience = salience_of(self.model, output, step.kept, step.masks, self.pruner.config.s1_feature)
        self.pruner.observe(step.geometry, step.masks, salience, step.inputs.frame)

    def _replan(self, step: _Step, engine: Engine, length: int) -> None:
        """Go on with what the pruner keeps after having seen this very step."""
        before = step.kept
        step.masks = self.pruner.plan(step.geometry, step.inputs.frame)
        step.kept = KeptTokens.of(step.masks, self.model.device)
        engine.keep(step.kept.rows_within(before, length))

    def _report(self, step: _Step) -> StepReport:
        pruning = self.pruner.report()
        step.clock.lap("observe")
        return StepReport(
            step=self._steps,
            masks=step.masks,
            patch_of_point=step.geometry.patch_of_point.numpy().astype(np.int64),
            pruning=pruning,
            milliseconds=step.clock.result() | pruning.milliseconds,
            state_clipped=step.inputs.state_clipped,
            points_dropped=step.inputs.points_dropped,
        )


def build_policy(
    checkpoint: str | None,
    pruning: PruningConfig,
    *,
    engine: EngineName = "cached",
    initial_noise: InitialNoise = "fresh",
    seed: int = 0,
    tokenizer: str | None = None,
    device: str = "cpu",
) -> MlaPolicy:
    """Return a policy with tri-stage pruning.

    Args:
        checkpoint: file to load; None makes a mini model with random weights.
        pruning: settings of the pruner.
        engine: see `MlaPolicy`.
        initial_noise: see `MlaPolicy`.
        seed: of the noise, and of random weights.
        tokenizer: `tokenizer.json` of a model that does not use the mini's own.
        device: where the model runs; pruning runs on the CPU.

    Raises CheckpointError, FileNotFoundError or ValueError where something does not fit.
    """
    if checkpoint is None:
        model, statistics = random_model(MlaConfig.mini(), seed, device), DatasetStatistics.tabletop()
    else:
        model, statistics, _ = load_checkpoint(checkpoint, device)
    return MlaPolicy(
        model,
        _tokenizer_for(model, tokenizer),
        statistics,
        TriStagePruner(pruning),
        engine=engine,
        initial_noise=initial_noise,
        seed=seed,
        random_weights=checkpoint is None,
    )


def _tokenizer_for(model: Mla, path: str | None) -> PromptTokenizer:
    if path is not None:
        return PromptTokenizer.from_file(path)
    if model.config.vocabulary != MlaConfig.mini().vocabulary:
        raise CheckpointError(
            f"this model has a vocabulary of {model.config.vocabulary} tokens and needs the Llama 2 tokenizer: "
            "download tokenizer.json from huggingface.co/meta-llama/Llama-2-7b-hf and give its path as tokenizer"
        )
    return PromptTokenizer.mini()
