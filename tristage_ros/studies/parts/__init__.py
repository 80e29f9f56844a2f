"""The tables and figures of the paper, and ours beside them, by name."""

from __future__ import annotations

from tristage_ros.studies.parts.choosing import Choosing
from tristage_ros.studies.parts.core import Table2, Table3
from tristage_ros.studies.parts.denoising import DenoisingPart
from tristage_ros.studies.parts.families import Families
from tristage_ros.studies.parts.figure3 import Figure3
from tristage_ros.studies.parts.figures import Figure5, Figure7, Figure8
from tristage_ros.studies.parts.governs import Governs
from tristage_ros.studies.parts.looks import Looking
from tristage_ros.studies.parts.matrix import Matrix
from tristage_ros.studies.parts.need import Need, Practice
from tristage_ros.studies.parts.oracle import Oracle
from tristage_ros.studies.parts.part import Chapter, Part
from tristage_ros.studies.parts.rates import Continuous2, Rates
from tristage_ros.studies.parts.robustness import Controls, Robustness
from tristage_ros.studies.parts.stages import Continuous3, Stages
from tristage_ros.studies.parts.tables import Table1, Table4

PARTS: dict[str, type[Part]] = {
    part.name: part
    for part in (
        Table2, Table3, Rates, Stages, Continuous2, Continuous3, Controls, Table1, Table4, Figure3, Figure5, Figure7,
        Figure8, Robustness, DenoisingPart, Choosing, Looking, Families, Need, Governs, Oracle, Practice, Matrix,
    )
}  # fmt: skip

__all__ = ["PARTS", "Chapter", "Part"]
