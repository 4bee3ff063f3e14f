"""The base class of the sections of settings, and a hash of settings."""

import hashlib
import json
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from helpers.errors import Refused


class SettingsError(Refused):
    """A setting that does not exist or cannot hold; the message names it and the remedy."""


def as_tuple(value: object) -> object:
    """A value alone as a tuple of one."""
    return value if isinstance(value, (list, tuple)) else (value,)


SEEDS, SKLEARN_SEEDS = 2**63, 2**32  # below which torch and scikit-learn take seeds
Ints = Annotated[tuple[int, ...], BeforeValidator(as_tuple)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class Section(BaseModel):
    """Settings that belong together: frozen, and none but those that are named."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, values: object) -> object:
        for name, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(name)
            if field and field.annotation is not bool and any(isinstance(one, bool) for one in as_tuple(value)):
                raise ValueError(f"{name}: true and false are neither a number nor a word")
        return values


def paper_names(section: type[BaseModel]) -> dict[str, str]:
    """The settings of a section that Tables 3 to 5 list: our name -> the paper's."""
    return {name: field.title for name, field in section.model_fields.items() if field.title}


def digest(value: object, length: int = 10) -> str:
    """A short hash of anything JSON can hold, or of settings, the same on every machine."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
