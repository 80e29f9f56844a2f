"""Tri-stage token pruning for models with 2D and 3D tokens: torch only, no ROS."""

from tristage_ros.pruning.baselines import make_pruner
from tristage_ros.pruning.config import PruningConfig
from tristage_ros.pruning.kmeans import exact_kmeans_1d
from tristage_ros.pruning.pruner import TriStagePruner
from tristage_ros.pruning.report import PruningReport
from tristage_ros.pruning.values import FrameContext, LayerAttention, Salience, TokenGeometry, TokenMasks

__all__ = [
    "FrameContext",
    "LayerAttention",
    "PruningConfig",
    "PruningReport",
    "Salience",
    "TokenGeometry",
    "TokenMasks",
    "TriStagePruner",
    "exact_kmeans_1d",
    "make_pruner",
]
