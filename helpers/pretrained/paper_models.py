"""The pretrained models of the paper, with what its Tables 1 and 6 print of them."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class PaperModel:
    """A model of the paper's Tables 1 and 6."""

    name: str  # as the paper prints it
    hub_id: str
    parameters: str  # Table 6
    hidden_dimension: int  # Table 6
    gigabytes: int  # memory for the weights in 16 bits, and for the work beside them
    task: tuple[float, float, float]  # F1, ARI, AMI of Table 1
    distribution: tuple[float, float, float]
    distribution_mapping: tuple[float, float, float]


PAPER_MODELS = (
    PaperModel("LLaMa-7B", "huggyllama/llama-7b", "7 billion", 4096, 15,
               (0.959, 0.872, 0.869), (0.571, 0.438, 0.673), (0.940, 0.903, 0.974)),
    PaperModel("LLaMa-13B", "huggyllama/llama-13b", "13 billion", 5120, 28,
               (0.953, 0.855, 0.854), (0.546, 0.381, 0.645), (0.936, 0.893, 0.969)),
    PaperModel("GPT-J-6B", "EleutherAI/gpt-j-6b", "6 billion", 4096, 14,
               (0.887, 0.697, 0.665), (0.652, 0.485, 0.653), (0.465, 0.345, 0.602)),
    PaperModel("LLaMa-2-7B-Instruct", "togethercomputer/Llama-2-7B-32K-Instruct", "7 billion", 4096, 15,
               (0.917, 0.756, 0.780), (0.563, 0.339, 0.638), (0.932, 0.890, 0.966)),
    PaperModel("Instruct-GPT-J-6B", "nlpcloud/instruct-gpt-j-fp16", "6 billion", 4096, 14,
               (0.907, 0.749, 0.692), (0.471, 0.290, 0.516), (0.170, 0.084, 0.342)),
)  # fmt: skip


def is_instruction_tuned(name: str) -> bool:
    """Whether a model's name says so: it, instruct, chat, sft, dpo or rlhf is a word of it."""
    return bool({"it", "instruct", "chat", "sft", "dpo", "rlhf"} & set(re.split(r"[^a-z]+", name.lower())))
