"""All settings of a reproduction, what one section asks of another, and the settings of one training run."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from helpers.settings.analysis import ClusteringSettings, NeighbourSettings, TsneSettings
from helpers.settings.data import DataSettings, check_data
from helpers.settings.probe import ProbeSettings
from helpers.settings.section import SEEDS, Ints, Section
from helpers.settings.training import ModelSettings, TrainingSettings


class Settings(Section):
    """All settings of one `make reproduce`: a grid of widths and seeds, and the sections above."""

    profile: Literal["smoke", "laptop", "paper"] = "laptop"
    reading: Literal["gpt2", "torch", "fitted"] = "gpt2"  # of what the paper leaves open: profiles.READINGS
    widths: Ints = (768,)  # hidden dimensions trained; Table 6 has 32, 768 and 2,048
    seeds: Ints = (0,)
    epochs_by_width: dict[int, Annotated[int, Field(ge=1)]] = Field({32: 500})  # Figure 5: 500 epochs for width 32
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    clustering: ClusteringSettings = ClusteringSettings()
    tsne: TsneSettings = TsneSettings()
    neighbours: NeighbourSettings = NeighbourSettings()
    probe: ProbeSettings = ProbeSettings()

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        check_data(self.data)
        self._check_grid()
        self._check_lengths()
        return self

    def _check_grid(self) -> None:
        """Widths, seeds, and the schedule of each width."""
        for name, values in (("widths", self.widths), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values) or min(values) < 0 or max(values) >= SEEDS:
                raise ValueError(
                    f"{name}={list(values)} must be one or more different numbers, none below 0 and none from 2**63 on"
                )
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


class RunSettings(Section):
    """What fixes one training run: its data, its model and its training, all seeds written out."""

    seed: int
    data: DataSettings
    model: ModelSettings
    training: TrainingSettings
