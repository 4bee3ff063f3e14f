"""Errors that say in one sentence why a model cannot be observed, with the remedy."""

import torch

from helpers.errors import Failed, Refused


class ModelError(Refused):
    """A model that cannot be observed as it stands; one sentence with what is missing and the remedy."""


class ModelFailed(Failed):
    """A model that may be right but could not be fetched or run here; one sentence with the remedy."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; a CPU's allocator says so in words alone."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in str(error) for words in ("allocate memory", "not enough memory", "out of memory")
    )
