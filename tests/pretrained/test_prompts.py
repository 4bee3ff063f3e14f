"""Prompts as they are written and tokenised: the observed token is the input's, whatever the tokenizer and template."""

import numpy as np
import pandas as pd
import pytest
from tiny_models import tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from helpers.pretrained import prompts
from helpers.pretrained.failures import ModelError
from helpers.settings import CHAT, template_text

SPECIAL = "{% for m in messages %}[{{ m.role }}] {{ m.content }} [end]{% endfor %}"
ASK = "{% if add_generation_prompt %}[assistant]{% endif %}"
LISTED = "{% for m in messages %}{% for part in m.content %}{{ part.text | trim }}{% endfor %}{% endfor %}" + ASK


def words(*known: str, **options) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words."""
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["<unk>", *known])}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    for name, value in options.items():
        setattr(made, name, value)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")


def rows(*inputs: str, instruction: str = "Say it.") -> pd.DataFrame:
    return pd.DataFrame({"instruction": instruction, "input": inputs, "output": "x"})


@pytest.mark.parametrize("style", ["bytes", "metaspace"])
@pytest.mark.parametrize(
    "template", ["{instruction}\nInput: {input}\nOutput:", "{instruction} '{input}'", "{input} {instruction}"]
)
def test_the_observed_token_ends_the_input(style, template, instances):
    tokens = tokenizer(style)
    made = prompts.tokenise(tokens, instances, template)
    for text, ids, at, row in zip(made.texts, made.tokens, made.at_input, instances.itertuples(), strict=True):
        assert row.input in text
        assert tokens.decode(ids[at]).strip()[-1] in (row.input[-1], "'")
        assert row.input[-1] in tokens.decode(ids[at])


def test_an_input_without_a_token_is_refused():
    with pytest.raises(ModelError, match=r"no token for the input 'dog' and for 1 more of the 2 inputs"):
        prompts.tokenise(words("Say", "it.", "Input:", "Output:"), rows("dog", "cat"))
    dropping = words("Say", "it.", "Input:", "Output:", "cat", normalizer=normalizers.Replace("dog", ""))
    with pytest.raises(ModelError, match="no token for the input 'dog'"):
        prompts.tokenise(dropping, rows("dog", "cat"))
    assert prompts.tokenise(dropping, rows("cat")).tokens == [[1, 2, 3, 5, 4]]


def test_inputs_that_the_tokenizer_cannot_tell_apart_are_refused():
    tokens = words("Say", "it.", "Input:", "Output:", "ab", normalizer=normalizers.Lowercase())
    with pytest.raises(ModelError, match="'AB' from 'ab'"):
        prompts.tokenise(
            words("say", "it.", "input:", "output:", "ab", normalizer=normalizers.Lowercase()), rows("ab", "AB")
        )
    assert tokens.unk_token_id == 0


def test_special_tokens_at_the_end_are_left_out():
    tokens = words("Say", "it.", "Input:", "Output:", "dog", "[CLS]", "[SEP]")
    tokens.backend_tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 6), ("[SEP]", 7)]
    )
    assert prompts.tokenise(tokens, rows("dog")).tokens == [[6, 1, 2, 3, 5, 4]]


@pytest.mark.parametrize("template", [
    "{{ bos_token }}" + SPECIAL + ASK,
    LISTED,
    "{% for m in messages %}{% if m.content is string %}{{ raise_exception('a list please') }}{% endif %}{% endfor %}"
    + LISTED,
])  # fmt: skip
def test_chat_templates_that_want_text_or_a_list(template, instances):
    tokens = tokenizer("bytes")
    tokens.chat_template = template
    made = prompts.tokenise(tokens, instances, CHAT)
    for text, ids, at, row in zip(made.texts, made.tokens, made.at_input, instances.itertuples(), strict=True):
        assert ids.count(tokens.bos_token_id) == template.count("bos_token")
        assert tokens.decode(ids[: at + 1], skip_special_tokens=True).strip().endswith(row.input)
        assert text.endswith("[assistant]")
        assert not set(prompts.MARKS) & set(text)


@pytest.mark.parametrize(("template", "sentence"), [
    (None, "has no chat template"),
    ({"tool_use": SPECIAL}, "chat templates for tool_use and no default one"),
    ("{{ raise_exception('no users here') }}", "refuses a user's message .*no users here"),
    (SPECIAL + SPECIAL, "shows the message 2 times"),
    ("hello", "does not show the message"),
    ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "changes the input"),
])  # fmt: skip
def test_chat_templates_that_cannot_be_used(template, sentence, instances):
    tokens = tokenizer("bytes")
    tokens.chat_template = template
    with pytest.raises(ModelError, match=sentence) as error:
        prompts.tokenise(tokens, instances, CHAT)
    assert "use a text template" in str(error.value)
    assert "\n" not in str(error.value)


def test_words_that_hold_a_mark_themselves():
    tokens = tokenizer("bytes")
    tokens.chat_template = SPECIAL
    made = prompts.tokenise(tokens, rows("dog", instruction="Say\u2063 it."), CHAT)
    assert "Say\u2063 it." in made.texts[0]


@pytest.mark.parametrize("template", ["{instruction} only", "{input} only", "{instruction} {input} {input}", ""])
def test_templates_without_their_fields(template):
    with pytest.raises(ValueError, match=r"must hold \{instruction\}, and \{input\} once"):
        prompts.tokenise(tokenizer("bytes"), rows("dog"), template)


def test_a_backslash_and_an_n_are_a_line_break():
    assert template_text(r"{instruction}\n{input}") == "{instruction}\n{input}"


def test_rows_are_cut_where_they_are_full():
    tokens = [[1, 2, 3, 10 + i, 4] for i in range(6)]
    made = prompts.Prompts([""] * 6, tokens, np.full(6, 3), True)
    (whole,) = prompts.shared_rows(made, [np.arange(6)])
    assert len(whole.tokens) == 3 + 6 * 2
    cut = prompts.shared_rows(made, [np.arange(6)], most=8)
    assert [r.prompts.tolist() for r in cut] == [[0, 1], [2, 3], [4, 5]]
    assert max(len(r.tokens) for r in cut) <= 8
    for row in cut:
        assert row.tokens[row.at_input].tolist() == [10 + i for i in row.prompts]
        assert row.positions[row.at_answer].tolist() == [4, 4]
    alone = prompts.shared_rows(made, [np.arange(6)], most=2)
    assert [len(r.prompts) for r in alone] == [1] * 6
