"""What counts as solved, on continuations that are written down here."""

import numpy as np
import pandas as pd
import pytest
from tiny_models import tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from helpers.pretrained import answers, prompts

BYTES, PIECES = tokenizer("bytes"), tokenizer("metaspace")


def digits_apart() -> PreTrainedTokenizerFast:
    """As Gemma's: a space before a digit, or before much Chinese, is a token of its own; what is unknown is bytes."""
    pieces = [
        "<unk>",
        "<bos>",
        "<eos>",
        "▁",
        *[f"<0x{i:02X}>" for i in range(256)],
        *"0123456789:猫",
        "▁dog",
        "dog",
        "s",
    ]
    pieces += [*"abcdefghijklmnopqrtuvwxyzIO\n", "do"]
    merges = [("d", "o"), ("do", "g"), ("▁", "dog")]
    made = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges, unk_token="<unk>", byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>",
    )  # fmt: skip


APART = digits_apart()


def solved(
    tokens, output: str, written: str, mode: str = "first", template: str = "{instruction}\nInput: {input}\nOutput:"
):
    """Whether an answer counts where a model writes `written`; it ends there with <eos>."""
    instances = pd.DataFrame({"instruction": ["do it"], "input": ["dog"], "output": [output]})
    made = prompts.tokenise(tokens, instances, template)
    expected = answers.expect(tokens, made, [output], mode)
    ids = tokens(made.texts[0] + written)["input_ids"]
    before = made.tokens[0]
    script = (
        ids[len(before) :] if ids[: len(before)] == before else tokens(written, add_special_tokens=False)["input_ids"]
    )
    script = [*script, *[tokens.eos_token_id] * 20]

    def ask(chosen, read):
        return np.array([script[len(done)] for done in read])

    (found,) = answers.solve(tokens, expected, np.array([0]), np.array(script[:1]), ask)
    return bool(found)


@pytest.mark.parametrize("tokens", [APART, BYTES, PIECES], ids=["apart", "bytes", "pieces"])
@pytest.mark.parametrize("mode", answers.MODES)
def test_a_right_answer_counts_and_a_wrong_one_does_not(tokens, mode):
    assert solved(tokens, "dog", " dog", mode)
    assert not solved(tokens, "dog", " ", mode)
    assert not solved(tokens, "dog", "", mode)
    assert not solved(tokens, "dog", " g", mode)


@pytest.mark.parametrize(("output", "written", "right"), [
    ("3", " 3", True), ("3", " 5", False), ("3", "3", True), ("3", "\n3", True), ("3", " \n 3", True),
    ("3", " ", False),
    ("猫", " 猫", True), ("猫", " 狗", False), ("狗", " 狗", True), ("狗", " 狙", False), ("狗", "狗", True),
])  # fmt: skip
@pytest.mark.parametrize("tokens", [APART, BYTES], ids=["apart", "bytes"])
def test_a_space_alone_is_no_answer(tokens, output, written, right):
    """Digits and Chinese after a space of their own; characters of three bytes, two of which they share."""
    if not (tokens is BYTES and "\n" in written):  # this one has no merges over line breaks to speak of
        assert solved(tokens, output, written) == right
    assert solved(tokens, output, written, "full") == right


def test_templates_that_end_in_a_space_or_a_quotation_mark():
    for tokens in (APART, BYTES):
        spaced, quoted = "{instruction} {input} Output: ", '{instruction} {input} Output: "'
        assert solved(tokens, "dog", "dog", template=spaced)
        assert solved(tokens, "dog", " dog", template=spaced)
        assert not solved(tokens, "dog", "3", template=spaced)
        assert solved(tokens, "dog", 'dog"', template=quoted)
        assert solved(tokens, "dog", 'dog"', "full", template=quoted)
        assert not solved(tokens, "dog", "3", template=quoted)


def test_the_whole_answer_must_follow_and_end():
    for written, right in {
        " dog": True,
        " dogs": False,
        " dog.": True,
        " dog 3": True,
        " do": False,
        "\ndog": True,
    }.items():
        assert solved(BYTES, "dog", written, "full") == right, written
    assert solved(APART, "35", " 35", "full")
    assert not solved(APART, "3", " 35", "full")
    assert solved(APART, "3", " 35"), "by its first token it is right"
    assert solved(APART, "猫", " 猫狗", "full"), "this script sets no spaces"


def test_an_answer_that_the_tokenizer_cannot_write_is_never_solved():
    instances = pd.DataFrame({"instruction": ["do it"], "input": ["dog"], "output": ["猫"]})
    made = prompts.tokenise(PIECES, instances)
    assert answers.expect(PIECES, made, ["猫"]).untold == 1
    assert not solved(PIECES, "猫", " 猫")


def test_the_first_token_is_that_of_the_tokenizer_not_any_beginning():
    """'d' is how 'dog' begins, and not its first token."""
    assert not solved(APART, "dog", " d\n")
    assert solved(APART, "dog", " dog")
