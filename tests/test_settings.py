import shlex

import pytest

from helpers import store
from helpers.profiles import ALIASES, OPEN, PROFILES, READINGS, names, output_name, reading_of, resolve
from helpers.settings import (
    DataSettings,
    ModelSettings,
    SettingsError,
    TrainingSettings,
    TsneSettings,
    digest,
    paper_names,
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
    s = resolve("laptop", "reading=gpt2")
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
        ("seed=-1", ["seeds=[-1]"]),
        ("neighbours.sensitivity=0,5", ["neighbours.sensitivity=[0, 5]", "from 1 on"]),
        ("training.batch_size=81", ["training.batch_size=81", "data.mappings_per_task=5"]),
        ("seeds=1,1", ["seeds=[1, 1]", "different"]),
        ("widths=[]", ["widths=[]"]),
        ("training.stop_epoch=900", ["stop_epoch=900", "200 epochs"]),
        ("tsne.perplexity=400", ["tsne.perplexity=400", "179"]),
        ("probe.template=hello", ["probe.template='hello'", "{instruction}"]),
        ("'seed=1", ["cannot read", "no closing quotation"]),
        ("seed=true", ["seeds: true and false are neither"]),
        ("training.learning_rate=true", ["learning_rate: true and false are neither"]),
        ("probe.models=none", ["probe.models", "at least 1 item"]),
        ("data.metacharacters=group,foo", ["data.metacharacters='foo'", "'group'"]),
        ("data.metacharacters=[]", ["data.metacharacters", "at least 1 item"]),
        ("clustering.spaces=[]", ["clustering.spaces", "at least 1 item"]),
        ("clustering.spaces=raw,raw", ["clustering.spaces", "names one twice"]),
        ("clustering.seed=4294967296", ["clustering.seed=4294967296", "less than 4294967296"]),
        ("seed=18446744073709551616", ["seeds=[18446744073709551616]", "2**63"]),
        ("training.init_seed=18446744073709551616", ["training.init_seed"]),
        ("epochs_by_width={16:0}", ["epochs_by_width", "greater than or equal to 1"]),
        ("reading=[]", ["unknown reading"]),
        ("reading=gpt2,fitted", ["unknown reading"]),
        ("epochs_by_width={[1]:2}", ["epochs_by_width"]),
        ("probe.models=(5)", ["probe.models=(5)", "separated by commas"]),
        ("probe.models=[a", ["probe.models=[a", "separated by commas"]),
    ],
)
def test_bad_settings_are_refused_with_name_and_remedy(overrides, words):
    with pytest.raises(SettingsError) as error:
        resolve("laptop", overrides)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("reading", READINGS)
def test_a_reading_is_a_set_of_choices_that_may_be_changed(reading):
    plain, chosen = resolve("smoke"), resolve("smoke", f"reading={reading}")
    for name, value in READINGS[reading].items():
        other = setting(plain, name)
        assert setting(chosen, name) == value
        assert other != value, "what both choose is no difference"
        assert setting(resolve("smoke", f"{name}={other} reading={reading}"), name) == other
    assert set(READINGS[reading]) <= set(OPEN), "a run's reading is told by these"
    same = {"profile", "reading", "model", "training", "data"}
    assert chosen.model_dump(exclude=same) == plain.model_dump(exclude=same)


def test_profiles_choose_a_reading_and_the_user_another():
    assert (resolve("smoke").reading, resolve("laptop").reading, resolve("paper").reading) == (
        "gpt2",
        "fitted",
        "fitted",
    )
    assert resolve("laptop", "reading=gpt2").data.hard_replacement == "instruction"
    assert output_name("laptop", "reading=torch").startswith("laptop--reading-torch-")


@pytest.mark.parametrize("profile", ["smoke", "laptop"])
@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("reading=gpt2", "gpt2"),
        ("reading=torch width=32 seed=3", "torch"),
        ("reading=fitted", "fitted"),
        ("reading=gpt2 training.loss_on=outputs", "gpt2 training.loss_on=outputs"),
        ("reading=torch training.batch_size=20", "torch training.batch_size=20"),
        ("reading=torch model.activation=gelu", "torch model.activation=gelu"),
    ],
)
def test_a_run_says_which_reading_it_follows(profile, overrides, expected):
    assert reading_of(resolve(profile, overrides).runs()[0]) == expected
    chosen, _, rest = expected.partition(" ")
    again = resolve(profile, f"reading={chosen} {rest}").runs()[0]
    assert reading_of(again) == expected, "what is written there may be given as READING and SET"


def test_unknown_reading_names_the_nearest():
    with pytest.raises(SettingsError, match=r"unknown reading 'toch'; did you mean torch\?"):
        resolve("laptop", "reading=toch")


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
        top = ALIASES.get(name, key)
        value = getattr(getattr(s, section), key) if section and name not in ALIASES else getattr(s, top)
        again = resolve("laptop", shlex.quote(f"{name}={value!r}"))
        if name == "training.number_of_epochs":  # asked for by name, it holds for every width
            again = again.model_copy(update={"epochs_by_width": s.epochs_by_width})
        assert again == s, name


def test_the_papers_run_has_the_digest_that_it_always_had():
    """Names of runs are made from it; a change would leave every trained run behind."""
    found = {}
    for reading in READINGS:
        run = resolve("laptop", f"reading={reading}").run(768, 0)
        found[reading] = digest(run.model_dump(mode="json", exclude={"training": {"stop_epoch", "device"}}))
    assert found == {"gpt2": "8bae059c27", "torch": "1168452e85", "fitted": "f1db79c4a6"}


def test_digest_sees_values_not_order():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_output_name_is_a_safe_folder_and_tells_settings_apart():
    assert output_name("laptop", "") == "laptop"
    name = output_name("laptop", "seed=7")
    assert name.startswith("laptop--seed-7-")
    assert output_name("laptop", "seed=1 data.max_repeats=3") == output_name("laptop", "data.max_repeats=3 seed=1")
    assert output_name("laptop", "training.learning_rate=1e+3") != output_name("laptop", "training.learning_rate=1e-3")
    assert output_name("laptop", "seed=1 seed=2") != output_name("laptop", "seed=2 seed=1")
    long = output_name("laptop", "probe.data=/a/b/" + "c" * 200)
    assert len(long) < 100
    assert "/" not in long


def test_the_papers_own_name_for_the_width_is_a_name_of_the_grid():
    assert resolve("laptop", "model.hidden_dimension=32").widths == (32,)


def test_epochs_asked_for_by_name_hold_for_every_width():
    assert resolve("laptop", "width=32").runs()[0].training.number_of_epochs == 500
    asked = resolve("laptop", "width=32 training.number_of_epochs=60")
    assert asked.runs()[0].training.number_of_epochs == 60


def test_sizes_of_the_evaluation_sets_are_table_2s():
    assert (DataSettings().validation_size, DataSettings().subset_size) == (315, 180)


def test_a_run_writes_its_feedforward_dimension_out():
    assert resolve("laptop").runs()[0].model.feedforward_dimension == 1024


@pytest.mark.parametrize(
    ("overrides", "name", "value"),
    [
        ("probe.revisions=1234567", "revisions", ("1234567",)),
        ("probe.revisions=12e4567,main", "revisions", ("12e4567", "main")),
        ("probe.revisions=none", "revisions", ()),
        ("probe.revisions=step1,step2", "revisions", ("step1", "step2")),
        ("probe.models=1e5", "models", ("1e5",)),
        ("""probe.models='["a,b", "c"]'""", "models", ("a,b", "c")),
        ("probe.data=/a,b/c", "data", "/a,b/c"),
        ("probe.data=123", "data", "123"),
        ("probe.data=none", "data", None),
        (r"probe.template='{instruction}\nFrom {input}, to:'", "template", "{instruction}\nFrom {input}, to:"),
        ("probe.template=chat", "template", "chat"),
        ("probe.solved=full", "solved", "full"),
        ("probe.device=mps", "device", "mps"),
    ],
)
def test_words_stay_words(overrides, name, value):
    assert getattr(resolve("laptop", overrides).probe, name) == value


@pytest.mark.parametrize("template", ["'{instruction} {input} {input}'", "'{input}'", "{instruction}"])
def test_templates_without_their_fields_are_refused(template):
    with pytest.raises(SettingsError, match=r"probe.template=.* must hold \{instruction\}, and \{input\} once"):
        resolve("laptop", f"probe.template={template}")


def test_the_table_of_readings_is_that_of_the_settings():
    """docs/readings.md lists every open setting with its value in each reading."""
    lines = (store.REPOSITORY / "docs/readings.md").read_text().splitlines()
    start = lines.index(f"| setting | {' | '.join(READINGS)} |")
    rows = [line.strip("| ").split(" | ") for line in lines[start + 2 : start + 2 + len(OPEN)]]
    told = {name.strip("`"): values for name, *values in rows}
    assert list(told) == list(OPEN)
    for name, values in told.items():
        for reading, value in zip(READINGS, values, strict=True):
            assert str(setting(resolve("laptop", f"reading={reading}"), name)).lower() == value, f"{name}, {reading}"


def setting(settings, name):
    """The value of a setting by its name, as in model.activation."""
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings
