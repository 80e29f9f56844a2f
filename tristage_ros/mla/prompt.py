"""The prompt around an instruction, and its tokens."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

MINI_TOKENIZER = Path(__file__).with_name("mini_tokenizer.json")
LONE_SPACE = "▁"  # the token that ends a prompt in training


def prompt_text(instruction: str) -> str:
    """Return the question that the model was trained on; an empty instruction is a ValueError."""
    if not instruction.strip():
        raise ValueError("the instruction is empty: say what the robot is to do, such as 'put the banana on the plate'")
    return f"In: What action should the robot take to {instruction.strip().lower()}?\nOut:"


class PromptTokenizer:
    """Turn instructions into token ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Use a tokenizer that puts BOS first and knows the lone-space token."""
        self._tokenizer = tokenizer
        lone_space: int | None = tokenizer.token_to_id(LONE_SPACE)
        if lone_space is None:
            raise ValueError(f"the tokenizer has no token {LONE_SPACE!r}: it is not a LLaMA tokenizer")
        self.lone_space = lone_space

    @classmethod
    def mini(cls) -> PromptTokenizer:
        """Return the tokenizer of the mini model: a word is a token, and what is no known word is spelt in bytes."""
        return cls.from_file(MINI_TOKENIZER)

    @classmethod
    def from_file(cls, path: str | Path) -> PromptTokenizer:
        """Read a `tokenizer.json`. Raises FileNotFoundError and, for any other content, ValueError."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no tokenizer file {path}")
        try:
            return cls(Tokenizer.from_file(str(path)))
        except ValueError:
            raise
        except Exception as error:  # the library raises bare Exceptions
            raise ValueError(f"{path} is not a tokenizer.json: {error}") from None

    @property
    def vocabulary(self) -> int:
        """Return one more than the largest token id."""
        return 1 + max(self._tokenizer.get_vocab().values())

    def encode(self, instruction: str) -> list[int]:
        """Return the ids of the prompt, BOS first."""
        ids: list[int] = self._tokenizer.encode(prompt_text(instruction)).ids
        return ids
