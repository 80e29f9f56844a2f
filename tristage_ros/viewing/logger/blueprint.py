"""What is where in the viewer when it opens; the entities are those that `tristage_ros.viewing` logs."""

from __future__ import annotations

import rerun as rr
import rerun.blueprint as rrb

EYE, LOOKED_AT = (1.05, -0.72, 0.70), (0.22, 0.0, 0.12)  # m, base frame
CURVES = {"Tokens pruned": "pruned", "Salience": "salience", "Milliseconds per step": "milliseconds"}


def blueprint() -> rrb.Blueprint:
    """Return the layout: the cell beside its cameras, below it the curves and what was said."""
    cell = rrb.Spatial3DView(
        origin="cell",
        name="Cell",
        eye_controls=rrb.EyeControls3D(position=EYE, look_target=LOOKED_AT, eye_up=(0.0, 0.0, 1.0)),
        line_grid=rrb.LineGrid3D(visible=False),
        background=(30, 32, 36),
    )
    pictures = [
        rrb.Spatial2DView(origin="kept", name="Kept: blue 2D, orange 3D, green both"),
        rrb.Spatial2DView(origin="cell/front", name="Front", contents="cell/front/**"),
        rrb.Spatial2DView(origin="cell/wrist", name="Wrist", contents="cell/wrist/**"),
    ]
    curves = [
        rrb.TimeSeriesView(origin=path, name=name, plot_legend=rrb.PlotLegend(rr.blueprint.Corner2D.LeftTop))
        for name, path in CURVES.items()
    ]
    columns = rrb.TextLogColumns(timeline_columns=["time"], text_log_columns=["loglevel", "body"])
    said = rrb.TextLogView(origin="said", name="Arm and diagnostics", columns=columns)
    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(cell, rrb.Vertical(*pictures), column_shares=[3, 1]),
            rrb.Horizontal(*curves, said),
            row_shares=[2, 1],
        ),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        rrb.TimePanel(state="collapsed", timeline="time"),
    )
