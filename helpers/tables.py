"""Every table that is written: its columns, their types and bounds, and what they mean.

A table is checked against its declaration when it is written. data/README.md's section on tables is made from here
(`make readme`).
"""

import pandas as pd
from pandera.errors import SchemaErrors
from pandera.pandas import Check, Column, DataFrameSchema

from helpers.errors import Failed

LABELS = ("task", "distribution", "distribution_mapping")  # the identities that clusters are scored against
SCORES = ("f1", "ari", "ami")
SPLITS = ("subset", "validation")  # the sets whose states are recorded

WHOLE = "whole.json"  # beside the tables: how long it took to make them
ROUNDING = 1e-9  # by which a sum of shares may miss its bound


class TableError(Failed):
    """A table that is not as it is declared; the message says which columns, and shows a value."""


def _number(says: str, low: float | None = None, high: float | None = None, empty: bool = False) -> Column:
    """A column of real numbers, with bounds that it may reach, and missing values if they may be `empty`."""
    checks = [Check.ge(low - ROUNDING, error=f"at least {low}")] if low is not None else []
    checks += [Check.le(high + ROUNDING, error=f"at most {high}")] if high is not None else []
    return Column(float, checks, nullable=empty, coerce=True, description=says)


def _share(says: str = "", empty: bool = False) -> Column:
    return _number(says, 0, 1, empty)


def _index(says: str = "", empty: bool = False) -> Column:
    """A column of adjusted indices: 1 for the same clusters, 0 for those of chance, and less is possible."""
    return _number(says, -1, 1, empty)


def _count(says: str = "", empty: bool = False) -> Column:
    return Column(
        "Int64" if empty else int, Check.ge(0, error="at least 0"), nullable=empty, coerce=True, description=says
    )


def _words(says: str = "", among: tuple[str, ...] = (), empty: bool = False) -> Column:
    """A column of text, of the words `among` where they are given."""
    rule = Check.isin(among, error=f"one of {', '.join(among)}") if among else _of_type(str, "text")
    return Column(None, rule, nullable=empty, description=says)


def _flag(says: str) -> Column:
    return Column(None, _of_type(bool, "true or false"), description=says)


def _of_type(kind: type, name: str) -> Check:
    """A rule for each value: what pandas calls a column's type changes with what is missing from it."""
    return Check(lambda value: isinstance(value, kind), element_wise=True, error=name)


def _table(says: str, *parts: dict[str, Column], keys: tuple[str, ...] = (), **columns: Column) -> DataFrameSchema:
    """A table: what it holds, and its columns in their order, those of the parts first.

    No two rows are of one fact: of the same values in the columns that are no real numbers, and in `keys`.
    """
    every = {name: column for part in (*parts, columns) for name, column in part.items()}
    facts = [name for name, column in every.items() if str(column.dtype) != "float64" or name in keys]
    return DataFrameSchema(every, strict=True, ordered=True, unique=facts, description=says)


RUN = {"width": _count(), "seed": _count(), "reading": _words()}
EPOCH = {"epoch": _count()}
LAYER = {"layer": _count()}
SPLIT = {"split": _words(among=SPLITS)}
SPACE = {"space": _words()}
LABEL = {"label": _words(among=LABELS)}
SCORED = {"f1": _share(), "ari": _index(), "ami": _index()}
SCORED_IF_TOLD = {"f1": _share(empty=True), "ari": _index(empty=True), "ami": _index(empty=True)}
VARIANT = {"variant": _words("the settings that were changed; default for none")}
OF_GRID = {
    "grid": _words("file in `data/grids`"),
    "run": _words("hash of the run (two grids may share one)"),
    **VARIANT,
}
MODEL = {"model": _words(), "revision": _words()}
MEASURED = {
    "claim": _words(),
    "space": _words("raw, tsne or centred states; all where the claim is not about one"),
    "at": _words("end (the last recorded epoch) or peak (the epoch where the score is highest)", ("end", "peak")),
    "model": _words("trained, or untrained (the same run before training)", ("trained", "untrained")),
    "value": _number(""),
}
ALTERNATIVES = {
    **SPLIT,
    "space": _words(
        "what was done to the states (`helpers/analysis/spaces.py`); raw and tsne are the paper's, centred is no "
        "longer raw"
    ),
    "method": _words(
        "kmeans, kmeans_best_start (of 20 single starts, the one that the labels like best: flattering), ward, "
        "average_linkage, spectral"
    ),
    "clusters": _count("for each task; 1 is the paper's"),
    "definition": _words(
        "of F1: matched (that of every other table), pairwise, bcubed, best_cluster (labels may share one), "
        "majority (a cluster is what most of it is)"
    ),
    "epoch": _count("the epoch where the score is highest"),
    "layer": _count("the layer where it is highest, embeddings left out"),
    "f1": _share(),
    "chance": _share("what permuted labels give the same clusters at the layer where that is highest"),
}
COURSE = {
    **EPOCH,
    **LAYER,
    **SPLIT,
    **SPACE,
    "f1": _share("by task, of KMeans with as many clusters as tasks"),
    "accuracy": _share("of the model on the split at that epoch"),
    **{
        f"sees_{label}": _index(f"adjusted mutual information of these clusters with {label}s", empty=True)
        for label in ("task", "input", "output")
    },
    **{
        f"share_{part}": _share("of the raw states' variance at that layer, as in variance.csv", empty=True)
        for part in ("task", "input", "output")
    },
}
CLAIMS = {
    "claim": _words("short name; `helpers/verdict/claims.py` has the statement"),
    "reading": _words("of the runs; empty for statements about pretrained models", empty=True),
    "width": _count("hidden dimension; empty for statements about pretrained models", empty=True),
    "about": _words("the pretrained model or kind of model that it is about, if it is", empty=True),
    "where": _words("section, figure or table of the paper"),
    "quantity": _words("what decides it, on which states, and the rule"),
    "paper": _words("its number, or its word where it gives none"),
    "ours": _number("mean over seeds", empty=True),
    "low": _number("lower end of the 95% interval; empty for one seed", empty=True),
    "high": _number("upper end", empty=True),
    "seeds": _count("number of runs"),
    "verdict": _words(
        "holds; holds, but no more than untrained; holds under a condition; does not hold; undecided (measured, and "
        "an interval lies on both sides of the rule's number, or there is one seed); not measured"
    ),
    "condition": _words("the condition, or what is missing", empty=True),
    "untrained": _number("the mean of the same quantity before training, where it is a score", empty=True),
    "gain": _number("mean difference from the same seed's untrained model", empty=True),
    "gain_low": _number("lower end of its 95% interval", empty=True),
    "gain_high": _number("upper end", empty=True),
}

TABLES = {
    "table2": _table(
        "Sizes of the data set (paper: Table 2).",
        split=_words(among=("train", *SPLITS)),
        instances=_count("number of instances here"),
        paper=_count("number in the paper"),
    ),
    "table6": _table(
        "Model sizes (paper: Table 6).",
        width=_count("hidden dimension"),
        parameters=_count("trainable parameters"),
        paper=_words("what the paper prints", empty=True),
    ),
    "grammar": _table(
        "How well instructions identify their task, for different sets of metacharacters (notebook 01).",
        metacharacters=_words("the set"),
        matches_other_task=_share("share of validation instructions that the expression of another task also matches"),
        nearest_has_task=_share(
            "share of validation instructions whose most similar training instruction has the same task"
        ),
        mean_length=_number("symbols an instruction", 0),
    ),
    "training": _table(
        "Learning curves (Figure 2).",
        RUN,
        EPOCH,
        loss=_number(
            "mean cross-entropy over whole sequences in nats a token; at epoch 0 measured without training", 0
        ),
        output_loss=_number("the same over the outputs alone", 0),
        accuracy_subset=_share("share of instances whose output is the most probable of all symbols"),
        accuracy_validation=_share("the same on unseen instances"),
        learning_rate=_number("at the end of the epoch", 0),
        seconds=_number("wall time of the epoch, its recording included", 0),
    ),
    "clustering": _table(
        "Scores of KMeans (Figures 1, 4, 5 and 7).",
        RUN,
        EPOCH,
        LAYER,
        SPLIT,
        label=_words(", ".join(LABELS), LABELS),
        space=_words("raw states, tsne (Table 5), or centred (less the mean training state of the input symbol)"),
        k=_count("number of clusters, that of distinct labels"),
        f1=_share("after matching clusters to labels one-to-one, weighted by label size"),
        ari=_index("adjusted Rand index"),
        ami=_index("adjusted mutual information"),
    ),
    "course": _table(
        "How clusters by task come and go beside accuracy, and what KMeans tells apart.",
        RUN,
        COURSE,
    ),
    "variance": _table(
        "What the states vary with.",
        RUN,
        EPOCH,
        LAYER,
        SPLIT,
        part=_words(
            "input, task and output (main effects; what they share is divided evenly), mapping (what is left to an "
            "input in a task), distribution, instruction, and rest (an input in an instruction)"
        ),
        share=_share("of the states' variance; the parts add up to 1"),
    ),
    "hard": _table(
        "Hard examples and the instructions they were made from, on the training subset.",
        RUN,
        EPOCH,
        LAYER,
        SPACE,
        pairs_separated=_share(
            "share of hard instances in another cluster (k = number of tasks) than their original with the same "
            "input"
        ),
        nearer_own_task=_share(
            "share of hard instances whose mean distance to their own task is below that to their original, input "
            "held fixed; empty where no task has two hard instructions",
            empty=True,
        ),
        accuracy_hard=_share("the model's task accuracy on hard examples"),
        accuracy_original=_share("and on the instructions they were made from"),
    ),
    "neighbours": _table(
        "Nearest training states of validation instances (Figures 3, 6 and 8).",
        RUN,
        EPOCH,
        LAYER,
        k=_count("number of neighbours"),
        same_task=_share("share of them with the instance's task"),
        accuracy=_share("share of instances for which a vote over the neighbours' outputs is right"),
    ),
    "surface": _table(
        "Clusters that need no model: what inputs and instructions give away by their appearance. Width, seed and "
        "reading are those of the run whose data set it is.",
        RUN,
        SPLIT,
        control=_words(
            "input (one cluster an input symbol), bag_of_symbols (KMeans on counts of the instruction's symbols), "
            "bag_and_input (with the input beside them), edit_distance (average linkage on Levenshtein distances "
            "between instructions)"
        ),
        label=_words("as in clustering.csv, as are the scores", LABELS),
        **SCORED,
    ),
    "controls": _table(
        "What task scores of the states must be read against, at the untrained, the best and the last logged epoch.",
        RUN,
        EPOCH,
        LAYER,
        SPLIT,
        control=_words(
            "permuted_f1, permuted_ari (labels shuffled: chance); layer_normed_f1 (each state scaled to mean 0, "
            "variance 1); within_input_f1 (instances of one input clustered by themselves), within_input_chance "
            "(the same with labels permuted: high, for groups are small); linear_probe (accuracy of a logistic "
            "regression on held-out instructions)"
        ),
        value=_number("empty where no input has instances of several tasks in the split", -1, 1, empty=True),
    ),
    "alternatives": _table(
        "Task F1 in ways that are not the paper's, each at its best layer and the best of up to three epochs: the "
        "last, and those at which the paper's own way gives most; `helpers/analysis/alternatives.py` says how each "
        "is done.",
        RUN,
        ALTERNATIVES,
    ),
    "interventions": _table(
        "Answers after a validation state is moved to another task's place (instances that the model solves).",
        RUN,
        layer=_count("at which the state is moved; the layers above run on"),
        direction=_words(
            "task_and_input (to the other task's mean state for this input), task (along the difference of task "
            "means, inputs removed), random (as far as the first, in a random direction)"
        ),
        became_other=_share("share of answers that become the other task's"),
        stayed=_share("share that stay what they were"),
        instances=_count("moved instances, each drawn several times"),
    ),
    "quantities": _table(
        "The quantity of every claim on every run of `make verdict` (`data/grids/seeds.yaml`); "
        "`helpers/verdict/claims.py` says how each is measured.",
        RUN,
        MEASURED,
    ),
    "outputs": _table("The same with the loss on outputs alone (`data/grids/outputs.yaml`).", RUN, MEASURED),
    "multiverse": _table("The same for the variants of `data/grids/multiverse.yaml`.", VARIANT, RUN, MEASURED),
    "parts": _table(
        "The same where data, initialisation or order changes alone (`data/grids/parts.yaml`).", VARIANT, RUN, MEASURED
    ),
    "alternatives_grids": _table("`alternatives.csv` for every run of `make verdict`.", OF_GRID, RUN, ALTERNATIVES),
    "course_grids": _table(
        "`course.csv` for every run of `make verdict`, at each epoch the layer above the embeddings with the "
        "highest F1. A column is empty where a table was made before it was measured.",
        OF_GRID,
        RUN,
        COURSE,
    ),
    "readings": _table(
        "The search of `make readings`: every reading of what the paper leaves open that was tried, the best of "
        "each rung first. `helpers/verdict/fit.py` says how the scores are measured.",
        plan=_words("file in `data/grids`"),
        rung=_count("the round of the search"),
        epochs=_count("how far the readings of this rung were trained"),
        run=_words("hash of the run"),
        reading=_words("what it changes, as `SET` takes it"),
        width=_count(),
        seed=_count(),
        status=_words("done or failed", ("done", "failed")),
        kept=_flag("whether it went on to the next rung"),
        fit=_share("mean of the scores that follow", empty=True),
        learns=_share("unseen instances are solved in the end", empty=True),
        learns_hard=_share("so is the training subset, hard examples included", empty=True),
        late=_share("accuracy is near zero while the loss already falls", empty=True),
        abrupt=_share("then it jumps", empty=True),
        flat=_share("layer 0's F1 by task does not change", empty=True),
        starts_low=_share("untrained, neighbours rarely share the task", empty=True),
        share_rises=_share("their share with the task rises", empty=True),
        knn_rises=_share("and so does KNN accuracy", empty=True),
        stops=_share("the best epoch is about a quarter of the way (complete schedules alone)", empty=True),
        parameters=_share("Table 6's numbers of parameters", empty=True),
        commit=_words("that trained it", empty=True),
    ),
    "claims": _table("The verdict. Intervals are Student's t over seeds.", CLAIMS),
    "thresholds": _table(
        "The verdict on every claim that something is high, for several numbers that 'high' may mean.",
        keys=("number",),
        claim=_words("as in claims.csv"),
        reading=_words("as in claims.csv"),
        width=_count("as in claims.csv"),
        number=_number("what the quantity must be above"),
        verdict=_words("as in claims.csv"),
    ),
    "claims_outputs": _table("The verdict with the loss on outputs alone; columns as in claims.csv.", CLAIMS),
    "table1": _table(
        "Clustering of pretrained models' states at the layer with the best task F1 (paper: Table 1). Scores are "
        "empty where any clustering would be right: one label alone, or one for each instance.",
        model=_words("as named by its user, or by the paper"),
        revision=_words("empty for the paper's rows", empty=True),
        label=_words(
            "task (the three categories, as in the paper), distribution (the 16 tasks) or distribution_mapping "
            "(task with word pair)",
            LABELS,
        ),
        layer=_count("the layer reported; the paper does not say which", empty=True),
        **SCORED_IF_TOLD,
        source=_words("ours or paper", ("ours", "paper")),
    ),
    "table1_intervals": _table(
        "95% intervals of our rows over which instructions were drawn and how KMeans started: random halves of each "
        "task's instructions, each clustered anew from another start; word pairs held fixed. Empty where a label "
        "cannot be told.",
        MODEL,
        LABEL,
        metric=_words("f1, ari or ami", SCORES),
        low=_index("lower end", empty=True),
        high=_index("upper end", empty=True),
    ),
    "table1_restarts": _table(
        "What single starts of KMeans give at the layer of `table1.csv`.",
        MODEL,
        LABEL,
        start=_count("number of the start"),
        inertia=_number(
            "KMeans' own objective, relative to the lowest of the starts; KMeans keeps the start where it is lowest", 1
        ),
        f1=_share(empty=True),
    ),
    "f1_definitions": _table(
        "Which F1 Table 1 prints: what each definition would be beside the ARI and AMI of the paper's rows, by its "
        "relation to them in clusterings of our own (`helpers/pretrained/f1.py`).",
        definition=_words(
            "matched (clusters matched to labels one-to-one), pairwise, bcubed, best_cluster (each label's best), "
            "majority"
        ),
        label=_words(", ".join(LABELS), LABELS),
        model=_words("the paper's row"),
        printed=_share("F1 in the paper"),
        expected=_number("F1 by the relation"),
        error=_number("root mean square of the relation itself, on layers that it was not learned from", 0),
    ),
    "llm_layers": _table(
        "Every score at every layer; layer 0 is the embedding output, or the first block's output of a model that "
        "hands out no embedding (Mamba, RWKV), which the probe says beside its table.",
        MODEL,
        LAYER,
        space=_words(
            "raw (all instances); twins (those whose input also occurs under another task); twins_centred (the same "
            "less the mean state of each input)"
        ),
        label=_words("as in table1.csv", LABELS),
        k=_count("number of clusters, that of distinct labels"),
        **SCORED_IF_TOLD,
    ),
    "llm_neighbours": _table(
        "Neighbours of instances with held-out instructions (a fifth of each task's) among the others.",
        MODEL,
        LAYER,
        k=_count("number of neighbours"),
        same_task=_share("share of neighbours with the instance's task (of 16)"),
        same_category=_share("share of neighbours with its category (of 3)"),
        accuracy=_share("share of instances for which a vote over the neighbours' outputs is right"),
    ),
    "llm_solved": _table(
        "Whether the model itself solves the tasks.",
        MODEL,
        category=_words("of 3"),
        task=_words("of 16"),
        solved=_share(
            "share of instances that the model solves: its greedy continuation, whatever spaces come first, starts "
            "with the answer's first token that holds a visible character (`probe.solved=first`), or is the whole "
            "answer (`full`)"
        ),
    ),
    "latency": _table(
        "How fast the explorer answers, from `make bench`: made-up points, Chromium drawing without a GPU.",
        points=_count("in each plot"),
        plots=_count("side by side"),
        action=_words(
            "the control that is changed; `nothing` is the browser alone: four frames after a control that tells "
            "nobody"
        ),
        milliseconds=_number("from the change to the second frame after the answer has come, median", 0),
        slowest=_number("the slowest one", 0),
    ),
    "gpu_checks": _table(
        "What `make gpu` finds on a card before it trains there (in `data/paper/tables`).",
        check=_words(
            "agreement (with this machine's CPU, both in float32) or resumption (of a run killed by SIGKILL)",
            ("agreement", "resumption"),
        ),
        model=_words("profile and width"),
        quantity=_words("what is compared; `helpers/running/gpu_checks.py` says how each difference is taken"),
        value=_number("the difference"),
        tolerance=_number("what it may be at most"),
        passed=_flag("whether it is no more than that"),
        card=_words("on what"),
        commit=_words("of which commit"),
    ),
    "bench": _table(
        "Speed and memory, from `make bench`. Rows of one kind of processor leave those of another as they are.",
        name=_words("what is measured"),
        ours=_number("our value"),
        baseline=_number("the baseline's value"),
        baseline_name=_words("what ours is compared with"),
        ratio=_number("how many times better ours is", 0, empty=True),
        unit=_words("of both values"),
        cpu=_words("the processor, and the GPU behind it where there is one"),
        instructions=_words("the widest instructions that torch uses on it"),
        commit=_words("that was measured"),
    ),
}  # fmt: skip


def columns(name: str) -> list[str]:
    """The names of a table's columns, in their order."""
    return list(TABLES[name].columns)


def checked(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a table that it is declared to have, in their order.

    Raises:
        TableError: a column is missing, or holds what it cannot hold.
    """
    if lacks := [column for column in columns(name) if column not in table]:
        raise TableError(f"{name}.csv has no column {', '.join(lacks)}")
    table = table[columns(name)].reset_index(drop=True)
    try:
        return TABLES[name].validate(table, lazy=True)
    except SchemaErrors as errors:
        raise TableError(f"{name}.csv: {_what_is_wrong(errors.failure_cases, table)}") from None


IN_WORDS = {
    "coerce_dtype('float64')": "a number",
    "coerce_dtype('int64')": "a whole number",
    "coerce_dtype('Int64')": "a whole number",
    "not_nullable": "allowed to be missing",
}


def _what_is_wrong(cases: pd.DataFrame, table: pd.DataFrame) -> str:
    """Of each column the first value that breaks a rule, and where it is."""
    if (again := cases["check"] == "multiple_fields_uniqueness").any():
        facts = list(dict.fromkeys(cases.loc[again, "column"]))
        row = table[table.duplicated(facts)].iloc[0]
        return f"two rows are of {', '.join(f'{name} {row[name]}' for name in facts)}"
    return "; ".join(
        f"column {case.column} holds {case.failure_case!r} (row {case.index + 1} of {len(table)}), which is not "
        f"{IN_WORDS.get(case.check, case.check)}"
        for case in cases.drop_duplicates("column").itertuples(index=False)
    )


def described() -> str:
    """The tables and their columns as Markdown, for data/README.md."""
    return "\n\n".join(f"### `{name}.csv`\n{_described(schema)}" for name, schema in TABLES.items())


def _described(schema: DataFrameSchema) -> str:
    """What a table holds, then its columns: those that explain themselves share a line."""
    lines, plain = [schema.description], []
    for name, column in schema.columns.items():
        if column.description:
            lines += [_line(plain, "")] * bool(plain) + [_line([name], column.description)]
            plain = []
        else:
            plain.append(name)
    return "\n".join(lines + [_line(plain, "")] * bool(plain))


def _line(names: list[str], says: str) -> str:
    return f"- {', '.join(f'`{name}`' for name in names)}{f': {says}' if says else ''}"
