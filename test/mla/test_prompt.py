import pytest
from tokenizers import Tokenizer, models

from tristage_ros.mla.prompt import PromptTokenizer, prompt_text


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
