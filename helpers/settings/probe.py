"""Section 3.4: pretrained models on natural tasks."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from helpers.settings.section import SKLEARN_SEEDS, Names, Section

PROMPT = "{instruction}\nInput: {input}\nOutput:"
CHAT = "chat"  # this template is the tokenizer's own chat template around the default one


def template_text(template: str) -> str:
    """A prompt's template as it is meant: a backslash and an n are a line break, on the command line as in SET.

    Raises:
        ValueError: it is neither "chat" nor a text that holds {instruction}, and {input} once.
    """
    text = template.replace("\\n", "\n")
    if text != CHAT and not ("{instruction}" in text and text.count("{input}") == 1):
        raise ValueError(f"the template {template!r} must hold {{instruction}}, and {{input}} once, or be chat")
    return text


class ProbeSettings(Section):
    """Section 3.4: pretrained models on natural tasks."""

    models: Names = Field(
        ("gemma-3-270m",), min_length=1
    )  # hub ids, folders or GGUF files; the default needs no network
    revisions: Names = ()  # checkpoints of each model; none: its main one
    data: str | None = None  # folder of <category>/<task>.json; none: data/natural
    pairs_per_task: int = Field(10, ge=2)  # the paper's ten
    instructions_per_task: int = Field(55, ge=2)  # Table 2's 8,800 = 16 x 55 x 10; section 3.4 speaks of 50
    template: Annotated[str, AfterValidator(template_text)] = PROMPT  # or "chat"; the paper gives none
    # Whether an answer counts by its first token, or whole; see pretrained.answers
    solved: Literal["first", "full"] = "first"
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    n_init: int = Field(2, ge=1)  # restarts of KMeans at the least; few clusters get more (table1.STARTS)
    resamples: int = Field(40, ge=10)  # halves of the instructions, each clustered anew, for the intervals
    seed: int = Field(0, ge=0, lt=SKLEARN_SEEDS)  # of the draw of pairs and instructions
