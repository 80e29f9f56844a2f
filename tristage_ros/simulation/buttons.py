"""Two buttons in the air, each on an arm that comes from its side: a cap that sinks, at any height, of any size.

Nothing but depth tells how high one is: all have one shape in every size, no texture and no foot on the table, and the
arm that carries them runs out of every picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from tristage_ros.devices.arm.kinematics import forward, tool_pose
from tristage_ros.simulation.objects import Piece, Range
from tristage_ros.simulation.scene import HOME, table_height

Floats = NDArray[np.float64]

NAMES = ("button_1", "button_2")
HEIGHTS: Range = (0.02, 0.20)  # m, of the cap's top above the table
RADII: Range = (0.014, 0.035)  # m, of the cap
TRAVEL, DOWN = 0.008, 0.006  # m, that a cap can sink, and from where on it is pressed
SHIFT, RISE = 0.03, 0.04  # m, by which both move at most once the gripper has closed: in plan, and up or down
X, Y = (0.24, 0.44), (-0.20, 0.20)  # m, base frame
APART = 0.13  # m in y: the gripper has room beside the other one, and neither is in front of the other
ROOM = 0.075  # m around the way of the fingertips that is kept free of the other one

# Of the radius, so that the shape does not tell the size; the cap's top is the origin.
CAP, DRUM, BEAM = 0.30, 0.25, 0.12  # thickness of the cap and of what it sinks into, half thickness of the arm
_DRUM_RADIUS = 0.8
_REACH = 1.5  # m, half the length of the arm
_SPRING = 'stiffness="120" springref="-0.004" damping="3"'  # N/m, m, N s/m: half a newton to begin with
_GREY = 'rgba="0.55 0.57 0.60 1"'


def _column(name: str) -> Piece:
    """Return a button at its largest: what MuJoCo bounds it with when it compiles then holds for every size."""
    sizes = _geometry(RADII[1])
    shapes = {part: f'size="{_text(size)}" pos="{_text(place)}"' for part, (size, place) in sizes.items()}
    xml = f"""
 <body name="{name}">
  <geom name="{name}_drum" class="visual" type="cylinder" {shapes["drum"]} {_GREY}/>
  <geom name="{name}_beam" class="fixed" type="box" {shapes["beam"]} {_GREY}/>
  <body name="{name}_cap" gravcomp="1">
   <joint name="{name}_cap" type="slide" axis="0 0 -1" range="0 {TRAVEL}" {_SPRING}/>
   <geom name="{name}_cap" class="fixed" type="cylinder" {shapes["cap"]} mass="0.02" rgba="0.5 0.5 0.5 1"/>
  </body>
 </body>"""
    return Piece(name, xml, clearance=APART / 2, height=0.0, x=X, y=Y)


def _geometry(radius: float) -> dict[str, tuple[Floats, Floats]]:
    """Return size and place [3] of every part of a button, m, its arm along +y."""
    cap, drum, beam = CAP * radius, DRUM * radius, BEAM * radius
    return {
        "cap": (np.array([radius, cap / 2, 0.0]), np.array([0.0, 0.0, -cap / 2])),
        "drum": (np.array([_DRUM_RADIUS * radius, drum / 2, 0.0]), np.array([0.0, 0.0, -cap - drum / 2])),
        "beam": (np.array([beam, _REACH, beam]), np.array([0.0, _REACH, -cap - drum / 2])),
    }


def _text(numbers: Floats) -> str:
    return " ".join(f"{number:.6g}" for number in numbers)


BUTTONS = tuple(_column(name) for name in NAMES)


@dataclass(frozen=True)
class Layout:
    """Hold where both caps are at first, where they go once the gripper has closed, and how large they are."""

    first: Floats  # [2, 3] m, base frame, but heights above the table
    then: Floats  # [2, 3] m, likewise
    radii: Floats  # [2] m


def draw(rng: np.random.Generator, eye: Floats, suits: Callable[[Layout], bool] = lambda _: True) -> Layout:
    """Return a layout that `suits`, that a camera at `eye` [3] m sees, and whose buttons the arm reaches one by one."""
    while True:
        low, high = np.array([(X[0], Y[0], HEIGHTS[0]), (X[1], Y[1], HEIGHTS[1])])
        first = rng.uniform(low, high, (2, 3))
        angle, far = rng.uniform(0.0, 2 * np.pi, 2), SHIFT * np.sqrt(rng.uniform(0.0, 1.0, 2))
        shift = np.stack([far * np.cos(angle), far * np.sin(angle), rng.uniform(-RISE, RISE, 2)], axis=1)
        layout = Layout(first, first + shift, np.exp(rng.uniform(*np.log(RADII), 2)))
        inside = ((layout.then >= low) & (layout.then <= high)).all()
        if inside and _reached(layout) and _seen(layout, eye) and suits(layout):
            return layout


def put(model: mujoco.MjModel, places: Floats, radii: Floats | None = None) -> None:
    """Put both caps at `places` [2, 3] m, heights above the table; `radii` [2] m change their size."""
    sides = np.where(places[:, 1] == places[:, 1].max(), 1.0, -1.0)  # the left one's arm goes to the left
    for k, name in enumerate(NAMES):
        body = model.body(name)
        body.pos = places[k] + (0.0, 0.0, table_height(model))
        body.quat = (1.0, 0.0, 0.0, 0.0) if sides[k] > 0 else (0.0, 0.0, 0.0, 1.0)
        if radii is not None:
            for part, (size, place) in _geometry(float(radii[k])).items():
                geom = model.geom(f"{name}_{part}")
                geom.size, geom.pos = size, place


def paint(model: mujoco.MjModel, colors: Floats) -> None:
    """Give both caps their colours, [2, 3] RGB 0..1."""
    for name, color in zip(NAMES, colors, strict=True):
        model.geom(f"{name}_cap").rgba[:3] = color


def touched(model: mujoco.MjModel, data: mujoco.MjData, name: str) -> bool:
    """Tell whether anything touches the cap of a button."""
    return bool((data.contact.geom[: data.ncon] == model.geom(f"{name}_cap").id).any())


# What a layout has to be like.


def _reached(layout: Layout) -> bool:
    """Tell whether the tool comes to each of the two without coming near the other, at first and later."""
    start = tool_pose(forward(HOME))[:3, 3]
    for wanted, other in ((0, 1), (1, 0)):
        for places in (layout.first, layout.then):
            if abs(places[0, 1] - places[1, 1]) < APART:
                return False
            above = places[wanted] + (0.0, 0.0, 0.06)
            column = places[other], places[other] * (1.0, 1.0, 0.0)
            if _between(start, above, *column) < ROOM + layout.radii[other]:
                return False
    return True


def _seen(layout: Layout, eye: Floats) -> bool:
    """Tell whether neither hides the other, and the waiting arm neither of them."""
    tool = tool_pose(forward(HOME))
    gripper = tool[:3, 3] + 0.015 * tool[:3, 2], tool[:3, 3] - 0.15 * tool[:3, 2]
    for places in (layout.first, layout.then):
        ways = places - eye
        far = np.linalg.norm(ways, axis=1)
        apart = math.acos(min(1.0, float(ways[0] @ ways[1] / far.prod())))
        if apart < 1.3 * (layout.radii / far).sum():
            return False
        side = np.where(places[:, 1] == places[:, 1].max(), 1.0, -1.0)
        for k, other in ((0, 1), (1, 0)):
            beam = places[other] - (0.0, 0.0, (CAP + DRUM / 2) * layout.radii[other])
            end = beam + np.array([0.0, side[other] * 2 * _REACH, 0.0])
            if _between(eye, places[k], beam, end) < layout.radii[k] + BEAM * layout.radii[other]:
                return False
            if places is layout.first and _between(eye, places[k], *gripper) < 0.05 + layout.radii[k]:
                return False
    return True


def _between(a: Floats, b: Floats, c: Floats, d: Floats) -> float:
    """Return the least distance between points along a-b and c-d, [3] m each, to about a centimetre."""
    shares = np.linspace(0.0, 1.0, 60)[:, None]
    one, two = a + shares * (b - a), c + shares * (d - c)
    return float(np.linalg.norm(one[:, None] - two[None], axis=2).min())
