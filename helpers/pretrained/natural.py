"""The 16 natural tasks of section 3.4: word pairs and instructions from files, checked, and instances drawn from them.

Any folder of the shape that SHAPE describes will do. Nothing in it is left out without a word: a file in the wrong
place, an entry twice or a character that cannot be written is named, and refused. As in the paper, the tasks of a
category share one task identity, and the instructions of a task are one distribution.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import store
from helpers.errors import Refused

FOLDER = store.NATURAL
INSTRUCTIONS = ".instructions.txt"  # ending of a task's instructions
SHAPE = """\
FOLDER/<category>/<task>.json             word pairs: {"cat": "chat", "dog": "chien"},
                                          or [{"input": "cat", "output": "chat"}, ...]
FOLDER/<category>/<task>.instructions.txt instructions, one a line: Translate into French.
For example words/translation/english_to_french.json beside
words/translation/english_to_french.instructions.txt. The tasks of a category share one task identity."""


class NaturalDataError(Refused):
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
        folder: holds one folder a category; files and folders whose names begin with a point are not looked at.
        instructions: another folder of the same shape to take instructions from, for word pairs that come without.
        drop_multiword: leave out pairs with more than one word, as the paper does, and say how many; otherwise
            they are refused.

    Raises:
        NaturalDataError: no task, a folder or link that cannot be read, a file elsewhere than in a category's folder,
            one that is not JSON or holds no pairs of words, a duplicate input, a pair of several words, a task without
            instructions or with one twice.
    """
    folder = Path(folder).expanduser()
    below = sorted(_below(folder))
    found = [p for p in below if p.suffix.lower() == ".json"]
    files = [p for p in found if len(p.relative_to(folder).parts) == 2]
    if elsewhere := [p for p in found if p not in files]:
        raise NaturalDataError(
            f"{elsewhere[0]} does not lie in a category's folder directly under {folder}: move it to "
            f"{folder}/<category>/, or name the folder above its category"
        )
    if not files:
        raise NaturalDataError(f"{folder} holds no <category>/<task>.json; see data/README.md for the shape")
    names = [(p.parent.name, p.stem) for p in files]
    texts = [p for p in below if p.name.endswith(INSTRUCTIONS)] if instructions is None else []
    if alone := [p for p in texts if (p.parent.name, p.name.removesuffix(INSTRUCTIONS)) not in names]:
        raise NaturalDataError(f"{alone[0]} has no pairs of words beside it: add the .json file, or remove it")
    if twice := next((p for p, name in zip(files, names, strict=True) if names.count(name) > 1), None):
        raise NaturalDataError(f"{twice} is there twice, with its ending in small and in capital letters; remove one")
    return [_read_task(file, Path(instructions or folder).expanduser(), drop_multiword) for file in files]


def _below(folder: Path) -> list[Path]:
    """Files below a folder, behind links too, but for hidden ones; what cannot be looked at is refused."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):  # of which `load` says that it holds nothing
            raise NaturalDataError(f"{error.filename} cannot be read ({error.strerror}): allow it, or remove it")

    walked = os.walk(folder, followlinks=True, onerror=refuse)
    files = [Path(place) / name for place, _, names in walked for name in names]
    files = [path for path in files if not _hidden(path, folder)]
    if lost := next((path for path in files if path.suffix.lower() == ".json" and not path.exists()), None):
        raise NaturalDataError(f"{lost} is a link to what is not there: restore it, or remove it")
    return files


def _hidden(path: Path, folder: Path) -> bool:
    """Whether a file below a folder is one that editors and systems leave: ._t.json, or in .ipynb_checkpoints."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def draw(tasks: list[NaturalTask], pairs: int = 10, instructions: int = 55, seed: int = 0) -> pd.DataFrame:
    """Every drawn instruction of a task with every drawn pair: 16 x 55 x 10 = 8,800 instances (Table 2).

    Args:
        pairs, instructions: how many of each a task gives, at random and fixed by the seed; see `draw_pairs`.

    Returns:
        One row an instance: instance, instruction_id, instruction, input, output, category, task, mapping. Tasks of
        one name in two categories are told apart as category/name.

    Raises:
        NaturalDataError: a task has fewer pairs or instructions than asked for.
    """
    _check_counts(tasks, pairs, instructions)
    rng = np.random.default_rng(seed)
    chosen = draw_pairs(tasks, pairs, rng)
    names = [task.name for task in tasks]
    rows = []
    instruction_id = mapping = 0
    for task, inputs in zip(tasks, chosen, strict=True):
        label = task.name if names.count(task.name) == 1 else f"{task.category}/{task.name}"
        texts = [task.instructions[i] for i in np.sort(rng.choice(len(task.instructions), instructions, replace=False))]
        for text in texts:
            rows += [
                (len(rows) + k, instruction_id, text, x, task.pairs[x], task.category, label, mapping + k)
                for k, x in enumerate(inputs)
            ]
            instruction_id += 1
        mapping += pairs
    columns = ["instance", "instruction_id", "instruction", "input", "output", "category", "task", "mapping"]
    return pd.DataFrame(rows, columns=columns)


def draw_pairs(tasks: list[NaturalTask], pairs: int, rng: np.random.Generator) -> list[list[str]]:
    """The inputs that each task gives, drawn so that as many as can be have twins.

    A twin is the same input with another answer under a task of the same category: the input alone cannot tell such
    an instance. Inputs are ranked at random, once for all tasks. The task with most places left draws the first of its
    inputs that has a twin, which is drawn with it; where no task can, the places left go by rank.

    Returns:
        For each task its inputs, by rank.
    """
    words = sorted({x for task in tasks for x in task.pairs})
    rank = dict(zip(words, rng.permutation(len(words)), strict=True))
    drawn: list[set[str]] = [set() for _ in tasks]

    def most_places(some) -> list[int]:
        """Those of some tasks that have a place left, the one with most first, then by name."""
        return sorted((n for n in some if len(drawn[n]) < pairs), key=lambda n: (len(drawn[n]), tasks[n].name))

    def with_twin(n: int) -> list[tuple[int, str]] | None:
        """What task n draws next: an input, and its twin unless that is drawn already."""
        for x in sorted(tasks[n].pairs.keys() - drawn[n], key=rank.get):
            twins = [m for m, other in enumerate(tasks) if _are_twins(tasks[n], other, x)]
            if any(x in drawn[m] for m in twins):
                return [(n, x)]
            if free := most_places(twins):
                return [(n, x), (free[0], x)]
        return None

    while found := next(filter(None, map(with_twin, most_places(range(len(tasks))))), None):
        for n, x in found:
            drawn[n].add(x)
    for task, taken in zip(tasks, drawn, strict=True):
        rest = sorted(task.pairs.keys() - taken, key=rank.get)
        taken.update(rest[: pairs - len(taken)])
    return [sorted(taken, key=rank.get) for taken in drawn]


def _are_twins(one: NaturalTask, other: NaturalTask, x: str) -> bool:
    same = one.category == other.category and one.name != other.name
    return same and x in other.pairs and other.pairs[x] != one.pairs[x]


def _check_counts(tasks: list[NaturalTask], pairs: int, instructions: int) -> None:
    for what, want in (("pairs", pairs), ("instructions", instructions)):
        if want < 1:
            raise NaturalDataError(f"{what}={want}: a task must give at least one")
        for task in tasks:
            have = len(getattr(task, what))
            if have < want:
                raise NaturalDataError(
                    f"{task.category}/{task.name} has {have} {what}, fewer than the {want} asked for: add some, or ask "
                    f"for {have} ({what}={have})"
                )


def twin_share(instances: pd.DataFrame) -> float:
    """Share of instances whose input also occurs under another task: the input alone cannot tell theirs."""
    return float(with_twins(instances).mean())


def with_twins(instances: pd.DataFrame) -> np.ndarray:
    """(K,) whether an instance's input also occurs under another task."""
    tasks = instances.groupby("input")["task"].nunique()
    return (instances["input"].map(tasks) > 1).to_numpy()


def twins_by_task(instances: pd.DataFrame) -> pd.DataFrame:
    """How many instances of each task have twins: the same input under another task.

    Only a twin whose answer differs shows that a state knows the task and not the input alone (section 2.3: the
    mapping of an input depends on the task).

    Returns:
        category, task, twins (share of instances with a twin), other_answer (with one whose answer differs).
    """
    pairs = instances[["category", "task", "input", "output"]].drop_duplicates()
    both = pairs.merge(pairs[["task", "input", "output"]], on="input", suffixes=("", "_other"))
    both = both[both["task"] != both["task_other"]]
    differing = both[both["output"] != both["output_other"]]
    keys = pd.MultiIndex.from_frame(instances[["task", "input"]])
    shares = instances.assign(
        twins=keys.isin(pd.MultiIndex.from_frame(both[["task", "input"]])),
        other_answer=keys.isin(pd.MultiIndex.from_frame(differing[["task", "input"]])),
    )
    return shares.groupby(["category", "task"], as_index=False)[["twins", "other_answer"]].mean()


def _read_task(file: Path, instructions: Path, drop_multiword: bool) -> NaturalTask:
    category, name = file.parent.name, file.stem
    pairs = _read_pairs(file, drop_multiword)
    path = instructions / category / f"{name}{INSTRUCTIONS}"
    if not path.exists():
        raise NaturalDataError(
            f"{path} is missing: {category}/{name} needs instructions, one a line (--instructions takes them from "
            "another folder)"
        )
    # Line breaks alone end an instruction; other characters that str.splitlines knows may stand inside one.
    lines = [line.strip() for line in _text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line]
    if not lines:
        raise NaturalDataError(f"{path} is empty: write one instruction a line")
    if twice := next((line for i, line in enumerate(lines) if line in lines[:i]), None):
        raise NaturalDataError(f"{path} has an instruction twice: {twice!r}; remove one")
    return NaturalTask(category, name, pairs, tuple(lines))


def _text(file: Path) -> str:
    """The text of a UTF-8 file, without the byte-order mark that some editors put in front."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise NaturalDataError(f"{file} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise NaturalDataError(f"{file} cannot be read: {error.strerror}") from None
    if "\0" in text:
        raise NaturalDataError(f"{file} holds bytes that are no text (UTF-16, or no text file); save it as UTF-8")
    return text


def _read_pairs(file: Path, drop_multiword: bool) -> dict[str, str]:
    """Pairs of one file, as an object or as a list of objects; several-word ones left out on request."""
    found = _pairs_of(file, _json(file))
    pairs: dict[str, str] = {}
    for x, y in found:
        for word, what in ((x, "input"), (y, f"output of {x!r}")):
            if not isinstance(word, str):
                raise NaturalDataError(f"{file}: the {what} is {word!r}, not a string; correct it")
            if not _can_be_written(word):
                raise NaturalDataError(f"{file}: the {what} holds half a character ({word!a}); correct it")
        if x in pairs:
            raise NaturalDataError(f"{file} has the input {x!r} twice; remove one")
        pairs[x] = y
    several = {x: y for x, y in pairs.items() if not (_is_word(x) and _is_word(y))}
    if several and not drop_multiword:
        x, y = next(iter(several.items()))
        raise NaturalDataError(
            f"{file}: {x!r} -> {y!r} is not one word to one word ({len(several)} such pairs): correct them, or have "
            "them left out with drop_multiword (--drop-multiword)"
        )
    if several:
        print(f"{file}: left out {len(several)} of {len(pairs)} pairs that are not one word to one word")
    kept = {x: y for x, y in pairs.items() if x not in several}
    if not kept:
        raise NaturalDataError(f"{file} holds no usable pair; add some")
    return kept


def _json(file: Path) -> object:
    """What a JSON file holds; an object is a _Pairs, which keeps a key that is given twice."""
    try:
        return json.loads(_text(file), object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise NaturalDataError(f"{file} is not JSON (line {error.lineno}: {error.msg}); correct it") from None
    except ValueError as error:  # a number of thousands of digits
        raise NaturalDataError(f"{file} cannot be read ({error}); correct it") from None
    except RecursionError:
        raise NaturalDataError(f"{file} is nested too deeply to be pairs of words; correct it") from None


class _Pairs(list):
    """The keys and values of a JSON object, in order."""


def _pairs_of(file: Path, content: object) -> list[tuple[object, object]]:
    if isinstance(content, _Pairs):
        return list(content)
    if not isinstance(content, list) or not content:
        raise NaturalDataError(
            f"{file} must be one JSON object from input word to output word, or a list of "
            '{"input": ..., "output": ...}'
        )
    pairs = []
    for number, entry in enumerate(content, 1):
        values = dict(entry) if isinstance(entry, _Pairs) else {}
        if isinstance(entry, _Pairs) and len(values) < len(entry):
            raise NaturalDataError(f"{file}: its entry {number} gives a name twice; keep one")
        if not {"input", "output"} <= set(values):
            raise NaturalDataError(
                f"{file} must be one JSON object from input word to output word, or a list of "
                f'{{"input": ..., "output": ...}}; its entry {number} is neither: correct it'
            )
        pairs.append((values["input"], values["output"]))
    return pairs


def _can_be_written(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell and UTF-8 cannot
        return False
    return True


def _is_word(text: str) -> bool:
    """One word without spaces, of which something can be seen; joiners and marks of direction may stand inside."""
    return text == text.strip() and len(text.split()) == 1 and any(c.isprintable() for c in text)
