"""Tiny causal language models with random weights, and real tokenizers of their kinds, made for the tests."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from tqdm import tqdm
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTJConfig,
    GPTJForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from helpers.pretrained import natural

TEXTS = [line for task in natural.load() for line in (*task.instructions, *task.pairs)]


def tokenizer(style: str) -> PreTrainedTokenizerFast:
    """A real tokenizer of the model's kind, trained here: byte-level, or metaspace with a beginning-of-sequence."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=False))
    special = ["<unk>", "<bos>", "<eos>", "<pad>"]
    if style == "bytes":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        alphabet = []
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    if style != "bytes":
        made.post_processor = processors.TemplateProcessing("<bos> $A", special_tokens=[("<bos>", 1)])
    side = "left" if style == "metaspace-left" else "right"
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side=side,
    )


def make(kind: str):
    torch.manual_seed(0)
    tokens = tokenizer({"gpt2": "bytes", "gptj": "bytes", "llama": "metaspace", "gemma": "metaspace-left"}[kind])
    size = len(tokens)
    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=32, n_layer=3, n_head=4, n_positions=256)), tokens
    if kind == "gptj":
        config = GPTJConfig(vocab_size=size, n_embd=32, n_layer=3, n_head=4, n_positions=256, rotary_dim=4)
        return GPTJForCausalLM(config), tokens
    common = {
        "vocab_size": size, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    }  # fmt: skip
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**common)), tokens
    types = ["sliding_attention", "full_attention"] * 2
    return Gemma3ForCausalLM(Gemma3TextConfig(**common, sliding_window=6, layer_types=types)), tokens


def quiet(**_):
    """A progress bar that shows nothing."""
    return tqdm(disable=True)


KINDS = ("gpt2", "llama", "gptj", "gemma")
