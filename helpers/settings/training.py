"""Section 3.1, the model and its training: Table 4."""

from typing import Literal

from pydantic import Field, model_validator

from helpers.settings.section import SEEDS, Ints, Section


class ModelSettings(Section):
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


class TrainingSettings(Section):
    """Table 4, the training."""

    init_seed: int | None = Field(None, ge=0, lt=SEEDS)  # none: the run's seed
    order_seed: int | None = Field(None, ge=0, lt=SEEDS)  # order of batches and dropout; none: the run's seed
    learning_rate: float = Field(1e-4, gt=0, title="Learning rate")
    number_of_epochs: int = Field(200, ge=1, title="Number of epochs")  # length of the schedule
    # These three, and t-SNE's metric, are in the paper's tables and have one value alone: the code does nothing else.
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
