"""Which code trained a released checkpoint: it decides whether a tactile slot follows the image."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

RELEASE_HINTS = ("camera_name", "use_generation", "gen_", "generation_manager")
OLDER_HINTS = ("use_reconstruction", "recon_", "reconstruction_manager")


@dataclass(frozen=True)
class Vintage:
    """Say which code trained a checkpoint, and how that is known."""

    name: str  # release, older, or unknown, which is taken for the release
    fused_tokens: int  # point and image tokens, and the tactile slot where there is one
    evidence: tuple[str, ...]  # settings and modules that give it away

    @property
    def tactile_slot(self) -> bool:
        """Tell whether a zero token follows the image."""
        return self.name != "older"


def detect_vintage(settings: Collection[str], modules: Collection[str], visual_tokens: int) -> Vintage:
    """Judge by the names of the training settings and of the checkpoint's modules.

    The tactile slot came with the release; until then `visual_tokens`, both kinds together, were all. Raises ValueError
    where the names contradict each other.
    """
    names = [*settings, *modules]
    release = tuple(name for name in names if name.startswith(RELEASE_HINTS))
    older = tuple(name for name in names if name.startswith(OLDER_HINTS))
    if release and older:
        raise ValueError(
            f"{', '.join(older)} tell of code before the release, {', '.join(release)} of the release: "
            "say by tactile_slot whether a zero token follows the image"
        )
    if older:
        return Vintage("older", visual_tokens, older)
    return Vintage("release" if release else "unknown", visual_tokens + 1, release)
