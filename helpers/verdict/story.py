"""The findings in three sentences, five statements and one figure, with which README and report begin.

All of it is computed from tables: which statements are named as reproduced follows from their verdicts.
"""

import pandas as pd
from matplotlib.figure import Figure

from helpers import figures
from helpers.analysis.course import FADED
from helpers.figures.style import reading_title
from helpers.rows import mean_path, of_reading, runs_in, seeds_in
from helpers.settings import TrainingSettings
from helpers.tables import RUN
from helpers.verdict import facts, judge, reading_fit
from helpers.verdict.claims import CLAIMS, END, EVERY, PEAK, neighbours_by_layer
from helpers.verdict.judge import CONDITION, FAILS, HOLDS, NO_MORE, TRAINED, UNMEASURED, UNTRAINED

WIDTH = 768  # the paper's main model
OUTPUTS = "loss on outputs"
# The five statements that matter most, as clauses. The first says that there is anything to explain: the model learns
# the task. The next two are the paper's title, on instances it was trained on and on others. The fourth is its evidence
# that clusters follow the task and not the words of the instruction. The fifth is what it says clusters are good for.
FIVE = {
    "accuracy_validation": "the model comes to solve unseen instances",
    "task_subset": "hidden states of the training subset come to cluster by task",
    "task_validation": "hidden states of unseen instances come to cluster by task",
    "hard_separate": "hard examples leave the clusters of the examples that they were made from",
    "same_task_share": "training makes neighbours with the same task much more frequent",
}
SHORT = ["task_subset", "task_validation"]  # of these, those that answer the paper's title
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
    said = {
        "In short": _short(known, mine, width),
        "What reproduces": _listed(known, mine, (HOLDS, NO_MORE), "none of the five statements that matter most")
        + f". In all, {count(mine, HOLDS)} of the paper's {len(mine)} statements about its main model hold "
        f"({deciding(mine)}){_chosen_by(known, mine)}; {count(mine, NO_MORE)} more meet their rule, with no gain over "
        "the untrained model shown.",
        "What does not": _listed(known, mine, (FAILS,), "none of the five statements that matter most fails")
        + f". In all, {judge.how_many(count(mine, FAILS), FAILS)}{_unsure(mine)}.{_surface(known)}",
        "What changes the result": _changes(known, width),
        "What the states hold": _held(known, width),
    }
    return {name: words for name, words in said.items() if words}


def _short(known: dict, mine: pd.DataFrame, width: int) -> str:
    """The paper's title, answered: F1 by task before training and after it; nothing where it was not measured."""
    rows = mine.reindex(SHORT)
    if rows["untrained"].isna().any():
        return ""
    answer = "Not as KMeans sees them"
    if (rows["verdict"] == HOLDS).all():
        answer = "Yes"
    elif (rows["gain_low"] > 0).all():
        answer = "Not by the paper's numbers, though training raises F1"
    subset, unseen = (
        f"{_rise(row)} on {where} (the paper: {_words(row)})"
        for (_, row), where in zip(rows.iterrows(), ("the training subset", "unseen instances"), strict=True)
    )
    until, runs = to_epoch(known, width), deciding(mine)
    theirs = "".join(_short_of_another(name, rows) for name, rows in others(known).items())
    return (
        f"{answer}. From the untrained model {until}, F1 by task goes from {subset} and from {unseen}; {runs}.{theirs}"
    )


def _short_of_another(reading: str, statements: pd.DataFrame) -> str:
    """The same two numbers with another reading."""
    rows = statements.reindex(SHORT)
    if rows["untrained"].isna().any():
        return ""
    subset, unseen = (_rise(row) for _, row in rows.iterrows())
    return f" With reading {reading_title(reading)} it goes from {subset} and from {unseen} ({seeds_in(rows)})."


def _rise(row: pd.Series) -> str:
    return f"{row['untrained']:.2f} to {row['ours']:.2f}"


def to_epoch(known: dict, width: int) -> str:
    """To which epoch the runs that decide go: "to epoch 100 of the paper's 200", "to epoch 200, the paper's last"."""
    last, whole = last_epoch(known, width), TrainingSettings().number_of_epochs
    return f"to epoch {last}, the paper's last" if last == whole else f"to epoch {last} of the paper's {whole}"


def last_epoch(known: dict, width: int) -> int:
    """The last epoch of the runs that decide: of `make verdict`, else of the profile."""
    own = known["clustering"]
    return known["until"].get(known["reading"], {}).get(str(width)) or int(own["epoch"].max())


def _chosen_by(known: dict, mine: pd.DataFrame) -> str:
    """How many of the statements that hold were targets of the search for the reading, if that chose it."""
    if known["reading"] not in [search["reading"] for search in known["searches"]]:
        return ""
    targets = {target.claim for target in (*reading_fit.TARGETS, *reading_fit.AT_THE_END)}
    chosen = count(mine[mine.index.isin(targets)], HOLDS)
    return f", {chosen} of which are targets of the score by which readings are compared" if chosen else ""


def _surface(known: dict) -> str:
    """F1 by task of the instructions' surface, without a model."""
    subset, unseen = (facts.surface(known["of_surface"], split)["highest"] for split in ("subset", "validation"))
    return (
        f" Without a model, an instruction's symbols alone give F1 up to {subset:.2f} on the training subset and "
        f"{unseen:.2f} on unseen instances (data set of {seeds_in(known['of_surface'])})."
    )


def _listed(known: dict, mine: pd.DataFrame, verdicts: tuple[str, ...], none: str) -> str:
    keys = [key for key in FIVE if key in mine.index and mine.loc[key, "verdict"] in verdicts]
    return "; ".join(_clause(known, mine.loc[key], key) for key in keys) or none


def measured(key: str) -> str:
    """What is measured of one of the five, in a word."""
    return MEASURED.get(key, "F1")


def deciding(mine: pd.DataFrame) -> str:
    """Which runs decide, leaving out statements that fewer seeds can tell of."""
    return runs_in(mine[mine["seeds"] == mine["seeds"].max()])


def _clause(known: dict, row: pd.Series, key: str) -> str:
    """That a statement is so, with our number, the untrained model's where there is one, and the paper's."""
    if key in SHORT:  # its numbers are told there
        return f"that {FIVE[key]}"
    before = "" if pd.isna(row["untrained"]) else f", untrained {row['untrained']:.2f}"
    if key == "hard_separate":
        before += f", random clusters {facts.apart_by_chance(known['clustering']):.2f}"
    if key == "same_task_share":
        claims = known["claims"]
        share = claims[(claims["claim"] == "same_task_high") & (claims["width"] == row["width"])]
        before = "".join(
            f", from {r.untrained:.2f} to {r.ours:.2f}" for r in share.dropna(subset="untrained").itertuples()
        )
    return f"that {FIVE[key]} ({measured(key)} {row['ours']:.2f}{before}; the paper: {_words(row)})"


def _words(row: pd.Series) -> str:
    """The paper's words, in short."""
    return row["paper"].partition(" (")[0]


def count(mine: pd.DataFrame, *verdicts: str) -> int:
    """How many statements have one of some verdicts."""
    return int(mine["verdict"].isin(verdicts).sum())


def _unsure(mine: pd.DataFrame) -> str:
    """The verdicts that say neither, with how many statements have each."""
    verdicts = (CONDITION, judge.UNDECIDED, UNMEASURED)
    parts = [judge.how_many(n, verdict) for verdict in verdicts if (n := count(mine, verdict))]
    missing = mine.loc[mine["verdict"] == UNMEASURED, "condition"]
    if len(missing) and missing.str.contains("clusters").all():
        parts[-1] += " for want of clusters that could last"
    return "".join(f", {part}" for part in [*parts[:-1], *(f"and {part}" for part in parts[-1:])])


def _changes(known: dict, width: int) -> str:
    """How clusters of unseen instances fare at another epoch or in another space, and verdicts with other choices."""
    told = (_places(known, width), _pairs(known, width), _by_width(known), _with_outputs(known),
            *_with_readings(known, width))  # fmt: skip
    parts = [part[0].upper() + part[1:] for part in told if part]
    return ". ".join(parts) + "." if parts else "Nothing else has been measured yet (`make verdict`)."


def _places(known: dict, width: int) -> str:
    if known["quantities"] is None:
        return ""
    rows = _unseen(known, known["reading"], width)
    found = _end_and_peak(rows)
    if END not in found:
        return ""
    said = [f"{found[END]:.2f} at epoch {last_epoch(known, width)}"]
    if PEAK in found:
        mean = f" (highest of the mean over seeds: {_highest(known):.2f})" if len(known["of_course"]) else ""
        said.append(f"{found[PEAK]:.2f} at each run's best epoch{mean}")
    before, centred = (
        _unseen(known, known["reading"], width, model).query("space == 'centred' and at == @END")["value"]
        for model in (UNTRAINED, TRAINED)
    )
    if len(centred):
        untrained = f" (untrained {before.mean():.2f})" if len(before) else ""
        said.append(f"{centred.mean():.2f}{untrained} at the last one if each input's mean state is subtracted")
    runs = f"reading {reading_title(known['reading'])}, {seeds_in(rows)}"
    return f"F1 by task of unseen instances, in the better of raw and t-SNE states, is {', '.join(said)} ({runs})"


def _unseen(known: dict, reading: str, width: int, model: str = TRAINED) -> pd.DataFrame:
    """Rows of quantities.csv on clusters by task of unseen instances, of a reading and width."""
    rows = _task_f1(known, reading, "task_validation", model)
    return rows[rows["width"] == width]


def _task_f1(known: dict, reading: str, claim: str, model: str = TRAINED) -> pd.DataFrame:
    """Rows of quantities.csv on clusters by task of either set, of a reading."""
    rows = of_reading(known["quantities"], reading)
    return rows[(rows["claim"] == claim) & (rows["model"] == model)]


def _end_and_peak(rows: pd.DataFrame) -> dict[str, float]:
    """F1 at the last epoch and at each run's best, means over seeds, in whichever of the paper's spaces is higher."""
    means = rows[rows["space"].isin(("raw", "tsne"))].groupby(["at", "space"])["value"].mean()
    return means.groupby("at").max().to_dict()


def _pairs(known: dict, width: int) -> str:
    """What F1 of the training subset is where a task may have several clusters."""
    mine = [row for row in known["of_pairs"] if (row["width"], row["reading"]) == (width, known["reading"])]
    if not mine or mine[0]["control"]:
        return ""
    return (
        "with one cluster per input-output pair, named by its majority task, F1 of the training subset is "
        f"{mine[0]['subset_f1']:.2f} (labels permuted: {mine[0]['subset_chance']:.2f}), as it must be where states "
        "tell the answers apart, for a pair has one task"
    )


def _by_width(known: dict) -> str:
    """F1 of the training subset by width, at the end and at its highest, where several widths were run."""
    if known["quantities"] is None:
        return ""
    rows = _task_f1(known, known["reading"], "task_subset")
    found = {width: (_end_and_peak(part), part["seed"].nunique()) for width, part in rows.groupby("width")}
    said = [f"{f1[END]:.2f} ({f1[PEAK]:.2f}) at {width:,}{', one seed' if seeds == 1 else ''}"
            for width, (f1, seeds) in found.items() if {END, PEAK} <= set(f1)]  # fmt: skip
    if len(said) < 2:
        return ""
    return (
        f"by width, F1 of the training subset at the end (at each run's best epoch) is {', '.join(said)} "
        f"(reading {reading_title(known['reading'])})"
    )


def _with_outputs(known: dict) -> str:
    outputs = known["claims_outputs"]
    if outputs is None:
        return ""
    width = int(outputs["width"].iloc[0])
    theirs, mine = statements_at(outputs, width), statements_at(known["claims"], width)
    hold = f"{count(theirs, HOLDS)} of {len(theirs)} statements hold at width {width:,}"
    instead = f" instead of {count(mine, HOLDS)}" if len(mine) else ""
    return f"with the loss on the output token alone, {hold}{instead}"


def _with_readings(known: dict, width: int) -> list[str]:
    said = []
    for reading, rows in known["other_readings"].items():
        every = [width, *sorted(set(rows["width"].dropna().astype(int)) - {width}, reverse=True)]
        at = next((w for w in every if _told(statements_at(rows, w))), None)  # the main width, or the widest measured
        if at is not None:
            mine, here = statements_at(rows, at), statements_at(known["claims"], at)
            seeds = seeds_in(mine[mine["seeds"] == mine["seeds"].max()])
            instead = f" instead of {count(here, HOLDS)}" if len(here) else ""
            said.append(
                f"with reading {reading_title(reading)}, {count(mine, HOLDS)} of {len(mine)} statements hold at width "
                f"{at:,}{instead} ({seeds}){_passing(known, reading, at)}"
            )
    return said


def _passing(known: dict, reading: str, width: int) -> str:
    """That clusters of unseen instances were there at an earlier epoch, if they were."""
    found = {} if known["quantities"] is None else _end_and_peak(_unseen(known, reading, width))
    if not {END, PEAK} <= set(found) or found[PEAK] - found[END] <= FADED:
        return ""
    return (
        f", and F1 by task of unseen instances falls from {found[PEAK]:.2f} at each run's best epoch to "
        f"{found[END]:.2f}"
    )


def own_run(known: dict) -> str:
    """What the profile's own run shows, where it is of another reading than the statements or shorter."""
    width = width_of_profile(known)
    if known["own"] == known["reading"] and known["clustering"]["epoch"].max() >= last_epoch(known, width):
        return ""
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
        f"One run of `make reproduce` (reading {reading_title(known['own'])}, {task.index[-1]} epochs), from "
        f"untrained to the end: F1 of the training subset {task.iloc[0]:.2f} to {task.iloc[-1]:.2f}, hard examples in "
        f"another cluster than their original {first:.0%} to {last:.0%}, neighbours with the same task "
        f"{same.iloc[0]:.2f} to {same.iloc[-1]:.2f}."
    )


def _held(known: dict, width: int) -> str:
    """What states tell of the task when the input is held fixed, and to a linear probe, trained and untrained.

    From the statements if several seeds measured them, else from the profile's own runs.
    """
    claims, own = known["claims"], _controls(known)
    mine = claims[(claims["width"] == width).fillna(False) & (claims["seeds"] > 1)].set_index("claim")
    if {"within_input", "probe"} <= set(mine.index):
        rows = mine.loc[["within_input", "probe"]]
        runs, (within, probe) = (
            deciding(rows.reset_index()),
            ((row["untrained"], row["ours"]) for _, row in rows.iterrows()),
        )
    elif {"within_input_f1", "linear_probe"} <= set(own):
        runs, within, probe = runs_in(known["training"]), own["within_input_f1"], own["linear_probe"]
    else:
        return ""
    chance = ""
    if "within_input_chance" in own:
        chance = f" (labels permuted, {seeds_in(known['training'])}: {own['within_input_chance'][1]:.2f})"
    return (
        "no two tasks share an input-output pair, so that with the input fixed the task is the answer. There F1 by "
        f"task of unseen instances is {within[0]:.2f} untrained and {within[1]:.2f} trained{chance}. "
        f"Over all inputs a linear probe reads the task with accuracy {probe[0]:.2f} untrained and {probe[1]:.2f} "
        f"trained ({runs})."
    )


def _controls(known: dict) -> dict[str, tuple[float, float]]:
    """Each control on unseen instances of the profile's own runs, best layer: at the first epoch and at the last."""
    table = known["of_controls"]
    if table is None:
        return {}
    mine = table[(table["width"] == width_of_profile(known)) & (table["split"] == "validation") & (table["layer"] > 0)]
    best = mine.groupby(["control", "seed", "epoch"])["value"].max().groupby(["control", "epoch"]).mean()
    return {name: tuple(best[name].iloc[[0, -1]]) for name in dict.fromkeys(mine["control"])}


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


def most_seeds(decided: pd.DataFrame) -> str:
    """On how many seeds most statements of a kind of run rest, in words."""
    return seeds_in(decided[decided["seeds"] == decided["seeds"].max()])


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
    found = pd.DataFrame(
        {f"width {name}\n{most_seeds(rows)}": rows["verdict"] for name, rows in kinds_of_run(known).items()}
    )
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
    accuracy, one = _highest_means(courses)["accuracy"], courses["seed"].nunique() == 1
    f1 = _highest(known)
    learned = (
        "unseen instances are solved"
        if accuracy > EVERY["accuracy_validation"].rule.above
        else "not all unseen instances are solved"
    )
    learned = f"In one run, {learned}" if one else learned[0].upper() + learned[1:]
    level = EVERY["task_validation"].rule.above
    high = f"; 'high' would be above {level:g}" if f1 <= level else ""
    over = "" if one else ", mean over seeds"
    return f"{learned} (accuracy {accuracy:.2f})\nTheir F1 by task is at most {f1:.2f}{over}{high}"


def _highest_means(courses: pd.DataFrame) -> pd.Series:
    """The highest value that the mean over seeds reaches, by name."""
    known = courses.dropna(subset="value").groupby("name")
    return pd.Series({name: mean_path(runs, ["value"])["value"].max() for name, runs in known})


def _highest(known: dict) -> float:
    """The highest F1 by task of unseen instances that the mean over seeds reaches, in raw or in t-SNE states."""
    return float(_highest_means(_courses(known)).drop("accuracy").max())


def _runs(known: dict) -> str:
    """Which runs either panel shows."""
    left, right = runs_in(_courses(known)), deciding(five(known).reset_index())
    return left if left == right else f"left: {left}; right: {right}"
