"""A pruner of one's own: keep what is near the tool. It has the budget, guard and report of those that ship."""

from __future__ import annotations

import torch

from tristage_ros.mla.loading import load_model, load_tokenizer
from tristage_ros.mla.policy import MlaPolicy
from tristage_ros.perception.camera import project
from tristage_ros.pruning import FrameContext, PruningConfig, TokenGeometry, TokenMasks
from tristage_ros.pruning.baselines import Baseline
from tristage_ros.resources import find_checkpoint
from tristage_ros.simulation.episode import Episode


class NearTheTool(Baseline):
    """Keep the tokens of the patches nearest to the one in which the tool is.

    What `Baseline` asks of a method is `_choose`: a score per token, the 2D tokens ahead, of which `_keep_best` keeps
    as many as the target rate leaves, after those that the change guard protects. A method that learns from attention
    has `_learn` as well.
    """

    tool = (0.5, 0.5)  # where it is in the image, 0..1 from left to right and from top to bottom

    def _choose(self, geometry: TokenGeometry, frame: FrameContext | None) -> TokenMasks:
        grid = int(geometry.patches**0.5)
        rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
        far = ((columns + 0.5) / grid - self.tool[0]) ** 2 + ((rows + 0.5) / grid - self.tool[1]) ** 2
        score_2d = -far.flatten()
        score_3d = torch.where(geometry.patch_of_point >= 0, score_2d[geometry.patch_of_point], score_2d.min())
        score = torch.cat([score_2d, score_3d])
        return self._keep_best(geometry, torch.zeros_like(score, dtype=torch.bool), score, self._size(geometry))


def main(steps: int = 4, rate: float = 0.7) -> list[float]:
    """Lead an episode of the simulated cell with it; return the share of tokens that each step left out."""
    checkpoint = find_checkpoint("")
    model, statistics = load_model(checkpoint, None, torch.float32, "cpu", 0)
    pruner = NearTheTool(PruningConfig(target_rate=rate))
    policy = MlaPolicy(model, load_tokenizer(model.config, None, checkpoint), statistics, pruner)
    episode = Episode("banana", seed=1)
    policy.reset(episode.task.instruction)
    rates = []
    for _ in range(steps):
        observation = episode.observe()
        camera = observation.camera
        ((u, v),), _ = project(observation.state[None, :3], camera)
        pruner.tool = (u / camera.width, v / camera.height)
        action, report = policy.act(observation)
        episode.step(action)
        rates.append(report.pruning.rate)
        print(f"step {report.step}: tool at {pruner.tool[0]:.2f} {pruner.tool[1]:.2f}, {rates[-1]:.0%} left out")
    return rates


if __name__ == "__main__":
    main()
