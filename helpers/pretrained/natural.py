"""The 16 natural tasks of section 3.4: word pairs and instructions from files, checked, and instances drawn from them.

A folder holds `<category>/<task>.json`, an object from input word to output word, and beside it
`<task>.instructions.txt`, one instruction a line. Any folder of that shape will do. As in the paper, the
tasks of a category share one task identity, and the instructions of a task are one distribution.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import store

FOLDER = store.NATURAL


class NaturalDataError(store.ArtefactError):
    """A file of pairs or instructions that cannot be used; the message names file, entry and remedy."""


@dataclass(frozen=True)
class NaturalTask:
    """One natural task."""

    category: str
    name: str
    pairs: dict[str, str]  # input word -> output word
    instructions: tuple[str, ...]


def load(folder: Path = FOLDER, instructions: Path | None = None, drop_multiword: bool = False) -> list[NaturalTask]:
    """Read every task of a folder, sorted by category and name.

    Args:
        folder: holds one folder a category.
        instructions: another folder of the same shape to take instructions from, for word pairs that come without.
        drop_multiword: leave out pairs with more than one word, as the paper does, and say how many; otherwise
            they are refused.

    Raises:
        NaturalDataError: no task, a file that is not JSON or not an object of words, a duplicate input, a pair of
            several words, a task without instructions or with the same one twice.
    """
    files = sorted(Path(folder).glob("*/*.json"))
    if not files:
        raise NaturalDataError(f"{folder} holds no <category>/<task>.json; see data/README.md for the shape")
    return [_read_task(file, Path(instructions or folder), drop_multiword) for file in files]


def draw(tasks: list[NaturalTask], pairs: int = 10, instructions: int = 55, seed: int = 0) -> pd.DataFrame:
    """Every drawn instruction of a task with every drawn pair: 16 x 55 x 10 = 8,800 instances (Table 2).

    Args:
        pairs, instructions: how many of each a task gives, at random and fixed by the seed. Inputs are ranked
            once for all tasks, and each takes the first of its own: tasks that share inputs draw the same ones.

    Returns:
        One row an instance: instance, instruction_id, instruction, input, output, category, task, mapping. Tasks of
        one name in two categories are told apart as category/name.

    Raises:
        NaturalDataError: a task has fewer pairs or instructions than asked for.
    """
    rng = np.random.default_rng(seed)
    words = sorted({x for task in tasks for x in task.pairs})
    rank = dict(zip(words, rng.permutation(len(words)), strict=True))
    rows = []
    instruction_id = mapping = 0
    names = [task.name for task in tasks]
    for task in tasks:
        label = task.name if names.count(task.name) == 1 else f"{task.category}/{task.name}"
        for have, want, what in (
            (len(task.pairs), pairs, "pairs"),
            (len(task.instructions), instructions, "instructions"),
        ):
            if have < want:
                raise NaturalDataError(
                    f"{task.category}/{task.name} has {have} {what}, fewer than the {want} asked for: add some, or ask "
                    f"for {have} ({what}={have})"
                )
        chosen = sorted(task.pairs, key=rank.get)[:pairs]
        texts = [task.instructions[i] for i in np.sort(rng.choice(len(task.instructions), instructions, replace=False))]
        for text in texts:
            rows += [
                (len(rows) + k, instruction_id, text, x, task.pairs[x], task.category, label, mapping + k)
                for k, x in enumerate(chosen)
            ]
            instruction_id += 1
        mapping += pairs
    columns = ["instance", "instruction_id", "instruction", "input", "output", "category", "task", "mapping"]
    return pd.DataFrame(rows, columns=columns)


def twin_share(instances: pd.DataFrame) -> float:
    """Share of instances whose input also occurs under another task: the input alone cannot tell theirs."""
    return float(with_twins(instances).mean())


def with_twins(instances: pd.DataFrame) -> np.ndarray:
    """(K,) whether an instance's input also occurs under another task."""
    tasks = instances.groupby("input")["task"].nunique()
    return (instances["input"].map(tasks) > 1).to_numpy()


def _read_task(file: Path, instructions: Path, drop_multiword: bool) -> NaturalTask:
    category, name = file.parent.name, file.stem
    pairs = _read_pairs(file, drop_multiword)
    text = instructions / category / f"{name}.instructions.txt"
    if not text.exists():
        raise NaturalDataError(f"{text} is missing: {category}/{name} needs instructions, one a line")
    lines = [line.strip() for line in text.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise NaturalDataError(f"{text} is empty: write one instruction a line")
    if twice := next((line for i, line in enumerate(lines) if line in lines[:i]), None):
        raise NaturalDataError(f"{text} has an instruction twice: {twice!r}; remove one")
    return NaturalTask(category, name, pairs, tuple(lines))


def _read_pairs(file: Path, drop_multiword: bool) -> dict[str, str]:
    def unique(found: list[tuple[str, object]]) -> dict:
        seen: dict[str, object] = {}
        for key, value in found:
            if key in seen:
                raise NaturalDataError(f"{file} has the input {key!r} twice; remove one")
            seen[key] = value
        return seen

    try:
        pairs = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except UnicodeDecodeError:
        raise NaturalDataError(f"{file} is not UTF-8 text; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise NaturalDataError(f"{file} is not JSON (line {error.lineno}: {error.msg}); correct it") from None
    if not isinstance(pairs, dict):
        raise NaturalDataError(f"{file} must be one JSON object from input word to output word")
    for x, y in pairs.items():
        if not isinstance(y, str):
            raise NaturalDataError(f"{file}: the output of {x!r} is {y!r}, not a string; correct it")
    several = [(x, y) for x, y in pairs.items() if not (_is_word(x) and _is_word(y))]
    if several and not drop_multiword:
        x, y = several[0]
        raise NaturalDataError(
            f"{file}: {x!r} -> {y!r} is not one word to one word ({len(several)} such pairs): correct them, or have "
            "them left out with drop_multiword (--drop-multiword)"
        )
    if several:
        print(f"{file}: left out {len(several)} of {len(pairs)} pairs that are not one word to one word")
    kept = {x: y for x, y in pairs.items() if (x, y) not in several}
    if not kept:
        raise NaturalDataError(f"{file} holds no usable pair; add some")
    return kept


def _is_word(text: str) -> bool:
    return bool(text) and text == text.strip() and len(text.split()) == 1
