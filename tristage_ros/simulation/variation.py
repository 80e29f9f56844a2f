"""How much one episode differs from the next, apart from where the objects stand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variation:
    """Choose what is drawn anew for every episode; the default is what a policy is trained and judged on."""

    start: float = 0.12  # rad, of every joint around HOME, to either side
    light: float = 1.0  # 0: as modelled .. 1: direction, brightness and tint of the light vary widely
    color: float = 1.0  # 0: as modelled .. 1: table and room in any colour, textures, objects a little off theirs
    clutter: bool = True  # clutter may stand anywhere that is free, not only aside
    company: float = 0.4  # share of episodes in which the things of another task stand there as well
    camera_shift: float = 0.0  # m, standard deviation per axis of the front camera's place; its calibration is not told
    camera_turn: float = 0.0  # rad, likewise of its direction
    sensor_noise: bool = False  # noise, steps and holes of a real depth camera
    hand: bool = False  # a person's hand comes in over the table

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        for name in ("start", "camera_shift", "camera_turn"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        for name in ("light", "color", "company"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 to 1")


PLAIN = Variation(start=0.0, light=0.0, color=0.0, clutter=False, company=0.0)
