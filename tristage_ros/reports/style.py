"""The style of all figures: fonts, colours, legends.

Colours after Okabe and Ito, so that the colour-blind can tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import FigureBase

STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "savefig.facecolor": "white",
}
BLACK, GREY, SKY, GREEN, BLUE, RED, ORANGE = "#000000", "#999999", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#E69F00"
DARK, LIGHT = "#555555", "#dddddd"


def legend_below(figure: FigureBase, handles: Sequence[Any], columns: int) -> None:
    """Add a legend below everything in a figure with constrained layout; matplotlib knows such a place from 3.7 on."""
    rows = -(-len(handles) // columns)
    legend = figure.legend(handles=handles, loc="lower center", ncol=columns, borderaxespad=0.2)
    # The layout leaves room for this label, and the legend lies on it.
    figure.supxlabel("\n" * (rows - 1) + " ", fontsize=1.3 * legend.get_texts()[0].get_fontsize())
