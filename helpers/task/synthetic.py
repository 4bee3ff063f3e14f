"""The simplified instruction-following task: tasks, mappings, hard examples and splits (sections 2.2, 3.1).

Everything is drawn in one order from one seed, and every split has its size by construction: groups of
tasks are given their number of distributions before anything is sampled, so that Table 2 holds for any seed.
"""

import contextlib
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import TfidfVectorizer

from helpers import fingerprint, store
from helpers.settings import DataSettings, digest
from helpers.task import grammar


@dataclass(frozen=True)
class Dataset:
    """One synthetic data set.

    Attributes:
        instances: one row an instance [I; x; y]. Columns: instance, instruction_id, instruction, input, output,
            task, distribution, mapping, hard, original (instruction_id it was made from, -1 if none),
            split (train or validation), subset (in the training subset). Mapping counts over all tasks.
        distributions: one row an instruction distribution. Columns: distribution, task, expression, hard,
            original (distribution it was made from, -1 if none). A hard one keeps its original's expression,
            which its instructions no longer match.
        settings: what it was drawn with, the seed included.
        content: hash of the rows, the same for the same rows on any machine.
    """

    instances: pd.DataFrame
    distributions: pd.DataFrame
    settings: DataSettings
    content: str

    @property
    def vocabulary(self) -> str:
        """Symbols in token order: task symbols, then instruction symbols."""
        return grammar.task_vocabulary(self.settings.task_vocabulary_size) + grammar.instruction_vocabulary(
            self.settings.instruction_vocabulary_size
        )

    @property
    def number(self) -> dict[str, int]:
        """The token number of each symbol."""
        return {symbol: n for n, symbol in enumerate(self.vocabulary)}

    def inputs(self, split: str) -> np.ndarray:
        """(K,) token number of the input of each instance of a split."""
        return self.split(split)["input"].map(self.number).to_numpy(dtype=np.int64)

    def split(self, name: str) -> pd.DataFrame:
        """Instances of train, subset or validation, in order, freshly indexed."""
        i = self.instances
        chosen = i["subset"] if name == "subset" else i["split"] == name
        return i[chosen].reset_index(drop=True)


def generate(settings: DataSettings) -> Dataset:
    """Draw a data set (settings.seed must be set).

    Raises:
        grammar.GrammarError: the grammar cannot give enough instructions, or the outputs ran out.
    """
    if settings.seed is None:
        raise ValueError("DataSettings.seed is None: take the settings from Settings.run(width, seed).data")
    draw = _Draw(settings)
    draw.tasks()
    draw.hard_examples()
    draw.validation()
    instances, distributions = draw.frames()
    return Dataset(instances, distributions, settings, _content(instances, distributions))


@dataclass
class _Instruction:
    text: str
    distribution: int
    task: int
    original: int = -1
    split: str = "train"
    subset: bool = False


@dataclass
class _Draw:
    """The state of one draw; methods run in the order in which `generate` calls them."""

    settings: DataSettings
    instructions: list[_Instruction] = field(default_factory=list)
    distributions: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.settings.seed)
        self.symbols = grammar.instruction_vocabulary(self.settings.instruction_vocabulary_size)
        self.taken: set[str] = set()
        self.mappings = _Mappings(self.rng, self.settings)

    def tasks(self) -> None:
        """Task functions, and for each its expressions and instructions."""
        s = self.settings
        # The groups of Table 2 get their totals first; which task belongs to which group is random.
        groups = (
            (s.tasks_in_validation_set, s.distributions_in_validation_set),
            (s.tasks_in_hard_examples, s.distributions_in_hard_examples),
        )
        rest = (s.number_of_tasks - sum(g[0] for g in groups), s.distributions - sum(g[1] for g in groups))
        order = self.rng.sample(range(s.number_of_tasks), s.number_of_tasks)
        low, high = s.min_distributions_per_task, s.max_distributions_per_task
        counts: dict[int, int] = {}
        self.members: list[list[int]] = []
        for tasks, total in (*groups, rest):
            members = order[len(counts) : len(counts) + tasks]
            counts.update(zip(members, _share_out(self.rng, total, tasks, low, high), strict=True))
            self.members.append(sorted(members))
        for task in range(s.number_of_tasks):
            self.mappings.add_task()
            for _ in range(counts[task]):
                expression, texts = grammar.sample_distribution(self.rng, self.symbols, self.taken, s)
                number = self._add_distribution(task, expression, original=-1)
                self.instructions += [_Instruction(text, number, task) for text in texts]

    def hard_examples(self) -> None:
        """New tasks whose instructions are one word away from those of an old one; and the training subset."""
        s = self.settings
        by_distribution = self._by_distribution()
        chosen = [[d["distribution"] for d in self.distributions if d["task"] == t] for t in self.members[1]]
        in_subset = self._choose_subset(chosen)
        per_subset = s.instructions_per_distribution_in_training_subset
        for task, distributions in zip(self.members[1], chosen, strict=True):
            hard_task = self.mappings.add_hard_task(task)
            numbers = [self._add_distribution(hard_task, self._expression(d), d) for d in distributions]
            hard = self._hard(distributions, by_distribution)
            for original, number, pairs in zip(distributions, numbers, hard, strict=True):
                for k, (i, text) in enumerate(pairs):
                    subset = original in in_subset and (per_subset is None or k < per_subset)
                    self.instructions.append(_Instruction(text, number, hard_task, i, subset=subset))
                    self.instructions[i].subset = subset

    def _hard(self, distributions: list[int], by_distribution: dict[int, list[int]]) -> list[list[tuple[int, str]]]:
        """For each distribution, the instructions drawn to be made hard and what becomes of them."""
        count = self.settings.instructions_per_distribution_in_hard_examples
        if self.settings.hard_replacement == "task":
            drawn = [self.rng.sample(by_distribution[d], count) for d in distributions]
            texts = [[self.instructions[i].text for i in part] for part in drawn]
            expressions = [self._expression(d) for d in distributions]
            changed = grammar.replace_word(self.rng, texts, expressions, self.symbols, self.taken)
            return [list(zip(*both, strict=True)) for both in zip(drawn, changed, strict=True)]
        found = []
        for d in distributions:
            pairs = []
            for i in self.rng.sample(by_distribution[d], count):
                text = self.instructions[i].text
                pairs.append((i, grammar.replace_symbol(self.rng, text, self._expression(d), self.symbols, self.taken)))
            found.append(pairs)
        return found

    def _expression(self, distribution: int) -> str:
        return self.distributions[distribution]["expression"]

    def validation(self) -> None:
        """Hold out instructions of the validation tasks; all mappings stay in training."""
        held_out = set(self.members[0])
        for members in self._by_distribution().values():
            if self.instructions[members[0]].task in held_out:
                count = self.settings.instructions_per_distribution_in_validation_set
                for i in self.rng.sample(members, count):
                    self.instructions[i].split = "validation"

    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Instances (each instruction with every mapping of its task) and distributions."""
        rows = []
        for number, i in enumerate(self.instructions):
            hard = i.original >= 0
            for mapping, x, y in self.mappings.of_task[i.task]:
                rows.append(
                    (len(rows), number, i.text, x, y, i.task, i.distribution, mapping, hard, i.original, i.split,
                     i.subset)
                )  # fmt: skip
        columns = (
            "instance instruction_id instruction input output task distribution mapping hard original split subset"
        )
        instances = pd.DataFrame(rows, columns=columns.split())
        if not self.settings.train_on_hard_examples:
            instances.loc[instances["hard"], "split"] = "unused"
        if self.settings.shuffled_outputs:
            held_out = instances["split"] == "validation"
            drawn = np.random.default_rng(self.settings.seed).choice(list(self.mappings.symbols), len(instances))
            instances["output"] = instances["output"].where(held_out, drawn)
        return instances, pd.DataFrame(self.distributions)

    def _choose_subset(self, chosen: list[list[int]]) -> set[int]:
        """Distributions of the training subset: one of each of its tasks, then any others of those tasks."""
        s = self.settings
        tasks = self.rng.sample(chosen, s.tasks_in_training_subset)
        first = [self.rng.choice(distributions) for distributions in tasks]
        others = [d for distributions in tasks for d in distributions if d not in first]
        missing = s.distributions_in_training_subset - len(first)
        if missing > len(others):
            raise grammar.GrammarError(
                f"data.distributions_in_training_subset={s.distributions_in_training_subset} exceeds the "
                f"{len(first) + len(others)} distributions of the {len(first)} tasks drawn for the training subset: "
                "lower it, or set data.tasks_in_training_subset to data.tasks_in_hard_examples"
            )
        return set(first + self.rng.sample(others, missing))

    def _add_distribution(self, task: int, expression: str, original: int) -> int:
        number = len(self.distributions)
        self.distributions.append(
            {"distribution": number, "task": task, "expression": expression, "hard": original >= 0,
             "original": original}
        )  # fmt: skip
        return number

    def _by_distribution(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for number, i in enumerate(self.instructions):
            found.setdefault(i.distribution, []).append(number)
        return found


class _Mappings:
    """Task functions over the task symbols; no two functions share a mapping, none maps a symbol to itself.

    Inputs are dealt like cards, so that before hard tasks each serves as many tasks as any other, give or take
    one, and no input gives its task away. The outputs of an input come from a shuffled deck of its own.
    """

    def __init__(self, rng: random.Random, settings: DataSettings) -> None:
        self.rng, self.settings = rng, settings
        self.symbols = grammar.task_vocabulary(settings.task_vocabulary_size)
        self.outputs = {x: rng.sample([y for y in self.symbols if y != x], len(self.symbols) - 1) for x in self.symbols}
        self.deck: list[str] = []
        self.of_task: list[list[tuple[int, str, str]]] = []  # (mapping, input, output)

    def add_task(self) -> None:
        """A task over the next inputs of the deck."""
        hand: list[str] = []
        held_back: list[str] = []
        while len(hand) < self.settings.mappings_per_task:
            if not self.deck:
                self.deck = self.rng.sample(self.symbols, len(self.symbols))
            card = self.deck.pop()
            (held_back if card in hand else hand).append(card)
        self.deck += held_back
        self._add(sorted(hand))

    def add_hard_task(self, original: int) -> int:
        """A task with the inputs of `original` and other outputs; returns its number."""
        self._add([x for _, x, _ in self.of_task[original]])
        return len(self.of_task) - 1

    def _add(self, inputs: list[str]) -> None:
        first = len(self.of_task) * self.settings.mappings_per_task
        for x in inputs:
            if not self.outputs[x]:
                raise grammar.GrammarError(
                    f"input {x} has no output left that no other task uses: raise "
                    f"data.task_vocabulary_size={self.settings.task_vocabulary_size} or lower data.number_of_tasks"
                )
        self.of_task.append([(first + k, x, self.outputs[x].pop()) for k, x in enumerate(inputs)])


def _share_out(rng: random.Random, total: int, parts: int, low: int, high: int) -> list[int]:
    """`parts` random integers in low..high that sum to `total`: uniform draws, then random single steps."""
    counts = [rng.randint(low, high) for _ in range(parts)]
    step = 1 if total > sum(counts) else -1
    bound = high if step > 0 else low
    movable = [i for i, c in enumerate(counts) if c != bound]
    for _ in range(abs(total - sum(counts))):
        k = rng.randrange(len(movable))
        counts[movable[k]] += step
        if counts[movable[k]] == bound:
            movable[k] = movable[-1]
            movable.pop()
    return counts


def _content(instances: pd.DataFrame, distributions: pd.DataFrame) -> str:
    text = instances.to_csv(index=False) + distributions.to_csv(index=False)
    return digest(text, 16)


def folder(settings: DataSettings) -> Path:
    """Where the data set of these settings lies."""
    code = fingerprint.of_code("task.grammar", "task.synthetic")
    return store.DATA / "datasets" / digest({"code": code, **settings.model_dump(mode="json")})


def save(dataset: Dataset) -> Path:
    """Write instances.parquet, distributions.parquet and manifest.json; the manifest last. Returns the folder.

    A data set that is there already, whole and with the same content, is left as it is.
    """
    where = folder(dataset.settings)
    with contextlib.suppress(store.ArtefactError):
        if load(dataset.settings).content == dataset.content:
            return where
    files = {}
    for name in ("instances", "distributions"):
        table = pa.Table.from_pandas(getattr(dataset, name), preserve_index=False).replace_schema_metadata(None)
        with store.replacing(where / f"{name}.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")
        files[f"{name}.parquet"] = store.sha256(where / f"{name}.parquet")
    manifest = {
        "settings": dataset.settings.model_dump(mode="json"),
        "seed": dataset.settings.seed,
        "content": dataset.content,
        "files": files,
        **store.provenance(),
    }
    store.write_json(where / "manifest.json", manifest)
    return where


def load(settings: DataSettings) -> Dataset:
    """Read the data set of these settings, checked against its manifest.

    Raises:
        store.ArtefactError: it was never made, or a file is missing or changed.
    """
    where = folder(settings)
    remedy = f"delete {where} and run notebook 01 (make reproduce) to make it again"
    manifest = store.read_json(where / "manifest.json", remedy)
    frames = [
        pd.read_parquet(store.check_file(where / name, manifest["files"][name], remedy))
        for name in ("instances.parquet", "distributions.parquet")
    ]
    return Dataset(*frames, settings, manifest["content"])


def sizes(dataset: Dataset) -> pd.DataFrame:
    """Table 2's rows of the simplified setting: split, instances, paper."""
    paper = {"train": 7300, "subset": 180, "validation": 315}
    counts = {name: len(dataset.split(name)) for name in paper}
    return pd.DataFrame([{"split": n, "instances": counts[n], "paper": paper[n]} for n in paper])


def tasks_per_input(dataset: Dataset) -> pd.Series:
    """How many tasks, hard ones included, use each input symbol."""
    return dataset.instances.groupby("input")["task"].nunique()


def hard_pairs(dataset: Dataset) -> pd.DataFrame:
    """Hard instructions beside those they were made from: original, hard, their tasks, symbols that differ."""
    first = dataset.instances.drop_duplicates("instruction_id").set_index("instruction_id")
    hard = first[first["hard"]]
    originals = first.loc[hard["original"]]
    texts = zip(originals["instruction"], hard["instruction"], strict=True)
    differ = [sum(a != b for a, b in zip(*pair, strict=True)) for pair in texts]
    return pd.DataFrame(
        {
            "original": originals["instruction"].to_numpy(),
            "hard": hard["instruction"].to_numpy(),
            "original_task": originals["task"].to_numpy(),
            "hard_task": hard["task"].to_numpy(),
            "symbols_changed": differ,
        }
    )


def ambiguous_share(dataset: Dataset) -> float:
    """Share of validation instructions that the expression of another task also matches."""
    patterns = [(d.task, re.compile(d.expression)) for d in dataset.distributions.itertuples() if not d.hard]
    held_out = dataset.split("validation").drop_duplicates("instruction_id")
    hits = [
        any(task != i.task and pattern.fullmatch(i.instruction) for task, pattern in patterns)
        for i in held_out.itertuples()
    ]
    return float(np.mean(hits))


def surface_accuracy(dataset: Dataset) -> float:
    """Share of validation instructions whose most similar training instruction has the same task.

    Similarity is the cosine of counts of symbols and of pairs of neighbouring symbols: what an
    instruction's appearance gives away, without any model.
    """
    train, held_out = (dataset.split(s).drop_duplicates("instruction_id") for s in ("train", "validation"))
    counter = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), lowercase=False, use_idf=False)
    known = counter.fit_transform(train["instruction"])
    nearest = (counter.transform(held_out["instruction"]) @ known.T).argmax(axis=1)
    return float((train["task"].to_numpy()[np.asarray(nearest).ravel()] == held_out["task"].to_numpy()).mean())
