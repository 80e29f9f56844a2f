"""The prompt around an instruction, and its tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from tristage_ros.mla.downloads import complaint
from tristage_ros.resources import user_path

MINI_TOKENIZER = Path(__file__).with_name("mini_tokenizer.json")
LONE_SPACE = "▁"  # the token that ends a prompt in training
LLAMA_FILES = ("tokenizer.json", "tokenizer.model")
LLAMA_SOURCE = "huggingface.co/meta-llama/Llama-2-7b-hf"
LLAMA_VARIABLE = "TRISTAGE_LLAMA_TOKENIZER"  # environment variable with the path of one of them
LLAMA_IDS = {"close box": (1, 512, 29901, 1724, 3158, 881, 278, 19964, 2125, 304, 3802, 3800, 29973, 13, 3744, 29901)}


def prompt_text(instruction: str) -> str:
    """Return the question that the model was trained on; an empty instruction is a ValueError."""
    if not instruction.strip():
        raise ValueError("the instruction is empty: say what the robot is to do, such as 'put the banana on the plate'")
    return f"In: What action should the robot take to {instruction.strip().lower()}?\nOut:"


class PromptTokenizer:
    """Turn instructions into token ids."""

    def __init__(self, encode: Callable[[str], list[int]], vocabulary: Mapping[str, int]) -> None:
        """Use a function that gives a text's ids, BOS first, and a vocabulary that has the lone-space token."""
        if LONE_SPACE not in vocabulary:
            raise ValueError(f"the tokenizer has no token {LONE_SPACE!r}: it is not a LLaMA tokenizer")
        self._encode = encode
        self.lone_space = vocabulary[LONE_SPACE]
        self.vocabulary = 1 + max(vocabulary.values())  # one more than the largest token id

    @classmethod
    def mini(cls) -> PromptTokenizer:
        """Return the tokenizer of the mini model: a word is a token, and what is no known word is spelt in bytes."""
        return cls.from_file(MINI_TOKENIZER)

    @classmethod
    def from_file(cls, path: str | Path) -> PromptTokenizer:
        """Read a `tokenizer.json` or a `tokenizer.model`.

        Raises FileNotFoundError and, for any other content, ValueError.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no tokenizer file {path}")
        if words := complaint(path):
            raise ValueError(words)
        return cls(*(_read_model if Path(path).suffix == ".model" else _read_json)(Path(path)))

    @classmethod
    def llama_2(cls, given: str | None, checkpoint: Path) -> PromptTokenizer:
        """Return the tokenizer of Llama 2, whose file the user supplies.

        It is `given`, or what TRISTAGE_LLAMA_TOKENIZER names, or one of `LLAMA_FILES` beside the checkpoint: in its run
        directory. Raises FileNotFoundError where there is none, and ValueError where it is not Llama 2's.
        """
        home = checkpoint if checkpoint.is_dir() else checkpoint.parent
        beside = (str(home / name) for name in LLAMA_FILES if (home / name).is_file())
        path = given or os.environ.get(LLAMA_VARIABLE) or next(beside, None)
        if path is None:
            raise FileNotFoundError(
                f"{checkpoint} needs the tokenizer of Llama 2: download {' or '.join(LLAMA_FILES)} from {LLAMA_SOURCE} "
                f"(Meta's licence has to be accepted there) and put it in {home}, or name it in {LLAMA_VARIABLE}"
            )
        tokenizer = cls.from_file(user_path(path))
        for instruction, ids in LLAMA_IDS.items():
            if tokenizer.encode(instruction) != list(ids):
                raise ValueError(f"{path} is not the tokenizer of Llama 2: take {LLAMA_FILES[0]} from {LLAMA_SOURCE}")
        return tokenizer

    def encode(self, instruction: str) -> list[int]:
        """Return the ids of the prompt, BOS first."""
        return self._encode(prompt_text(instruction))


def _read_json(path: Path) -> tuple[Callable[[str], list[int]], Mapping[str, int]]:
    from tokenizers import Tokenizer  # only where a prompt is to be tokenised

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise ValueError(f"{path} is not a tokenizer.json: {error}") from None
    return lambda text: list(tokenizer.encode(text).ids), tokenizer.get_vocab()


def _read_model(path: Path) -> tuple[Callable[[str], list[int]], Mapping[str, int]]:
    try:
        sentencepiece = import_module("sentencepiece")
    except ImportError:
        raise ValueError(f"to read {path}: pip install sentencepiece, or give tokenizer.json") from None
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{path} is not a tokenizer.model: {error}") from None
    vocabulary = {pieces.id_to_piece(i): i for i in range(pieces.get_piece_size())}
    return lambda text: list(pieces.encode(text, add_bos=True)), vocabulary
