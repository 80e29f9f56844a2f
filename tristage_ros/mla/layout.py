"""Where every token stands in the sequence."""

from __future__ import annotations

from dataclasses import dataclass

from tristage_ros.mla.config import MlaConfig


@dataclass(frozen=True)
class SequenceLayout:
    """Number the positions of one control step.

    BOS | points | image | tactile slot | prompt without BOS | state | diffusion step | noisy actions | lone-space token

    The lone-space token that ends the prompt stands last, where the model cannot see it, and is never computed: so the
    released code infers. It was trained with the token before the state; `marker_before_state` does the same.
    """

    prompt: int  # tokens of the prompt, BOS included
    config: MlaConfig

    def __post_init__(self) -> None:
        """Refuse a prompt that does not fit."""
        if self.length > self.config.max_positions:
            raise ValueError(
                f"the prompt has {self.prompt} tokens, which makes {self.length} positions, "
                f"but the model has {self.config.max_positions}: use a shorter instruction"
            )

    @property
    def points(self) -> int:
        """Return the position of the first point token."""
        return 1

    @property
    def image(self) -> int:
        """Return the position of the first image token."""
        return self.points + self.config.point_tokens

    @property
    def text(self) -> int:
        """Return the first position behind the image: the tactile slot where there is one, else the text."""
        return self.image + self.config.image_tokens

    @property
    def state(self) -> int:
        """Return the position of the state, the last token that does not change while denoising."""
        return self.text + self.config.tactile_slot + self.prompt - 1 + self.config.marker_before_state

    @property
    def time(self) -> int:
        """Return the position of the diffusion step."""
        return self.state + 1

    @property
    def action(self) -> int:
        """Return the position of the first noisy action."""
        return self.time + 1

    @property
    def length(self) -> int:
        """Return the number of positions, the unseen last one included."""
        return self.action + self.config.chunk + 1
