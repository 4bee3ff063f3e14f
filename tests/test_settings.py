import shlex

import pytest

from helpers.settings import (
    PROFILES,
    DataSettings,
    ModelSettings,
    SettingsError,
    TrainingSettings,
    TsneSettings,
    digest,
    names,
    output_name,
    paper_names,
    resolve,
)

# Tables 3, 4 and 5 of the paper, copied by hand: setting -> value.
TABLE_3 = {
    "Number of tasks": 50,
    "Maximum number of instruction distributions per task": 6,
    "Minimum number of instruction distributions per task": 1,
    "Number of instructions per distribution": 10,
    "Number of mappings per task": 5,
    "Number of tasks in training subset": 5,
    "Number of instructions per distribution in the training subset": None,  # all available
    "Number of tasks in validation set": 10,
    "Number of instructions per distribution in the validation set": 3,
    "Number of different tasks in hard examples": 5,
    "Number of instructions per distribution in hard examples": 3,
    "Size of the task symbol vocabulary": 25,
    "Size of the instruction symbol vocabulary": 35,
    "Maximum number of metacharacters per regular expression": 3,
    "Minimum number of metacharacters per regular expression": 1,
    "Maximum number of characters per metacharacters": 10,
    "Minimum number of characters per metacharacters": 3,
}
TABLE_4_MODEL = {
    "Number of layers": 6,
    "Number of heads": 8,
    "Hidden dimension": 768,
    "feedforward network dimension": 1024,
    "dropout": 0.2,
}
TABLE_4_TRAINING = {
    "Learning rate": 1e-4,
    "Number of epochs": 200,
    "Optimizer": "AdamW",
    "Max gradient norm": 1.0,
    "validation criterion": "task accuracy",
    "Scheduler": "cosine annealing",
}
TABLE_5 = {
    "Number of Components": 3,
    "Perplexity": 10,
    "Number of iterations": 2000,
    "Metric": "euclidean",
    "Initialization method": "pca",
}


@pytest.mark.parametrize(
    ("section", "table"),
    [
        (DataSettings, TABLE_3),
        (ModelSettings, TABLE_4_MODEL),
        (TrainingSettings, TABLE_4_TRAINING),
        (TsneSettings, TABLE_5),
    ],
)
def test_defaults_are_the_papers(section, table):
    given = {title: getattr(section(), name) for name, title in paper_names(section).items()}
    if section is ModelSettings:
        given["feedforward network dimension"] = section().feedforward
    assert given == table


def test_laptop_keeps_tables_3_to_5_and_the_schedule():
    s = resolve("laptop")
    assert s.data == DataSettings()
    assert s.model == ModelSettings()
    assert s.training.number_of_epochs == 200
    assert s.training.last_epoch < 200
    assert s.tsne.model_dump(exclude={"epochs"}) == TsneSettings().model_dump(exclude={"epochs"})


def test_paper_profile_runs_every_width_to_its_last_epoch():
    s = resolve("paper")
    ends = {(r.model.hidden_dimension, r.training.last_epoch) for r in s.runs()}
    assert ends == {(32, 500), (768, 200), (2048, 200)}
    assert len(s.seeds) > 1


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_resolve_and_log_the_untrained_model(profile):
    for run in resolve(profile).runs():
        assert run.training.is_logged(0)
        assert run.training.is_logged(run.training.last_epoch)


def test_overrides_are_applied_and_typed():
    s = resolve(
        "laptop", "training.learning_rate=3e-4 seed=7 widths=32,768 clustering.spaces=raw training.log_also=1,2"
    )
    assert s.training.learning_rate == 3e-4
    assert s.seeds == (7,)
    assert s.widths == (32, 768)
    assert s.clustering.spaces == ("raw",)
    assert s.training.log_also == (1, 2)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("trainin.learning_rate=1", ["trainin.learning_rate", "training.learning_rate"]),
        ("learning_rate=1", ["did you mean training.learning_rate"]),
        ("sed=7", ["unknown setting 'sed'", "seed"]),
        ("training.learning_rate", ["name=value"]),
        ("training.learning_rate=-1", ["training.learning_rate=-1", "greater than 0"]),
        ("training.learning_rate=fast", ["training.learning_rate='fast'"]),
        ("width=30", ["hidden_dimension=30", "number_of_heads=8"]),
        ("data.task_vocabulary_size=10", ["task_vocabulary_size=10", "90 mappings", "275", "raise it to 18"]),
        ("data.mappings_per_task=30", ["mappings_per_task=30", "task_vocabulary_size=25"]),
        ("data.max_characters=40", ["max_characters=40", "instruction_vocabulary_size=35"]),
        ("data.min_characters=11", ["min_characters=11", "max_characters=10"]),
        ("data.number_of_tasks=12", ["tasks_in_validation_set=10", "number_of_tasks=12"]),
        ("data.distributions=400", ["distributions=400", "between"]),
        ("data.distributions_in_training_subset=12", ["distributions_in_training_subset=12"]),
        ("data.instructions_per_distribution=3", ["must be below data.instructions_per_distribution=3"]),
        ("model.positions=20", ["model.positions=20", "max_instruction_length"]),
        ("neighbours.k=80", ["training.neighbours=50"]),
        ("data.metacharacters=group,foo", ["data.metacharacters='foo'", "'group'"]),
    ],
)
def test_bad_settings_are_refused_with_name_and_remedy(overrides, words):
    with pytest.raises(SettingsError) as error:
        resolve("laptop", overrides)
    for word in words:
        assert word in str(error.value)


def test_unknown_profile_names_the_nearest():
    with pytest.raises(SettingsError, match="laptop"):
        resolve("labtop")


def test_seeds_are_written_out_in_a_run():
    run = resolve("laptop", "data.seed=3").run(768, 5)
    assert (run.data.seed, run.training.init_seed, run.training.order_seed) == (3, 5, 5)


def test_every_name_can_be_overridden_by_its_own_value():
    s = resolve("laptop")
    for name in names():
        section, _, key = name.rpartition(".")
        top = {"seed": "seeds", "width": "widths"}.get(key, key)
        value = getattr(getattr(s, section), key) if section else getattr(s, top)
        assert resolve("laptop", shlex.quote(f"{name}={value!r}")) == s, name


def test_digest_sees_values_not_order():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_output_name_is_a_safe_folder_and_tells_overrides_apart():
    assert output_name("laptop", "") == "laptop"
    assert output_name("laptop", "seed=7") == "laptop--seed-7"
    assert output_name("laptop", "b=1 a=2") == output_name("laptop", "a=2 b=1")
    long = output_name("laptop", " ".join(f"training.learning_rate={i}" for i in range(20)))
    assert len(long) < 100
    assert "/" not in output_name("laptop", "a=/etc/passwd")
