"""Section 3.1, the data: Table 3, and what a draw can meet."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from helpers.settings.section import SEEDS, Section, as_tuple

Metacharacter = Literal["group", "plus", "star", "class", "optional", "alternation"]
Metacharacters = Annotated[tuple[Metacharacter, ...], BeforeValidator(as_tuple), Field(min_length=1)]


class DataSettings(Section):
    """Table 3, and the four totals that Table 2's sizes imply."""

    seed: int | None = Field(None, ge=0, lt=SEEDS)  # none: the run's seed
    number_of_tasks: int = Field(50, ge=2, title="Number of tasks")
    max_distributions_per_task: int = Field(6, ge=1, title="Maximum number of instruction distributions per task")
    min_distributions_per_task: int = Field(1, ge=1, title="Minimum number of instruction distributions per task")
    instructions_per_distribution: int = Field(10, ge=2, title="Number of instructions per distribution")
    mappings_per_task: int = Field(5, ge=1, title="Number of mappings per task")
    tasks_in_training_subset: int = Field(5, ge=1, title="Number of tasks in training subset")
    # none: "all available", that is every hard instruction of a distribution and its original
    instructions_per_distribution_in_training_subset: int | None = Field(
        None, ge=1, title="Number of instructions per distribution in the training subset"
    )
    tasks_in_validation_set: int = Field(10, ge=1, title="Number of tasks in validation set")
    instructions_per_distribution_in_validation_set: int = Field(
        3, ge=1, title="Number of instructions per distribution in the validation set"
    )
    tasks_in_hard_examples: int = Field(5, ge=1, title="Number of different tasks in hard examples")
    instructions_per_distribution_in_hard_examples: int = Field(
        3, ge=1, title="Number of instructions per distribution in hard examples"
    )
    task_vocabulary_size: int = Field(25, ge=2, title="Size of the task symbol vocabulary")
    instruction_vocabulary_size: int = Field(35, ge=3, title="Size of the instruction symbol vocabulary")
    max_metacharacters: int = Field(3, ge=1, title="Maximum number of metacharacters per regular expression")
    min_metacharacters: int = Field(1, ge=1, title="Minimum number of metacharacters per regular expression")
    max_characters: int = Field(10, ge=1, title="Maximum number of characters per metacharacters")
    min_characters: int = Field(3, ge=1, title="Minimum number of characters per metacharacters")

    # Totals that give Table 2's sizes exactly: (1490 - 63 + 33) x 5 = 7,300; 63 x 5 = 315; (18 + 18) x 5 = 180.
    distributions: int = Field(149, ge=1)
    distributions_in_validation_set: int = Field(21, ge=1)
    distributions_in_hard_examples: int = Field(11, ge=1)
    distributions_in_training_subset: int = Field(6, ge=1)
    # Those under which instructions identify their distribution, so that a task can be recognised (notebook 01).
    metacharacters: Metacharacters = ("group", "plus", "class")
    max_repeats: int = Field(2, ge=1)  # the upper bound of every quantifier; 2 keeps instructions near 14 symbols
    min_instruction_length: int = Field(3, ge=1)  # symbols; one or two could not identify a distribution
    max_instruction_length: int = Field(62, ge=1)  # symbols; with input and output, the model's 64 positions
    # Which symbol of an instruction makes it a hard one: another for each instruction, or one word that signals the new
    # task in all of them, as "secondary" does in the paper's example.
    hard_replacement: Literal["instruction", "task"] = "instruction"
    # Controls. Neither changes which instructions and instances there are.
    shuffled_outputs: bool = False  # every training instance gets a random output: nothing is left to learn
    train_on_hard_examples: bool = True  # if not, hard instances are in the training subset alone

    @property
    def vocabulary_size(self) -> int:
        """Symbols of both kinds: the model has no others."""
        return self.task_vocabulary_size + self.instruction_vocabulary_size

    @property
    def validation_size(self) -> int:
        """Instances held out (Table 2)."""
        per_distribution = self.instructions_per_distribution_in_validation_set
        return self.distributions_in_validation_set * per_distribution * self.mappings_per_task

    @property
    def subset_size(self) -> int:
        """Instances of the training subset (Table 2): hard ones and as many originals."""
        available = self.instructions_per_distribution_in_hard_examples
        per_distribution = min(available, self.instructions_per_distribution_in_training_subset or available)
        return 2 * self.distributions_in_training_subset * per_distribution * self.mappings_per_task


def check_data(data: DataSettings) -> None:
    """Refuse settings that no draw could meet, naming the limit; raises ValueError."""
    _check_ranges(data)
    _check_vocabularies(data)
    _check_tasks(data)
    _check_distributions(data)


def _check_ranges(d: DataSettings) -> None:
    for what in ("distributions_per_task", "metacharacters", "characters", "instruction_length"):
        low, high = (getattr(d, f"{end}_{what}") for end in ("min", "max"))
        if low > high:
            raise ValueError(f"data.min_{what}={low} exceeds data.max_{what}={high}")
    for name in ("validation_set", "hard_examples"):
        value = getattr(d, f"instructions_per_distribution_in_{name}")
        if value >= d.instructions_per_distribution:
            raise ValueError(
                f"data.instructions_per_distribution_in_{name}={value} must be below "
                f"data.instructions_per_distribution={d.instructions_per_distribution}"
            )


def _check_vocabularies(d: DataSettings) -> None:
    if d.max_characters > d.instruction_vocabulary_size:
        raise ValueError(
            f"data.max_characters={d.max_characters} distinct characters cannot come from "
            f"data.instruction_vocabulary_size={d.instruction_vocabulary_size} symbols"
        )
    if d.mappings_per_task > d.task_vocabulary_size:
        raise ValueError(
            f"data.mappings_per_task={d.mappings_per_task} distinct inputs cannot come from "
            f"data.task_vocabulary_size={d.task_vocabulary_size} symbols"
        )
    needed = (d.number_of_tasks + d.tasks_in_hard_examples) * d.mappings_per_task
    available = d.task_vocabulary_size * (d.task_vocabulary_size - 1)
    if needed > available:
        raise ValueError(
            f"data.task_vocabulary_size={d.task_vocabulary_size} gives {available} mappings, but "
            f"{d.number_of_tasks} tasks and {d.tasks_in_hard_examples} hard ones of {d.mappings_per_task} "
            f"need {needed}; raise it to {_vocabulary_for(needed)} or lower data.number_of_tasks"
        )


def _check_tasks(d: DataSettings) -> None:
    if d.tasks_in_validation_set + d.tasks_in_hard_examples > d.number_of_tasks:
        raise ValueError(
            f"data.tasks_in_validation_set={d.tasks_in_validation_set} and data.tasks_in_hard_examples="
            f"{d.tasks_in_hard_examples} exceed data.number_of_tasks={d.number_of_tasks}"
        )
    if d.tasks_in_training_subset > d.tasks_in_hard_examples:
        raise ValueError(
            f"data.tasks_in_training_subset={d.tasks_in_training_subset} exceeds data.tasks_in_hard_examples="
            f"{d.tasks_in_hard_examples}: the subset holds hard examples beside their originals"
        )


def _check_distributions(d: DataSettings) -> None:
    validation, hard = d.distributions_in_validation_set, d.distributions_in_hard_examples
    rest = d.number_of_tasks - d.tasks_in_validation_set - d.tasks_in_hard_examples
    _check_total(d, "distributions_in_validation_set", validation, d.tasks_in_validation_set, 0)
    _check_total(d, "distributions_in_hard_examples", hard, d.tasks_in_hard_examples, 0)
    _check_total(d, "distributions", d.distributions, rest, validation + hard)
    if not d.tasks_in_training_subset <= d.distributions_in_training_subset <= hard:
        raise ValueError(
            f"data.distributions_in_training_subset={d.distributions_in_training_subset} must lie between "
            f"data.tasks_in_training_subset={d.tasks_in_training_subset} and "
            f"data.distributions_in_hard_examples={hard}"
        )


def _check_total(d: DataSettings, name: str, total: int, tasks: int, taken: int) -> None:
    low = taken + tasks * d.min_distributions_per_task
    high = taken + tasks * d.max_distributions_per_task
    if not low <= total <= high:
        raise ValueError(
            f"data.{name}={total} cannot be shared out over {tasks} tasks of "
            f"{d.min_distributions_per_task} to {d.max_distributions_per_task} distributions each"
            f"{f' beside the {taken} of the other groups' if taken else ''}: set it between {low} and {high}"
        )


def _vocabulary_for(mappings: int) -> int:
    size = 2
    while size * (size - 1) < mappings:
        size += 1
    return size
