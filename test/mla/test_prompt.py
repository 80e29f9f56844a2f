import os
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

from tristage_ros.mla.checkpoint import save_checkpoint
from tristage_ros.mla.loading import build_policy
from tristage_ros.mla.model import random_model
from tristage_ros.mla.normalisation import DatasetStatistics
from tristage_ros.mla.prompt import LLAMA_IDS, LLAMA_VARIABLE, MINI_TOKENIZER, PromptTokenizer, prompt_text
from tristage_ros.pruning import PruningConfig

LLAMA_FILE = os.environ.get(LLAMA_VARIABLE)
needs_llama = pytest.mark.skipif(
    not LLAMA_FILE, reason=f"{LLAMA_VARIABLE} names no tokenizer.json or tokenizer.model of Llama 2"
)


def test_prompt():
    expected = "In: What action should the robot take to close box?\nOut:"
    assert prompt_text("  Close Box ") == expected


@pytest.mark.parametrize("instruction", ["", "  \n"])
def test_an_empty_instruction_is_refused(instruction):
    with pytest.raises(ValueError, match="empty"):
        PromptTokenizer.mini().encode(instruction)


def test_known_words_are_one_token_and_others_are_bytes():
    tokenizer = PromptTokenizer.mini()
    known = tokenizer.encode("put the banana on the blue plate")
    assert known[0] == 1 and len(known) == 21
    assert len(tokenizer.encode("put the zßq on the blue plate")) == len(known) + 3  # four bytes for one word
    assert 0 not in tokenizer.encode("put the zßq on the blue plate")


def test_different_instructions_have_different_tokens():
    encode = PromptTokenizer.mini().encode
    assert encode("put the banana on the blue plate") != encode("put the banana on the red plate")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        PromptTokenizer.from_file(tmp_path / "absent.json")


def test_another_file_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": 1}')
    with pytest.raises(ValueError, match="not a tokenizer"):
        PromptTokenizer.from_file(tmp_path / "tokenizer.json")


def test_a_tokenizer_of_another_family_is_refused(tmp_path):
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="not a LLaMA"):
        PromptTokenizer.from_file(tmp_path / "tokenizer.json")


def test_a_sentencepiece_file_is_read_as_well(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    path = tmp_path / "tokenizer.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([prompt_text("close the box")] * 3), model_writer=file, vocab_size=300,
            model_type="bpe", byte_fallback=True, normalization_rule_name="identity", minloglevel=2,
        )  # fmt: skip
    tokenizer, pieces = PromptTokenizer.from_file(path), sentencepiece.SentencePieceProcessor(model_file=str(path))
    ids = tokenizer.encode("close the box")
    assert ids[0] == 1 and pieces.decode(ids) == prompt_text("close the box")
    assert (tokenizer.vocabulary, tokenizer.lone_space) == (300, pieces.piece_to_id("▁"))
    path.write_text("no pieces here")
    with pytest.raises(ValueError, match=r"not a tokenizer\.model"):
        PromptTokenizer.from_file(path)


# Llama 2


@needs_llama
def test_prompt_of_llama_2():
    tokenizer = PromptTokenizer.llama_2(LLAMA_FILE, Path("."))
    assert tokenizer.encode("Close Box") == list(LLAMA_IDS["close box"])
    assert tokenizer.lone_space == 29871


@needs_llama
@pytest.mark.parametrize(
    ("instruction", "length"),
    [
        ("close box", 16),
        ("close fridge", 17),
        ("toilet seat down", 19),
        ("close the laptop lid", 18),
        ("put the phone on the base", 20),
        ("take the umbrella out of the umbrella stand", 26),
    ],
)
def test_length_of_a_prompt_of_llama_2(instruction, length):
    assert len(PromptTokenizer.llama_2(LLAMA_FILE, Path(".")).encode(instruction)) == length


@pytest.fixture
def stand_in(tmp_path, monkeypatch) -> Path:
    """Write a tokenizer that knows one prompt of Llama 2's."""
    monkeypatch.delenv(LLAMA_VARIABLE, raising=False)
    words = ["In", ":", "What", "action", "should", "the", "robot", "take", "to", "close", "box", "?", "\n", "Out"]
    vocabulary = dict(zip(words, LLAMA_IDS["close box"][1:], strict=False)) | {"<s>": 1, "▁": 29871, "<unk>": 0}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w ]"), "removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    path = tmp_path / "stand_in" / "tokenizer.json"
    path.parent.mkdir()
    tokenizer.save(str(path))
    return path


def test_the_file_of_llama_2_is_given_named_or_beside_the_checkpoint(stand_in, tmp_path, monkeypatch):
    checkpoint = tmp_path / "model.safetensors"
    ids = list(LLAMA_IDS["close box"])
    assert PromptTokenizer.llama_2(str(stand_in), checkpoint).encode("close box") == ids
    assert PromptTokenizer.llama_2(None, stand_in.parent).encode("close box") == ids  # a run directory
    assert PromptTokenizer.llama_2(None, stand_in.with_name("model.safetensors")).encode("close box") == ids
    monkeypatch.setenv(LLAMA_VARIABLE, str(stand_in))
    assert PromptTokenizer.llama_2(None, checkpoint).encode("close box") == ids


def test_a_missing_file_of_llama_2_is_asked_for_by_name_and_place(stand_in, tmp_path):
    message = (
        rf"tokenizer\.json or tokenizer\.model from huggingface.*put it in {tmp_path}, or name it in {LLAMA_VARIABLE}"
    )
    with pytest.raises(FileNotFoundError, match=message):
        PromptTokenizer.llama_2(None, tmp_path / "model.safetensors")


def test_another_tokenizer_than_llama_2s_is_refused(stand_in, tmp_path):
    with pytest.raises(ValueError, match=r"mini_tokenizer\.json is not the tokenizer of Llama 2"):
        PromptTokenizer.llama_2(str(MINI_TOKENIZER), tmp_path)


def test_a_model_with_llama_2s_vocabulary_asks_for_its_file(stand_in, tmp_path, tiny_config):
    path = tmp_path / "large.safetensors"
    save_checkpoint(path, random_model(tiny_config(vocabulary=32064), 0), DatasetStatistics.tabletop(), {})
    with pytest.raises(FileNotFoundError, match="Llama 2"):
        build_policy(str(path), PruningConfig())
    build_policy(str(path), PruningConfig(), tokenizer=str(stand_in)).reset("close box")
