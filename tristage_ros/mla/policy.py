"""The policy: an observation in, an action and a report out, with pruning state kept across steps."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tristage_ros.mla.captured import CapturedEngine, StaticPasses
from tristage_ros.mla.config import StateSource
from tristage_ros.mla.device import Stopwatch, to_device
from tristage_ros.mla.engines import ENGINE_CHOICES, Engine, EngineName, PassOutput, Prefix, Suffix, make_engine
from tristage_ros.mla.exported import PACKAGES, ExportedDecoder, fastest
from tristage_ros.mla.inputs import (
    Instruction,
    KeptTokens,
    ModelInputs,
    layer_attention_of,
    preprocess,
    salience_of,
    with_edges_and_speed,
)
from tristage_ros.mla.memory import MemoryShortageError, free_bytes, shortage
from tristage_ros.mla.mid_pass import BlockOutput, MidPass, MidPassEngine
from tristage_ros.mla.model import Mla
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.passes import SEQUENTIAL, DdimSampler, Denoised, Denoising
from tristage_ros.mla.prompt import PromptTokenizer
from tristage_ros.mla.values import Action, Observation, StepReport
from tristage_ros.mla.visual_tokens import Centres
from tristage_ros.perception.camera import CameraModel, patch_of_points
from tristage_ros.pruning import PruningConfig
from tristage_ros.pruning.report import PruningReport
from tristage_ros.pruning.values import FrameContext, LayerAttention, Salience, TokenGeometry, TokenMasks


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

    def report_later(self) -> Callable[[], PruningReport]:
        """Return what sums up the step whenever it is called."""


class ModelOutputError(ArithmeticError):
    """Say what the model answered that is no action; the next observation may be another matter."""


class _GivenUpError(Exception):
    """End a look that somebody would have to wait for."""


def _never() -> bool:
    return False


@runtime_checkable
class MidPassPruner(Pruner, Protocol):
    """Choose inside the pass, by the attention in the layer before `mid_layer`."""

    mid_layer: int
    mid_queries: int | None  # whose attention: of how many tokens before the diffusion step; None: all, 0: none
    mid_states: bool  # whether to give it the states of the layer's tokens
    for_good: bool  # whether the denoising passes after the first run on what it keeps alone, encoders included

    def mid_pass(self, layer: int, attention: LayerAttention) -> TokenMasks | None:
        """Return what the layers from `layer` on are to see; None: everything."""


@dataclass
class _Step:
    """Hold what the parts of one control step hand on."""

    inputs: ModelInputs
    geometry: TokenGeometry
    masks: TokenMasks
    kept: KeptTokens  # embedded; `masks` may keep fewer in the end
    clock: Stopwatch
    unless: Callable[[], bool]  # whether it is to be given up

    def go_on(self) -> None:
        """Raise _GivenUpError where it is to be given up."""
        if self.unless():
            raise _GivenUpError


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
        engine: EngineName | Literal["auto"] = "cached",
        denoising: Denoising = SEQUENTIAL,
        state_source: StateSource | None = None,
        captured: bool | None = None,
        table_height: float = 0.0,
        seed: int = 0,
        random_weights: bool = False,
        passes: StaticPasses | None = None,
    ) -> None:
        """Join the parts.

        Args:
            engine: `cached` computes the prefix once per step; `recompute` in every denoising pass, from the tokenizers
                on. `openvino` and `onnx` run the decoder of a step as one graph of that runtime, where denoising is
                sequential and masks are planned beforehand, and else as `cached` does. `auto` is the fastest of them
                that is installed and can run the model. The actions are the same.
            captured: whether the cached engine's passes are static ones, recorded on a GPU; None: on a GPU only. Passes
                that prune inside themselves never are.
            denoising: in how many steps, from which noise, and in which order.
            state_source: what the model is told of its own state: the `measured` one, or, as the released evaluation
                does from the second step on, the pose and gripper that the step before `commanded`: its translation
                from where the tool was measured then. None: as the model's config says.
            table_height: m, of the table in the base frame; the model hears of heights above it, as it learned them.
            seed: of the noise; every `reset()` starts its sequence anew.
            random_weights: whether the model was never trained.
            passes: static ones over the same model that this policy shares; None: it makes its own.
        """
        if engine not in ENGINE_CHOICES:
            raise ValueError(f"engine = {engine!r} must be one of {', '.join(ENGINE_CHOICES)}")
        state_source = state_source or model.config.state_source
        if state_source not in get_args(StateSource):
            raise ValueError(f"state_source = {state_source!r} must be one of {', '.join(get_args(StateSource))}")
        if tokenizer.vocabulary > model.config.vocabulary:
            raise ValueError(
                f"the tokenizer has {tokenizer.vocabulary} tokens, but the model only {model.config.vocabulary}: "
                "give the tokenizer that the model was trained with"
            )
        self.model, self.statistics, self.pruner = model, statistics, pruner
        self.engine: EngineName = fastest(model) if engine == "auto" else engine
        self.denoising, self.seed, self.random_weights = denoising, seed, random_weights
        self.state_source, self.table_height = state_source, table_height
        self._tokenizer = tokenizer
        self._sampler = DdimSampler.with_steps(
            denoising.steps or model.config.denoising_steps, model.config.clip_denoised, model.config.prediction
        )
        captured = model.device.type == "cuda" if captured is None else captured
        self._passes = passes or (StaticPasses(model.llm) if captured and self.engine == "cached" else None)
        with torch.inference_mode():
            self._times = model.t_embedder(torch.tensor(self._sampler.timesteps, device=model.device))
        self.exported = ExportedDecoder(self.engine, *self.graph_parts) if self.engine in PACKAGES else None
        self._noise, self._starts = torch.Generator(), torch.Generator()
        self._instruction: Instruction | None = None
        self._commanded: NDArray[np.float32] | None = None
        self._before: Observation | None = None
        self._expected: Tensor | None = None  # what denoising came to in the step before
        self._steps = 0

    def another(self, pruner: Pruner) -> MlaPolicy:
        """Return a policy over the same model, set as this one, with a pruner and a state of its own, not reset yet.

        Memory of static passes is shared as well: let one of them finish its step before another begins.
        """
        return MlaPolicy(
            self.model,
            self._tokenizer,
            self.statistics,
            pruner,
            engine=self.engine,
            denoising=self.denoising,
            state_source=self.state_source,
            captured=self._passes is not None,
            table_height=self.table_height,
            seed=self.seed,
            random_weights=self.random_weights,
            passes=self._passes,
        )

    @torch.inference_mode()
    def reset(self, instruction: str) -> None:
        """Start an episode: embed the instruction, forget the pruning state, and start the noise anew.

        Raises ValueError for an empty instruction, and for one that is too long for the model; nothing changes then.
        """
        ids = self._tokenizer.encode(instruction)
        self._instruction = Instruction(self.model, ids, self._tokenizer.lone_space)
        self.pruner.reset()
        for generator in (self._noise, self._starts):
            generator.manual_seed(self.seed)
        self._commanded = self._before = self._expected = None
        self._steps = 0

    @property
    def steps(self) -> int:
        """Return how many control steps there were since the last `reset()`; looks are none."""
        return self._steps

    @torch.inference_mode()
    def act(self, observation: Observation) -> tuple[Action, StepReport]:
        """Run one control step.

        Raises ValueError for an observation that cannot be used; the step then has not taken place. Raises RuntimeError
        before the first `reset()`, MemoryShortageError where the step does not fit on the device, and ModelOutputError
        where the model's answer is not finite.
        """
        return self._run(observation, _never)

    def _run(self, observation: Observation, unless: Callable[[], bool]) -> tuple[Action, StepReport]:
        if self._instruction is None:
            raise RuntimeError("the policy has no instruction yet: call reset(instruction) first")
        try:
            if not self.table_height:
                return self._act(observation, self._instruction, unless)
            action, report = self._act(observation.above(self.table_height), self._instruction, unless)
            up = np.array([0.0, 0.0, self.table_height], np.float32)
            return action, replace(report, token_centres=report.token_centres + up)
        except torch.cuda.OutOfMemoryError:
            model = self.model
            free = free_bytes(model.device) or 0
            raise MemoryShortageError(shortage(model.config, model.dtype, model.device, free)) from None

    @torch.inference_mode()
    def look(self, observation: Observation, unless: Callable[[], bool] | None = None) -> StepReport | None:
        """Run a control step for the pruner alone, whose action nobody carries out; its report has the number 0.

        Noise, commanded state and the number of control steps go on as if it had not taken place. `unless` is asked
        before every pass: once it is true the look is given up, the pruner is as it was, and None is returned, so that
        whoever wants a control step waits for a pass at most. Raises what `act` raises.
        """
        generators = (self._noise, self._starts)
        before, commanded, steps = [generator.get_state() for generator in generators], self._commanded, self._steps
        pruner = None if unless is None else deepcopy(vars(self.pruner))
        try:
            return replace(self._run(observation, unless or _never)[1], step=0)
        except _GivenUpError:
            vars(self.pruner).update(pruner or {})
            return None
        finally:
            for generator, state in zip(generators, before, strict=True):
                generator.set_state(state)
            self._commanded, self._steps = commanded, steps

    def _act(
        self, observation: Observation, instruction: Instruction, unless: Callable[[], bool]
    ) -> tuple[Action, StepReport]:
        clock, measured = Stopwatch(self.model.device), observation.state[:3]
        if self._commanded is not None:
            observation = replace(observation, state=self._commanded)
        inputs = preprocess(observation, self.statistics, self.model.config, self.pruner.config)
        if getattr(self.pruner, "wants_edges", False):
            frame = with_edges_and_speed(inputs.frame, observation, self._before, self.model.config.grid)
            inputs = replace(inputs, frame=frame)
        clock.lap("preprocess")
        centres = self.model.vision_tower_3d.centres(inputs.points, self._fps_starts())
        geometry = self._geometry(centres, observation.camera)
        clock.lap("point_tokens")
        self.pruner.begin_step()
        masks = self.pruner.plan(geometry, inputs.frame)
        step = _Step(inputs, geometry, masks, KeptTokens.of(masks, self.model.device), clock, unless)
        clock.lap("plan")
        step.go_on()
        prefix, suffix = self._embed(step, centres, instruction), Suffix(self._times, instruction.suffix_positions)
        if self.exported is not None and self._whole:
            denoised, output = self.exported.denoise(prefix, suffix, self._initial_noise())
            passes = len(self._times)
        else:
            engine = self._engine(step, prefix, suffix)

            def embed_again() -> Prefix:
                clock.lap("denoise")
                return self._embed(step, centres, instruction)

            denoised, output, passes = self._denoise(step, engine, embed_again)
        said = denoised.action[0].cpu().numpy()
        if not np.isfinite(said).all():
            self._expected = None
            raise ModelOutputError(f"the model's action is not finite: {said.tolist()}, in {self.model.dtype}")
        action = self.statistics.denormalise_action(said)
        self._expected = denoised.clean
        clock.lap("denoise")
        if self._predicts:  # the next step's masks can wait until this step's action is there
            self._observe(step, output)
            clock.lap("observe")
        if self.state_source == "commanded":
            position = measured + action.translation[0]
            self._commanded = np.array([*position, *action.rotation[0], action.gripper[0]], np.float32)
        self._steps += 1
        self._before = observation
        return action, self._report(step, centres, passes)

    @property
    def _in_torch(self) -> EngineName:
        return "recompute" if self.engine == "recompute" else "cached"

    def _fps_starts(self) -> tuple[int, int]:
        config = self.model.config
        if config.fps_start == "first":
            return 0, 0
        first, second = (int(torch.randint(n, (), generator=self._starts)) for n in (config.points, config.groups[0]))
        return first, second

    def _geometry(self, centres: Centres, camera: CameraModel) -> TokenGeometry:
        grid = self.model.config.grid
        patches = patch_of_points(centres.xyz.numpy(), camera, grid)
        return TokenGeometry(torch.from_numpy(patches), grid**2)

    @property
    def graph_parts(self) -> tuple[Mla, Tensor, DdimSampler]:
        """Return what the decoder's graph is made of."""
        return self.model, self._times, self._sampler

    @property
    def _whole(self) -> bool:
        """Tell whether nothing is decided between the passes of a step."""
        return self._predicts and self.denoising.parallel is None and not isinstance(self.pruner, MidPassPruner)

    def _engine(self, step: _Step, prefix: Prefix, suffix: Suffix) -> Engine:
        """Start the engine on the embedded tokens."""
        llm, branches = self.model.llm, len(self._times) if self.denoising.parallel else 1
        engine: Engine
        if isinstance(self.pruner, MidPassPruner):
            mid = self._mid_pass(self.pruner, step, prefix)
            engine = MidPassEngine(self._in_torch, llm, prefix, suffix, mid, branches)
        elif self._passes is not None:
            engine = CapturedEngine(self._passes, prefix, suffix, branches)
        else:
            engine = make_engine(self._in_torch, llm, prefix, suffix, branches)
        step.clock.lap("prefill")
        return engine

    def _mid_pass(self, pruner: MidPassPruner, step: _Step, prefix: Prefix) -> MidPass:
        def choose(shown: BlockOutput) -> Tensor | None:
            step.clock.lap("prefill")
            norm = self.model.llm.norm if pruner.mid_states else None
            masks = pruner.mid_pass(pruner.mid_layer, layer_attention_of(prefix, shown, step.kept, step.masks, norm))
            step.clock.lap("plan")
            if masks is None:
                return None
            kept, embedded = KeptTokens.of(masks, self.model.device), step.kept
            step.masks = masks
            if pruner.for_good:
                step.kept = kept  # what later passes embed
            return kept.rows_within(embedded, len(prefix))

        return MidPass(pruner.mid_layer, pruner.mid_queries, choose, pruner.for_good)

    def _embed(self, step: _Step, centres: Centres, instruction: Instruction) -> Prefix:
        model, kept, inputs = self.model, step.kept, step.inputs
        tokens = model.vision_tower_3d(to_device(inputs.points, model.device), centres, kept.points)
        xyz, patches = (to_device(t, model.device)[kept.points] for t in (centres.xyz, step.geometry.patch_of_point))
        points = model.embed_points(tokens, xyz, patches)
        step.clock.lap("point_tokens")
        picture = to_device(inputs.image, model.device)
        image = model.embed_image(model.vision_tower_2d(picture, kept.image), kept.image)
        step.clock.lap("image_tokens")
        state = model.proprio_embedder(to_device(inputs.state, model.device)[None])
        return instruction.prefix(points, image, state, kept)

    @property
    def _predicts(self) -> bool:
        return 3 in self.pruner.config.stages

    def _denoise(self, step: _Step, engine: Engine, embed: Callable[[], Prefix]) -> tuple[Denoised, PassOutput, int]:
        """Return what denoising came to, what the last pass gave, and the passes it took.

        Salience is in what the last pass gave. Without stage 3 it is the first pass that is learned from, here.
        """
        predicts, clock = self._predicts, step.clock
        passes, count = self.denoising.passes(self._sampler, self._initial_noise(), self._expected), 1
        first, noisy = next(passes)
        while True:
            step.go_on()
            observed = first + len(noisy) == len(self._times) if predicts else count == 1
            output = engine.run(first, self.model.x_embedder(noisy), observed and self.pruner.wants_salience)
            predicted = self.model.predict(output.actions)
            clock.lap("prefill" if count == 1 else "denoise")
            if count == 1 and not predicts:
                self._observe(step, output)
                clock.lap("observe")
                self._replan(step, engine, len(output.prefix[0]))
                clock.lap("plan")
            try:
                first, noisy = passes.send(predicted)
            except StopIteration as end:
                denoised: Denoised = end.value
                return denoised, output, count
            engine.renew(embed)
            count += 1

    def _initial_noise(self) -> Tensor:
        shape = (1, self.model.config.chunk, self.model.config.action_dim)
        if self.denoising.initial_noise == "zero":
            return torch.zeros(shape, device=self.model.device)
        return to_device(torch.randn(shape, generator=self._noise), self.model.device)

    def _observe(self, step: _Step, output: PassOutput) -> None:
        salience = None
        if output.attention is not None and self.pruner.wants_salience:
            kept = KeptTokens.of(step.masks, self.model.device)
            salience = salience_of(self.model, output, kept, step.masks, self.pruner.config.s1_feature)
        self.pruner.observe(step.geometry, step.masks, salience, step.inputs.frame)

    def _replan(self, step: _Step, engine: Engine, length: int) -> None:
        """Go on with what the pruner keeps after having seen this very step."""
        before = step.kept
        step.masks = self.pruner.plan(step.geometry, step.inputs.frame)
        step.kept = KeptTokens.of(step.masks, self.model.device)
        engine.keep(step.kept.rows_within(before, length))

    def _report(self, step: _Step, centres: Centres, passes: int) -> StepReport:
        summarise = self.pruner.report_later()
        step.clock.lap("observe")
        return StepReport(
            step=self._steps,
            masks=step.masks,
            patch_of_point=step.geometry.patch_of_point.numpy().astype(np.int64),
            token_centres=centres.xyz.numpy(),
            summarise=summarise,
            spent=step.clock.result(),
            state_clipped=step.inputs.state_clipped,
            points_dropped=step.inputs.points_dropped,
            passes=passes,
        )
