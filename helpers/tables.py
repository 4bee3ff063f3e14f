"""Every table that is written: its columns, their types and bounds, and what they mean.

A table is checked against its declaration when it is written. data/README.md's section on tables is made from here
(`make readme`).
"""

import pandas as pd

from helpers.column_types import count, declare, flag, in_markdown, index, number, share, validated, words

LABELS = ("task", "distribution", "distribution_mapping")  # what clusters are scored against
SCORES = ("f1", "ari", "ami")
SPLITS = ("subset", "validation")  # the sets whose states are recorded

WHOLE = "whole.json"  # beside the tables: how long it took to make them

RUN = {"width": count(), "seed": count(), "reading": words()}
EPOCH = {"epoch": count()}
LAYER = {"layer": count()}
SPLIT = {"split": words(among=SPLITS)}
SPACE = {"space": words()}
LABEL = {"label": words(among=LABELS)}
SCORED = {"f1": share(), "ari": index(), "ami": index()}
SCORED_IF_TOLD = {"f1": share(empty=True), "ari": index(empty=True), "ami": index(empty=True)}
VARIANT = {"variant": words("the settings that were changed; default for none")}
OF_GRID = {
    "grid": words("file in `data/grids`"),
    "run": words("hash of the run (two grids may share one)"),
    **VARIANT,
}
MODEL = {"model": words(), "revision": words()}
MEASURED = {
    "claim": words(),
    "space": words("raw, tsne or centred states; all where the claim is not about one"),
    "at": words("end (the last recorded epoch) or peak (the epoch where the score is highest)", ("end", "peak")),
    "model": words("trained, or untrained (the same run before training)", ("trained", "untrained")),
    "value": number(""),
}
ALTERNATIVES = {
    **SPLIT,
    "space": words(
        "what was done to the states before clustering (`helpers/analysis/spaces.py`); raw and tsne are the paper's"
    ),
    "method": words(
        "kmeans, kmeans_best_start (of 20 single starts, the one with the highest F1: biased upwards), ward, "
        "average_linkage, spectral"
    ),
    "clusters": count("for each task; 1 is the paper's"),
    "definition": words(
        "of F1: matched (that of every other table), pairwise, bcubed, best_cluster (labels may share one), "
        "majority (a cluster is what most of it is)"
    ),
    "epoch": count("the epoch where the score is highest"),
    "layer": count("the layer where it is highest, embeddings left out"),
    "f1": share(),
    "chance": share("what permuted labels give the same clusters at the layer where that is highest"),
}
COURSE = {
    **EPOCH,
    **LAYER,
    **SPLIT,
    **SPACE,
    "f1": share("by task, of KMeans with as many clusters as tasks"),
    "accuracy": share("of the model on the split at that epoch"),
    **{
        f"sees_{label}": index(f"adjusted mutual information of these clusters with {label}s", empty=True)
        for label in ("task", "input", "output")
    },
    **{
        f"share_{part}": share("of the raw states' variance at that layer, as in variance.csv", empty=True)
        for part in ("task", "input", "output")
    },
}
CLAIMS = {
    "claim": words("short name; `helpers/verdict/claims.py` has the statement"),
    "reading": words("of the runs; empty for statements about pretrained models", empty=True),
    "width": count("hidden dimension; empty for statements about pretrained models", empty=True),
    "about": words("the pretrained model or kind of model that it is about, if it is", empty=True),
    "where": words("section, figure or table of the paper"),
    "quantity": words("what decides it, on which states, and the rule"),
    "paper": words("its number, or its word where it gives none"),
    "ours": number("mean over seeds", empty=True),
    "low": number("lower end of the 95% interval; empty for one seed", empty=True),
    "high": number("upper end", empty=True),
    "seeds": count("number of runs"),
    "verdict": words(
        "holds; holds, but no more than untrained; holds under a condition; does not hold; undecided (measured, and "
        "an interval lies on both sides of the rule's number, or there is one seed); not measured"
    ),
    "condition": words("the condition, or what is missing", empty=True),
    "otherwise": number("mean where the paper looks, of a statement that holds under a condition alone", empty=True),
    "untrained": number("the mean of the same quantity before training, where it is a score", empty=True),
    "gain": number("mean difference from the same seed's untrained model", empty=True),
    "gain_low": number("lower end of its 95% interval", empty=True),
    "gain_high": number("upper end", empty=True),
}

# Where and with what code something was timed.
TIMED = {
    "cpu": words("the processor, and the GPU behind it where there is one"),
    "instructions": words("the widest instructions that torch uses on it"),
    "commit": words("that was measured"),
}
# How well a run shows what the paper shows of its models apart from its clusters.
FIT = {
    "fit": share("mean of the scores that follow", empty=True),
    "learns": share("unseen instances are solved in the end", empty=True),
    "learns_hard": share("so is the training subset, hard examples included", empty=True),
    "late": share("accuracy is near zero while the loss already falls", empty=True),
    "abrupt": share("then it jumps", empty=True),
    "flat": share("layer 0's F1 by task does not change", empty=True),
    "starts_low": share("untrained, neighbours rarely share the task", empty=True),
    "share_rises": share("their share with the task rises", empty=True),
    "knn_rises": share("and so does KNN accuracy", empty=True),
    "stops": share("the best epoch is about a quarter of the way (complete schedules alone)", empty=True),
    "parameters": share("Table 6's numbers of parameters", empty=True),
}

TABLES = {
    "table2": declare(
        "Sizes of the data set (paper: Table 2).",
        split=words(among=("train", *SPLITS)),
        instances=count("number of instances here"),
        paper=count("number in the paper"),
    ),
    "table6": declare(
        "Model sizes (paper: Table 6).",
        width=count("hidden dimension"),
        parameters=count("trainable parameters"),
        paper=words("what the paper prints", empty=True),
    ),
    "grammar": declare(
        "How well instructions identify their task, for different sets of metacharacters (notebook 01).",
        metacharacters=words("the set"),
        matches_other_task=share("share of validation instructions that the expression of another task also matches"),
        nearest_has_task=share(
            "share of validation instructions whose most similar training instruction has the same task"
        ),
        mean_length=number("symbols an instruction", 0),
    ),
    "training": declare(
        "Learning curves (Figure 2).",
        RUN,
        EPOCH,
        loss=number(
            "mean cross-entropy over whole sequences in nats a token; at epoch 0 measured without training", 0
        ),
        output_loss=number("the same over the outputs alone", 0),
        accuracy_subset=share("share of instances whose output is the most probable of all symbols"),
        accuracy_validation=share("the same on unseen instances"),
        learning_rate=number("at the end of the epoch", 0),
        seconds=number("wall time of the epoch, its recording included", 0),
    ),
    "clustering": declare(
        "Scores of KMeans (Figures 1, 4, 5 and 7).",
        RUN,
        EPOCH,
        LAYER,
        SPLIT,
        label=words(", ".join(LABELS), LABELS),
        space=words("raw states, tsne (Table 5), or centred (less the mean training state of the input symbol)"),
        k=count("number of clusters, that of distinct labels"),
        f1=share("after matching clusters to labels one-to-one, weighted by label size"),
        ari=index("adjusted Rand index"),
        ami=index("adjusted mutual information"),
    ),
    "course": declare(
        "How clusters by task come and go beside accuracy, and what KMeans tells apart.",
        RUN,
        COURSE,
    ),
    "variance": declare(
        "What the states vary with.",
        RUN,
        EPOCH,
        LAYER,
        SPLIT,
        part=words(
            "input, task and output (main effects; what they share is divided evenly), mapping (interaction of task "
            "and input), distribution, instruction, and rest (interaction of instruction and input)"
        ),
        share=share("of the states' variance; the parts add up to 1"),
    ),
    "hard": declare(
        "Hard examples and the instructions they were made from, on the training subset.",
        RUN,
        EPOCH,
        LAYER,
        SPACE,
        pairs_separated=share(
            "share of hard instances in another cluster (k = number of tasks) than their original with the same "
            "input"
        ),
        nearer_own_task=share(
            "share of hard instances whose mean distance to their own task is below that to their original, input "
            "held fixed; empty where no task has two hard instructions",
            empty=True,
        ),
        accuracy_hard=share("the model's task accuracy on hard examples"),
        accuracy_original=share("and on the instructions they were made from"),
    ),
    "neighbours": declare(
        "Nearest training states of validation instances (Figures 3, 6 and 8).",
        RUN,
        EPOCH,
        LAYER,
        k=count("number of neighbours"),
        same_task=share("share of them with the instance's task"),
        accuracy=share("share of instances for which a vote over the neighbours' outputs is right"),
    ),
    "surface": declare(
        "Clusters that need no model: what inputs and instructions give away by their appearance. Width, seed and "
        "reading are those of the run whose data set it is.",
        RUN,
        SPLIT,
        control=words(
            "input (one cluster an input symbol), bag_of_symbols (KMeans on counts of the instruction's symbols), "
            "bag_and_input (with the input beside them), edit_distance (average linkage on Levenshtein distances "
            "between instructions)"
        ),
        label=words("as in clustering.csv, as are the scores", LABELS),
        **SCORED,
    ),
    "controls": declare(
        "What task scores of the states must be read against, at the untrained, the best and the last logged epoch.",
        RUN,
        EPOCH,
        LAYER,
        SPLIT,
        control=words(
            "permuted_f1, permuted_ari (labels shuffled: chance); layer_normed_f1 (each state scaled to mean 0, "
            "variance 1); within_input_f1 (instances of one input clustered by themselves), within_input_chance "
            "(the same with labels permuted: high, for groups are small); linear_probe (accuracy of a logistic "
            "regression on held-out instructions)"
        ),
        value=number("empty where no input has instances of several tasks in the split", -1, 1, empty=True),
    ),
    "alternatives": declare(
        "Task F1 in ways that are not the paper's, each at its best layer and the best of up to three epochs: the "
        "last, and those at which the paper's own way gives most; `helpers/analysis/alternatives.py` says how each "
        "is done.",
        RUN,
        ALTERNATIVES,
    ),
    "interventions": declare(
        "Answers after a validation state is moved to another task's place (instances that the model solves).",
        RUN,
        layer=count("at which the state is moved; the layers above run on"),
        direction=words(
            "task_and_input (to the other task's mean state for this input), task (along the difference of task "
            "means, inputs removed), random (as far as the first, in a random direction)"
        ),
        became_other=share("share of answers that become the other task's"),
        stayed=share("share that stay what they were"),
        instances=count("moved instances, each drawn several times"),
    ),
    "quantities": declare(
        "The quantity of every claim on every run of `make verdict` (`data/grids/seeds.yaml`); "
        "`helpers/verdict/claims.py` says how each is measured.",
        RUN,
        MEASURED,
    ),
    "outputs": declare("The same with the loss on outputs alone (`data/grids/outputs.yaml`).", RUN, MEASURED),
    "multiverse": declare("The same for the variants of `data/grids/multiverse.yaml`.", VARIANT, RUN, MEASURED),
    "parts": declare(
        "The same where data, initialisation or order changes alone (`data/grids/parts.yaml`).", VARIANT, RUN, MEASURED
    ),
    "alternatives_grids": declare("`alternatives.csv` for every run of `make verdict`.", OF_GRID, RUN, ALTERNATIVES),
    "course_grids": declare(
        "`course.csv` for every run of `make verdict`, at each epoch the layer above the embeddings with the "
        "highest F1. A column is empty where it was not measured for that run.",
        OF_GRID,
        RUN,
        COURSE,
    ),
    "readings": declare(
        "The search of `make readings`: every reading of what the paper leaves open that was tried, the best of "
        "each rung first. `helpers/verdict/reading_fit.py` says how the scores are measured.",
        plan=words("file in `data/grids`"),
        rung=count("the round of the search"),
        epochs=count("how far the readings of this rung were trained"),
        run=words("hash of the run"),
        reading=words("a named reading and what is changed in it; `SET=\"reading=...\"` takes it"),
        width=count(),
        seed=count(),
        status=words("done or failed", ("done", "failed")),
        kept=flag("whether it went on to the next rung"),
        **FIT,
        commit=words("that trained it", empty=True),
    ),
    "readings_confirmed": declare(
        "The same scores on the runs of `make verdict` (`data/grids/seeds.yaml`): fresh seeds, complete schedules.",
        run=words("hash of the run"),
        reading=words("a named reading"),
        width=count(),
        seed=count(),
        epochs=count("how far it was trained"),
        **FIT,
        commit=words("that trained it", empty=True),
    ),
    "claims": declare("The verdict. Intervals are Student's t over seeds.", CLAIMS),
    "thresholds": declare(
        "The verdict on every claim that something is high, for several numbers that 'high' may mean.",
        keys=("number",),
        claim=words("as in claims.csv"),
        reading=words("as in claims.csv"),
        width=count("as in claims.csv"),
        number=number("what the quantity must be above"),
        verdict=words("as in claims.csv"),
    ),
    "claims_outputs": declare("The verdict with the loss on outputs alone; columns as in claims.csv.", CLAIMS),
    "table1": declare(
        "Clustering of pretrained models' states at the layer with the best task F1 (paper: Table 1). Scores are "
        "empty where any clustering would be right: one label alone, or one for each instance.",
        model=words("as named by its user, or by the paper"),
        revision=words("empty for the paper's rows", empty=True),
        label=words(
            "task (the three categories, as in the paper), distribution (the 16 tasks) or distribution_mapping "
            "(task with word pair)",
            LABELS,
        ),
        layer=count("the layer reported; the paper does not say which", empty=True),
        **SCORED_IF_TOLD,
        source=words("ours or paper", ("ours", "paper")),
    ),
    "table1_intervals": declare(
        "95% intervals of our rows over which instructions were drawn and how KMeans started: random halves of each "
        "task's instructions, each clustered anew from another start; word pairs held fixed. Widened to hold the value "
        "of table1.csv where that lies outside. Empty where a label cannot be told.",
        MODEL,
        LABEL,
        metric=words("f1, ari or ami", SCORES),
        low=index("lower end", empty=True),
        high=index("upper end", empty=True),
    ),
    "table1_restarts": declare(
        "What single starts of KMeans give at the layer of `table1.csv`.",
        MODEL,
        LABEL,
        start=count("number of the start"),
        inertia=number(
            "KMeans' own objective, relative to the lowest of the starts; KMeans keeps the start where it is lowest", 1
        ),
        f1=share(empty=True),
    ),
    "f1_definitions": declare(
        "Which F1 Table 1 prints: what each definition would be beside the ARI and AMI of the paper's rows, by its "
        "relation to them in clusterings of our own (`helpers/pretrained/which_f1.py`).",
        definition=words(
            "matched (clusters matched to labels one-to-one), pairwise, bcubed, best_cluster (each label's best), "
            "majority"
        ),
        label=words(", ".join(LABELS), LABELS),
        model=words("the paper's row"),
        printed=share("F1 in the paper"),
        expected=number("F1 by the relation"),
        error=number("root mean square of the relation itself, on layers that it was not learned from", 0),
    ),
    "llm_layers": declare(
        "Every score at every layer; layer 0 is the embedding output, or the first block's output of a model that "
        "hands out no embedding (Mamba, RWKV), which the probe says beside its table.",
        MODEL,
        LAYER,
        space=words(
            "raw (all instances); twins (those whose input also occurs under another task); twins_centred (the same "
            "less the mean state of each input)"
        ),
        label=words("as in table1.csv", LABELS),
        k=count("number of clusters, that of distinct labels"),
        **SCORED_IF_TOLD,
    ),
    "llm_neighbours": declare(
        "Neighbours of instances with held-out instructions (a fifth of each task's) among the others.",
        MODEL,
        LAYER,
        k=count("number of neighbours"),
        same_task=share("share of neighbours with the instance's task (of 16)"),
        same_category=share("share of neighbours with its category (of 3)"),
        accuracy=share("share of instances for which a vote over the neighbours' outputs is right"),
    ),
    "llm_solved": declare(
        "Whether the model itself solves the tasks.",
        MODEL,
        category=words("of 3"),
        task=words("of 16"),
        solved=share(
            "share of instances that the model solves: its greedy continuation, whatever spaces come first, starts "
            "with the answer's first token that holds a visible character (`probe.solved=first`), or is the whole "
            "answer (`full`)"
        ),
    ),
    "latency": declare(
        "How fast the explorer answers, from `make bench`: made-up points, Chromium drawing without a GPU.",
        points=count("in each plot"),
        plots=count("side by side"),
        action=words(
            "the control that is changed; `nothing` is the browser alone: four frames after a control that tells "
            "nobody"
        ),
        milliseconds=number("from the change to the second frame after the answer has come, median", 0),
        slowest=number("the slowest one", 0),
        **TIMED,
    ),
    "gpu_checks": declare(
        "What `make gpu` finds on a card before it trains there (in `data/paper/tables`).",
        check=words(
            "agreement (with this machine's CPU, both in float32), graphs (steps as CUDA graphs against the same steps "
            "launched one by one) or resumption (of a run killed by SIGKILL)",
            ("agreement", "graphs", "resumption"),
        ),
        model=words("profile and width"),
        quantity=words("what is compared; `helpers/running/gpu_checks.py` says how each difference is taken"),
        value=number("the difference"),
        tolerance=number("what it may be at most"),
        passed=flag("whether it is no more than that"),
        card=words("on what"),
        commit=words("of which commit"),
    ),
    "gpu_runs": declare(
        "The runs that `make gpu` was asked for (in `data/paper/tables`).",
        run=words("hash of the run"),
        width=count(),
        seed=count(),
        reading=words("a named reading"),
        variant=words("what sets the run apart in the grid"),
        status=words("done, failed, or not run: not trained, or not analysed", ("done", "failed", "not run")),
        epochs=count("how far it was trained", empty=True),
        best_epoch=count("first epoch with the highest validation accuracy", empty=True),
        accuracy_validation=share("at that epoch", empty=True),
        seconds=number("of training, beside other runs on the card", 0, empty=True),
        computed=words("device, precision and why", empty=True),
        commit=words("that trained it", empty=True),
        error=words("of a failed run", empty=True),
    ),
    "bench": declare(
        "Speed and memory, from `make bench`. Rows of one kind of processor leave those of another as they are.",
        name=words("what is measured"),
        ours=number("our value"),
        baseline=number("the baseline's value"),
        baseline_name=words("what ours is compared with"),
        ratio=number("how many times better ours is", 0, empty=True),
        unit=words("of both values"),
        **TIMED,
    ),
}  # fmt: skip


def columns(name: str) -> list[str]:
    """The names of a table's columns, in their order."""
    return list(TABLES[name].columns)


def checked(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a table that it is declared to have, in their order.

    Raises:
        column_types.TableError: a column is missing, or holds what it cannot hold.
    """
    return validated(name, TABLES[name], table)


def described() -> str:
    """The tables and their columns as Markdown, for data/README.md."""
    return "\n\n".join(f"### `{name}.csv`\n{in_markdown(schema)}" for name, schema in TABLES.items())
