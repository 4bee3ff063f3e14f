"""Every setting of a reproduction, once: Tables 3, 4 and 5 of the paper, and what it leaves open.

A setting that the paper names carries the paper's name for it as `title`; the default is the paper's
value. A setting without a title is one that the paper leaves open, and its comment says why the
default is what it is. Settings are frozen: make other ones with `profiles.resolve("laptop", "seed=7")`.
"""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from helpers.errors import Refused


class SettingsError(Refused):
    """A setting that does not exist or cannot hold; the message names it and the remedy."""


def _as_tuple(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else (value,)


Ints = Annotated[tuple[int, ...], BeforeValidator(_as_tuple)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Metacharacter = Literal["group", "plus", "star", "class", "optional", "alternation"]
Metacharacters = Annotated[tuple[Metacharacter, ...], BeforeValidator(_as_tuple)]
Spaces = Annotated[tuple[Literal["raw", "tsne", "centred"], ...], BeforeValidator(_as_tuple)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSettings(_Section):
    """Table 3, and the four totals that Table 2's sizes imply."""

    seed: int | None = Field(None, ge=0)  # none: the run's seed
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


class ModelSettings(_Section):
    """Table 4, the model; Table 6 fixes what it leaves open (parameter counts)."""

    number_of_layers: int = Field(6, ge=1, title="Number of layers")
    number_of_heads: int = Field(8, ge=1, title="Number of heads")
    hidden_dimension: int = Field(768, ge=1, title="Hidden dimension")
    # none: 64, 1,024 and 4,096 at widths 32, 768 and 2,048 (Table 6's counts); twice the width elsewhere
    feedforward_dimension: int | None = Field(None, ge=1, title="feedforward network dimension")
    dropout: float = Field(0.2, ge=0, lt=1, title="dropout")
    # What the paper leaves open; the defaults are GPT-2's. Table 6's counts fit learned positions with tied embeddings
    # (55,296 parameters at width 32) and sinusoidal ones with an output layer and bias of its own (55,164).
    positions: int = Field(64, ge=3)  # most symbols of an instance
    position_embedding: Literal["learned", "sinusoidal"] = "learned"
    tied_embeddings: bool = True  # the output layer is the token embedding
    output_bias: bool = False
    embedding_scale: float = Field(0.02, gt=0)  # standard deviation of initial token embeddings; torch's is 1
    linear_init: Literal["gpt2", "torch"] = "gpt2"  # torch: as nn.TransformerEncoderLayer draws its weights
    normalisation: Literal["pre", "post"] = "pre"  # before each sub-layer, or after it as in nn.TransformerEncoderLayer
    activation: Literal["gelu", "relu"] = "gelu"

    @model_validator(mode="after")
    def _check(self) -> "ModelSettings":
        if self.hidden_dimension % self.number_of_heads:
            raise ValueError(
                f"model.hidden_dimension={self.hidden_dimension} is not a multiple of "
                f"model.number_of_heads={self.number_of_heads}"
            )
        return self

    @property
    def feedforward(self) -> int:
        """Feed-forward dimension of this width."""
        known = {32: 64, 768: 1024, 2048: 4096}
        return self.feedforward_dimension or known.get(self.hidden_dimension, 2 * self.hidden_dimension)


class TrainingSettings(_Section):
    """Table 4, the training."""

    init_seed: int | None = Field(None, ge=0)  # none: the run's seed
    order_seed: int | None = Field(None, ge=0)  # order of batches and dropout; none: the run's seed
    learning_rate: float = Field(1e-4, gt=0, title="Learning rate")
    number_of_epochs: int = Field(200, ge=1, title="Number of epochs")  # length of the schedule
    optimizer: Literal["AdamW"] = Field("AdamW", title="Optimizer")
    max_gradient_norm: float = Field(1.0, gt=0, title="Max gradient norm")
    validation_criterion: Literal["task accuracy"] = Field("task accuracy", title="validation criterion")
    scheduler: Literal["cosine annealing"] = Field("cosine annealing", title="Scheduler")

    stop_epoch: int | None = Field(None, ge=1)  # stop here, on the same schedule; none: at number_of_epochs
    batch_size: int = Field(80, ge=1)  # instances a step; the paper gives none
    # whole instructions, each with all of its inputs in one row; or shuffled instances, as a plain data loader gives
    batches: Literal["instructions", "instances"] = "instructions"
    weight_decay: float = Field(0.01, ge=0)  # AdamW's default in torch
    beta1: float = Field(0.9, ge=0, lt=1)  # likewise
    beta2: float = Field(0.999, ge=0, lt=1)  # likewise
    loss_on: Literal["sequence", "outputs"] = "sequence"  # section 2.1 predicts every next token
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the hardware has it fast
    device: str = "auto"  # a GPU with CUDA if there is one, else the CPU; or cpu, cuda, cuda:1 ..., mps (untested)
    log_every: int = Field(1, ge=1)  # record states at every k-th epoch, beside 0 and log_also
    log_also: Ints = ()  # further epochs to record
    keep_checkpoints: bool = False  # keep every recorded epoch's weights, not the best and the last alone
    neighbours: int = Field(50, ge=1)  # neighbours recorded for each validation instance

    @property
    def last_epoch(self) -> int:
        """The epoch at which training ends."""
        return self.stop_epoch or self.number_of_epochs

    def is_logged(self, epoch: int) -> bool:
        """Whether hidden states are recorded at `epoch` (0 is the untrained model)."""
        return epoch % self.log_every == 0 or epoch in self.log_also


class ClusteringSettings(_Section):
    """Section 3.2: KMeans."""

    spaces: Spaces = ("raw", "tsne", "centred")
    beyond_the_paper: bool = True  # controls, interventions and other ways to cluster as well, in a sweep
    n_init: int = Field(10, ge=1)  # restarts; the best inertia is kept
    max_iterations: int = Field(300, ge=1)  # scikit-learn's default
    seed: int = Field(0, ge=0)


class TsneSettings(_Section):
    """Table 5."""

    number_of_components: int = Field(3, ge=1, le=3, title="Number of Components")
    perplexity: float = Field(10, gt=0, title="Perplexity")
    number_of_iterations: int = Field(2000, ge=250, title="Number of iterations")
    metric: Literal["euclidean"] = Field("euclidean", title="Metric")
    initialization_method: Literal["pca", "random"] = Field("pca", title="Initialization method")
    # t-SNE is fitted at this many of the recorded epochs, spread evenly; none: at all of them
    epochs: int | None = Field(None, ge=1)


class NeighbourSettings(_Section):
    """Section 3.3."""

    k: int = Field(10, ge=1)  # the paper gives none; notebook 04 shows 1 to 50
    sensitivity: Ints = (1, 2, 5, 10, 20, 50)

    @property
    def all_ks(self) -> tuple[int, ...]:
        """Every number of neighbours that is looked at, in order."""
        return tuple(sorted({self.k, *self.sensitivity}))


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


class ProbeSettings(_Section):
    """Section 3.4: pretrained models on natural tasks."""

    models: Names = ("gemma-3-270m",)  # hub ids, folders or GGUF files; the default needs no network
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
    seed: int = Field(0, ge=0)  # of the draw of pairs and instructions


class Settings(_Section):
    """All settings of one `make reproduce`: a grid of widths and seeds, and the sections above."""

    profile: Literal["smoke", "laptop", "paper"] = "laptop"
    reading: Literal["gpt2", "torch"] = "gpt2"  # of what the paper leaves open: profiles.READINGS
    widths: Ints = (768,)  # hidden dimensions trained; Table 6 has 32, 768 and 2,048
    seeds: Ints = (0,)
    epochs_by_width: dict[int, int] = {32: 500}  # Figure 5: width 32 trains for 500 epochs
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    clustering: ClusteringSettings = ClusteringSettings()
    tsne: TsneSettings = TsneSettings()
    neighbours: NeighbourSettings = NeighbourSettings()
    probe: ProbeSettings = ProbeSettings()

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        _check_data(self.data)
        self._check_grid()
        self._check_lengths()
        return self

    def _check_grid(self) -> None:
        """Widths, seeds, and the schedule of each width."""
        for name, values in (("widths", self.widths), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values) or min(values) < 0:
                raise ValueError(f"{name}={list(values)} must be one or more different numbers, none below 0")
        for width in self.widths:
            ModelSettings(**{**self.model.model_dump(), "hidden_dimension": width})
            epochs = self.epochs_by_width.get(width, self.training.number_of_epochs)
            if (self.training.stop_epoch or 0) > epochs:
                raise ValueError(
                    f"training.stop_epoch={self.training.stop_epoch} lies beyond the schedule of width {width}, "
                    f"{epochs} epochs: lower it, or raise training.number_of_epochs"
                )

    def _check_lengths(self) -> None:
        """What one section asks of the numbers of another."""
        if self.training.batches == "instructions" and self.training.batch_size % self.data.mappings_per_task:
            raise ValueError(
                f"training.batch_size={self.training.batch_size} is not a multiple of data.mappings_per_task="
                f"{self.data.mappings_per_task}, as batches of whole instructions need; set training.batches=instances"
            )
        if self.data.max_instruction_length + 2 > self.model.positions:
            raise ValueError(
                f"model.positions={self.model.positions} cannot hold data.max_instruction_length="
                f"{self.data.max_instruction_length} symbols, the input and the output; "
                "raise the first or lower the second"
            )
        if min(self.neighbours.sensitivity, default=1) < 1:
            raise ValueError(f"neighbours.sensitivity={list(self.neighbours.sensitivity)} must be numbers from 1 on")
        if max((self.neighbours.k, *self.neighbours.sensitivity)) > self.training.neighbours:
            raise ValueError(
                f"neighbours.k and neighbours.sensitivity go up to training.neighbours="
                f"{self.training.neighbours}, the number recorded during training; raise that one too"
            )
        smallest = min(self.data.validation_size, self.data.subset_size)
        if "tsne" in self.clustering.spaces and self.tsne.perplexity >= smallest - 1:
            raise ValueError(
                f"tsne.perplexity={self.tsne.perplexity:g} must be below {smallest - 1}, one less than the states of "
                "the smaller evaluation set"
            )

    def run(self, width: int, seed: int) -> "RunSettings":
        """The settings of the one training run of this width and seed."""
        epochs = self.epochs_by_width.get(width, self.training.number_of_epochs)
        training = {
            **self.training.model_dump(),
            "number_of_epochs": epochs,
            "init_seed": seed if self.training.init_seed is None else self.training.init_seed,
            "order_seed": seed if self.training.order_seed is None else self.training.order_seed,
        }
        data = {**self.data.model_dump(), "seed": seed if self.data.seed is None else self.data.seed}
        model = ModelSettings(**{**self.model.model_dump(), "hidden_dimension": width})
        return RunSettings(
            seed=seed,
            data=DataSettings(**data),
            model=model.model_copy(update={"feedforward_dimension": model.feedforward}),
            training=TrainingSettings(**training),
        )

    def runs(self) -> list["RunSettings"]:
        """The settings of every training run of the grid, widths first."""
        return [self.run(width, seed) for width in self.widths for seed in self.seeds]


class RunSettings(_Section):
    """What fixes one training run: its data, its model and its training, all seeds written out."""

    seed: int
    data: DataSettings
    model: ModelSettings
    training: TrainingSettings


def _check_data(data: DataSettings) -> None:
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


def paper_names(section: type[BaseModel]) -> dict[str, str]:
    """The settings of a section that Tables 3 to 5 list: our name -> the paper's."""
    return {name: field.title for name, field in section.model_fields.items() if field.title}


def digest(value: object, length: int = 10) -> str:
    """A short hash of anything JSON can hold, or of settings, the same on every machine."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
