"""The findings in three sentences, five statements and one figure, with which README and report begin.

All of it is computed from tables: which statements are named as reproduced follows from their verdicts.
"""

import pandas as pd
from matplotlib.figure import Figure

from helpers import figures
from helpers.figures.style import CLAIM_TITLES, reading_title, variant_title
from helpers.rows import runs_in, seeds_in
from helpers.tables import RUN
from helpers.verdict import facts, judge
from helpers.verdict.claims import CLAIMS, END, EVERY, PEAK, neighbours_by_layer
from helpers.verdict.judge import CONDITION, FAILS, HOLDS, NO_MORE, TRAINED, UNMEASURED

WIDTH = 768  # the paper's main model
OUTPUTS = "loss on outputs"
# The five statements that matter most, as clauses. The first says that there is anything to explain: the model learns
# the task. The next two are the paper's title, on instances it was trained on and on others. The fourth is its evidence
# that clusters follow the task and not the words of the instruction. The fifth is what it says clusters are good for.
FIVE = {
    "accuracy_validation": "the model comes to solve unseen instances",
    "task_subset": "hidden states of the training subset come to cluster by task",
    "task_validation": "hidden states of unseen instances come to cluster by task",
    "hard_separate": "hard examples part from the examples that they were made from",
    "same_task_share": "training makes neighbours with the same task much more frequent",
}
MEASURED = {"accuracy_validation": "accuracy", "hard_separate": "share", "same_task_share": "gain in share"}  # else F1


def main_width(claims: pd.DataFrame) -> int:
    """The paper's main model, or the first width that was measured where that was not."""
    measured = claims.loc[claims["width"].notna() & (claims["seeds"] > 0), "width"].astype(int).tolist()
    return measured[0] if measured and WIDTH not in measured else WIDTH


def statements_at(claims: pd.DataFrame, width: int) -> pd.DataFrame:
    """The paper's statements at one width, by claim."""
    return judge.of_paper(claims[(claims["width"] == width).fillna(False)]).set_index("claim")


def sentences(known: dict) -> dict[str, str]:
    """What reproduces, what does not, what changes it, and what the states hold, a few sentences each.

    Args:
        known: of `gather.of_story`.
    """
    width = main_width(known["claims"])
    mine = statements_at(known["claims"], width)
    return {
        "What reproduces": _listed(mine, (HOLDS, NO_MORE), "none of the five statements that matter most")
        + f". In all, {_count(mine, HOLDS)} of the paper's {len(mine)} statements about its main model hold "
        f"({_of(mine)}), and {_count(mine, NO_MORE)} more hold, though no gain over the untrained model is shown.",
        "What does not": _listed(mine, (FAILS,), "none of the five statements that matter most fails")
        + f". In all, {judge.how_many(_count(mine, FAILS), FAILS)}{_unsure(mine)}.",
        "What changes it": _changes(known, width),
    } | ({"What the states hold": held} if (held := _held(known, width)) else {})


def _listed(mine: pd.DataFrame, verdicts: tuple[str, ...], none: str) -> str:
    said = [_clause(mine.loc[key], key) for key in FIVE if key in mine.index and mine.loc[key, "verdict"] in verdicts]
    return "; ".join(said) or none


def measured(key: str) -> str:
    """What is measured of one of the five, in a word."""
    return MEASURED.get(key, "F1")


def _of(mine: pd.DataFrame) -> str:
    """Which runs decide, leaving out statements that fewer seeds can tell of."""
    return runs_in(mine[mine["seeds"] == mine["seeds"].max()])


def _clause(row: pd.Series, key: str) -> str:
    """That a statement is so, with our number, the untrained model's where there is one, and the paper's."""
    paper = row["paper"].partition(" (")[0]
    before = "" if pd.isna(row["untrained"]) else f", untrained {row['untrained']:.2f}"
    return f"that {FIVE[key]} ({measured(key)} {row['ours']:.2f}{before}; the paper: {paper})"


def _count(mine: pd.DataFrame, *verdicts: str) -> int:
    return int(mine["verdict"].isin(verdicts).sum())


def _unsure(mine: pd.DataFrame) -> str:
    """The verdicts that say neither, with how many statements have each."""
    verdicts = (CONDITION, judge.UNDECIDED, UNMEASURED)
    parts = [judge.how_many(n, verdict) for verdict in verdicts if (n := _count(mine, verdict))]
    return "".join(f", {part}" for part in [*parts[:-1], *(f"and {part}" for part in parts[-1:])])


def _changes(known: dict, width: int) -> str:
    """How clusters of unseen instances fare at another epoch or in another space, and verdicts with other choices."""
    told = (_places(known, width), _pairs(known, width), _with_outputs(known), *_with_readings(known, width))
    told += (_own_run(known),)
    parts = [part[0].upper() + part[1:] for part in told if part]
    return ". ".join(parts) + "." if parts else "Nothing else has been measured yet (`make verdict`)."


def _places(known: dict, width: int) -> str:
    if known["quantities"] is None:
        return ""
    rows = known["quantities"]
    rows = rows[(rows["claim"] == "task_validation") & (rows["model"] == TRAINED) & (rows["width"] == width)]
    means = rows.groupby(["space", "at"])["value"].mean()
    own = {at: means[[i for i in means.index if i[0] in ("raw", "tsne") and i[1] == at]] for at in (END, PEAK)}
    if own[END].empty:
        return ""
    said = [f"{own[END].max():.2f} at the end of training"]
    said += [f"{own[PEAK].max():.2f} at the epoch where it is highest"] * bool(len(own[PEAK]))
    if ("centred", END) in means.index:
        said.append(f"{means['centred', END]:.2f} at the end if each input's mean state is subtracted")
    runs = f"reading {reading_title(known['reading'])}, {seeds_in(rows)}"
    return f"F1 by task of unseen instances is {', '.join(said)} ({runs})"


def _pairs(known: dict, width: int) -> str:
    """What F1 of the training subset is where a task may have several clusters."""
    mine = [row for row in known["of_pairs"] if (row["width"], row["reading"]) == (width, known["reading"])]
    if not mine or mine[0]["control"]:
        return ""
    return (
        "with a cluster for each of a task's five input-output pairs, named by the task of most of its members, F1 of "
        f"the training subset is {mine[0]['subset_f1']:.2f} (labels permuted: {mine[0]['subset_chance']:.2f})"
    )


def _with_outputs(known: dict) -> str:
    outputs = known["claims_outputs"]
    if outputs is None:
        return ""
    width = int(outputs["width"].iloc[0])
    theirs, mine = statements_at(outputs, width), statements_at(known["claims"], width)
    count = f"{_count(theirs, HOLDS)} of {len(theirs)} statements hold at width {width:,}"
    instead = f" instead of {_count(mine, HOLDS)}" if len(mine) else ""
    return f"with the loss on the output token alone, {count}{instead}"


def _with_readings(known: dict, width: int) -> list[str]:
    said = []
    for reading, rows in known["other_readings"].items():
        every = [width, *sorted(set(rows["width"].dropna().astype(int)) - {width}, reverse=True)]
        at = next((w for w in every if _told(statements_at(rows, w))), None)  # the main width, or the widest measured
        if at is not None:
            mine, here = statements_at(rows, at), statements_at(known["claims"], at)
            instead = f" instead of {_count(here, HOLDS)}" if len(here) else ""
            said.append(
                f"with reading {reading_title(reading)}, {_count(mine, HOLDS)} of {len(mine)} statements hold at width "
                f"{at:,}{instead} ({seeds_in(mine[mine['seeds'] == mine['seeds'].max()])})"
            )
    return said


def _own_run(known: dict) -> str:
    """What the profile's own run shows, where it follows another reading than the statements."""
    if known["own"] == known["reading"]:
        return ""
    width = width_of_profile(known)
    scores, hard, near = (
        t[t["width"] == width] for t in (known["clustering"], known["of_hard"], known["of_neighbours"])
    )
    mine = scores[(scores["split"] == "subset") & (scores["label"] == "task") & scores["space"].isin(["raw", "tsne"])]
    task = mine[mine["layer"] > 0].groupby("epoch")["f1"].max()
    first, last = (
        facts.hard_examples(hard[hard["epoch"] == epoch], scores[scores["epoch"] == epoch])["pairs_separated"]
        for epoch in (task.index[0], task.index[-1])
    )
    same = neighbours_by_layer({"neighbours": near}, "same_task").iloc[:, 1:].max(axis=1)
    return (
        f"in one run with reading {reading_title(known['own'])} ({task.index[-1]} epochs, no interval), from "
        f"untrained to the end: F1 of the training subset {task.iloc[0]:.2f} to {task.iloc[-1]:.2f}, hard examples in "
        f"another cluster than their original {first:.0%} to {last:.0%}, neighbours with the same task "
        f"{same.iloc[0]:.2f} to {same.iloc[-1]:.2f}"
    )


def _held(known: dict, width: int) -> str:
    """What states tell of the task when the input is held fixed, and to a linear probe, trained and untrained.

    From the statements if several seeds measured them, else from the profile's own runs.
    """
    claims = known["claims"]
    mine = claims[(claims["width"] == width).fillna(False) & (claims["seeds"] > 1)].set_index("claim")
    if {"within_input", "probe"} <= set(mine.index):
        rows = mine.loc[["within_input", "probe"]]
        runs, (within, probe) = _of(rows.reset_index()), ((row["untrained"], row["ours"]) for _, row in rows.iterrows())
    elif (found := _controls(known)) is not None:
        runs, within, probe = runs_in(known["training"]), found["within_input_f1"], found["linear_probe"]
    else:
        return ""
    return (
        f"among unseen instances of one input, F1 by task is {within[0]:.2f} untrained and {within[1]:.2f} trained. A "
        f"linear probe reads the task off the states with accuracy {probe[0]:.2f} untrained and {probe[1]:.2f} trained "
        f"({runs}){_varies(known)}"
    )


def _varies(known: dict) -> str:
    """What unseen instances' states vary with at the last layer in the end, in the profile's own runs."""
    table = known["of_variance"]
    if table is None:
        return "."
    mine = table[(table["width"] == width_of_profile(known)) & (table["split"] == "validation")]
    end = mine[(mine["epoch"] == mine["epoch"].max()) & (mine["layer"] == mine["layer"].max())]
    share = end.groupby("part")["share"].mean()
    said = (
        f". At the last layer {share['input']:.0%} of the states' variance goes with the input, {share['output']:.0%} "
    )
    said += f"with the output and {share['task']:.0%} with the task"
    return said + ("." if share["task"] > max(share["input"], share["output"]) else ": KMeans sees the larger parts.")


def _controls(known: dict) -> dict[str, tuple[float, float]] | None:
    """Controls on unseen instances of the profile's own runs, best layer: at the first epoch and at the last."""
    table = known["of_controls"]
    if table is None:
        return None
    mine = table[(table["width"] == width_of_profile(known)) & (table["split"] == "validation") & (table["layer"] > 0)]
    best = mine.groupby(["control", "seed", "epoch"])["value"].max().groupby(["control", "epoch"]).mean()
    names = ("within_input_f1", "linear_probe")
    return {name: tuple(best[name].iloc[[0, -1]]) for name in names} if set(names) <= set(mine["control"]) else None


def _told(statements: pd.DataFrame) -> bool:
    """Whether another reading's verdicts at a width are reported: at least half of them rest on several seeds."""
    return len(statements) > 0 and (statements["seeds"] > 1).mean() >= 0.5


def kinds_of_run(known: dict) -> dict[str, pd.DataFrame]:
    """Kind of run in words -> its rows of claims.csv by claim: the main model first, other widths, losses, readings.

    Of other readings only widths that are `_told`.
    """
    first, claims = main_width(known["claims"]), known["claims"]
    found = {}
    for reading, rows in ({"": claims} | known["other_readings"]).items():
        measured = rows[rows["width"].notna() & (rows["seeds"] > 0)]
        for width in sorted(set(measured["width"].astype(int)), key=lambda w: w != first):
            mine = rows[(rows["width"] == width).fillna(False)].set_index("claim")
            if not reading or _told(mine):
                found[f"{width:,}" + (f", {reading_title(reading)}" if reading else "")] = mine
    if known["claims_outputs"] is not None:
        for width, rows in known["claims_outputs"].groupby("width", sort=False):
            found[f"{width:,}, {OUTPUTS}"] = rows.set_index("claim")
    return found


def five(known: dict) -> pd.DataFrame:
    """Rows of claims.csv of the five statements that matter most, of the main model, by claim."""
    mine = statements_at(known["claims"], main_width(known["claims"]))
    return mine.loc[[key for key in FIVE if key in mine.index]]


def others(known: dict) -> dict[str, pd.DataFrame]:
    """Other reading -> its statements about the main model by claim, of readings whose verdicts there are reported."""
    width = main_width(known["claims"])
    found = {name: statements_at(rows, width) for name, rows in known["other_readings"].items()}
    return {name: rows for name, rows in found.items() if _told(rows)}


def figure(known: dict) -> Figure:
    """Clusters and accuracy over training beside the five statements that matter most.

    Args:
        known: of `gather.of_story`.
    """
    found = {
        reading_title(name): rows.loc[[key for key in FIVE if key in rows.index]]
        for name, rows in ({known["reading"]: five(known)} | others(known)).items()
    }
    level = EVERY["task_validation"].rule.above
    rules = {key: EVERY[key].rule.above for key in FIVE}
    return figures.summary(_courses(known), level, found, rules, title(known), _runs(known))


def verdicts(known: dict) -> Figure:
    """The verdict on every statement, for each kind of run.

    Args:
        known: of `gather.of_story`.
    """
    found = pd.DataFrame({name: rows["verdict"] for name, rows in kinds_of_run(known).items()})
    found = found.reindex([claim.key for claim in CLAIMS if claim.key in found.index])
    return figures.verdicts(found, f"reading {reading_title(known['reading'])} where no other is named")


def width_of_profile(known: dict) -> int:
    """The main width, if the profile trains it; else the profile's first."""
    widths, first = known["training"]["width"], main_width(known["claims"])
    return first if first in set(widths) else int(widths.iloc[0])


def _courses(known: dict) -> pd.DataFrame:
    """Unseen instances by seed and epoch: width, seed, reading, epoch, name (accuracy, raw or tsne) and value.

    In either space F1 by task of the best layer. Of the runs that decide, where their courses are known; else of the
    profile's own.
    """
    decided = known["of_course"]
    rows = decided if len(decided) else _own_courses(known)
    f1 = rows[rows["space"].isin(("raw", "tsne"))].rename(columns={"space": "name", "f1": "value"})
    accuracy = rows.drop_duplicates([*RUN, "epoch"]).assign(name="accuracy").rename(columns={"accuracy": "value"})
    return pd.concat([accuracy, f1], ignore_index=True)[[*RUN, "epoch", "name", "value"]]


def _own_courses(known: dict) -> pd.DataFrame:
    """The same of the profile's own runs at every epoch, as rows of course_grids.csv."""
    width = width_of_profile(known)
    training, scores = (t[t["width"] == width] for t in (known["training"], known["clustering"]))
    task = scores[(scores["label"] == "task") & (scores["split"] == "validation") & (scores["layer"] > 0)]
    best = task.groupby([*RUN, "space", "epoch"])["f1"].max().reset_index()
    accuracy = training[[*RUN, "epoch"]].assign(accuracy=training["accuracy_validation"])
    return accuracy.merge(best, how="left", on=[*RUN, "epoch"])


def title(known: dict) -> str:
    """The figure's message in two lines, from the numbers in it."""
    courses = _courses(known)
    means = courses.groupby(["name", "epoch"])["value"].mean()
    f1, accuracy = means.drop("accuracy").max(), means["accuracy"].max()  # F1 in whichever space it is higher
    learned = (
        "unseen instances are solved"
        if accuracy > EVERY["accuracy_validation"].rule.above
        else "not all unseen instances are solved"
    )
    one = courses["seed"].nunique() == 1
    learned = f"In one run, {learned}" if one else learned[0].upper() + learned[1:]
    level = EVERY["task_validation"].rule.above
    high = f"; 'high' would be above {level:g}" if f1 <= level else ""
    return f"{learned} (accuracy {accuracy:.2f})\nTheir clusters by task reach F1 {f1:.2f} at most{high}"


def _runs(known: dict) -> str:
    """Which runs either panel shows."""
    left, right = runs_in(_courses(known)), _of(five(known).reset_index())
    return left if left == right else f"left: {left}; right: {right}"


def answers(known: dict) -> dict[str, tuple[str, str]]:
    """Name of a notebook -> the question that it asks and the answer in a line, of the profile's own run.

    One entry a notebook, hence long.

    Args:
        known: of `gather.of_story`.
    """
    near, moved, accuracy = known["neighbours"], known["interventions"], known["accuracy"]
    raw, tsne = (known["task"][space] for space in ("raw", "tsne"))
    surface, subset = (known["surface"][split] for split in ("validation", "subset"))
    ours, paper = known["table1"]
    main = statements_at(known["claims"], main_width(known["claims"]))
    return {
        "01_generate_data": (
            "Do instructions give their task away?",
            f"{known['grammar']['nearest_has_task']:.0%} have the task of the most similar training instruction",
        ),
        "02_train": (
            "Does the model learn the task?",
            f"Accuracy on unseen instances reaches {accuracy['highest']:.2f} at epoch {accuracy['epoch']}",
        ),
        "03_clustering": (
            "Do hidden states cluster by task?",
            f"{_clustered(max(raw['end'], tsne['end']))}: F1 of unseen instances {raw['end']:.2f} (t-SNE "
            f"{tsne['end']:.2f}; untrained {raw['start']:.2f} and {tsne['start']:.2f}); with each input's mean state "
            f"subtracted {known['task']['centred']['end']:.2f}",
        ),
        "04_knn": (
            "Do nearest neighbours solve unseen instances?",
            _solved_by_neighbours(near["accuracy_start"], near["accuracy_end"]),
        ),
        "05_probe_llms": (
            "Do pretrained models cluster by task?",
            f"{ours['model']}: F1 {ours['scores']['task'][0]:.2f} by three categories, which the paper calls tasks (by "
            f"the input word alone {known['words_alone']:.2f}); {paper['model']} in the paper: "
            f"{paper['scores']['task'][0]:.2f}",
        ),
        "06_explore": ("What do the clusters look like?", "Linked scatter plots through layers and training"),
        "07_controls": (
            "What would F1 be without a model?",
            f"Unseen instances: up to {surface['highest']:.2f}, {surface['from']} (states {raw['end']:.2f}). Training "
            f"subset: up to {subset['highest']:.2f}, {subset['from']} (states {known['task_subset']['end']:.2f})",
        ),
        "08_interventions": (
            "Does the answer follow a moved state?",
            f"Moved by the difference of two tasks' means, {moved['task']:.0%} give the other task's answer (a random "
            f"move: {moved['random']:.0%}); moved to the other task's mean for that input, which also holds the "
            f"answer, {moved['mean']:.0%}",
        ),
        "09_readings": ("What do the paper's open choices change?", _most(known["varied"])),
        "10_verdict": (
            "Which of the paper's statements hold?",
            f"{_count(main, HOLDS)} of {len(main)} about its main model ({_of(main)})",
        ),
    }


def _clustered(f1: float) -> str:
    return "Yes" if f1 > EVERY["task_validation"].rule.above else "Not as KMeans sees them"


def _solved_by_neighbours(before: float, after: float) -> str:
    solved = "Yes" if after > EVERY["knn_high"].rule.above else "No"
    alike = ", and as well before training" if abs(after - before) < 0.02 else ""
    return f"{solved}{alike}: their vote is right for {after:.0%}, untrained for {before:.0%}"


def _most(varied: dict | None) -> str:
    """The change that raises F1 by task of unseen instances most, and the quantity that any change raises most."""
    if varied is None or "task_validation" not in varied["quantities"]:
        return "Nothing raises F1 by task of unseen instances" if varied else "Not measured yet (`make verdict`)"
    one = varied["quantities"]["task_validation"]
    if one["seeds"] and one["highest"] <= one["seeds"][1]:
        least, greatest = one["seeds"]
        return (
            f"None raises F1 of unseen instances above what other seeds give ({least:.2f} to {greatest:.2f}, width "
            f"{varied['width']}, reading {reading_title(varied['reading'])}). The largest effect: "
            f"{_most_of_all(varied['quantities'])}"
        )
    return (
        f"F1 of unseen instances rises most, {one['default']:.2f} to {one['highest']:.2f}, with "
        f"{variant_title(one['variant'])} (width {varied['width']}, reading {reading_title(varied['reading'])})"
    )


def _most_of_all(quantities: dict[str, dict]) -> str:
    """The quantity that one change takes farthest above what other seeds give, as a clause."""
    gains = {key: one["highest"] - (one["seeds"] or (0, one["default"]))[1] for key, one in quantities.items()}
    key = max(gains, key=gains.get)
    one = quantities[key]
    return f"'{CLAIM_TITLES[key]}': {one['default']:.2f} to {one['highest']:.2f} with {variant_title(one['variant'])}"
