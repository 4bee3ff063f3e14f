"""Numbers that README and report say in sentences, each from a table; the sentences are templates."""

import math

import numpy as np
import pandas as pd

from helpers.analysis import alternatives
from helpers.analysis import course as courses
from helpers.profiles import trained_loss
from helpers.rows import CONTROL, NO_CHOICE, mean_path, parts_of, readings_in
from helpers.settings import DataSettings
from helpers.tables import FIT, LABELS, SCORES, SPLITS
from helpers.verdict import judge
from helpers.verdict.claims import K, hard_apart
from helpers.verdict.judge import WIDTHS

SEEN = ("input", "output", "task")
OF_SEARCH = ["run", "width", "seed"]  # what tells the runs of a search apart


def counts(claims: pd.DataFrame) -> dict[str, int]:
    """How many of the paper's statements have each verdict.

    Args:
        claims: rows of claims.csv.
    """
    return judge.of_paper(claims)["verdict"].value_counts().reindex(judge.VERDICTS, fill_value=0).to_dict()


def counts_by_width(claims: pd.DataFrame) -> dict[str, dict[str, int]]:
    """`counts` at the main width, at the paper's widths and about its models ("paper"), and at each further width."""
    own = claims["width"].isna() | claims["width"].isin(WIDTHS)
    each = {int(width): claims[(claims["width"] == width).fillna(False)] for width in claims["width"].dropna().unique()}
    main = {str(width): counts(rows) for width, rows in each.items() if width == WIDTHS[0]}
    return main | {"paper": counts(claims[own])} | {str(w): counts(rows) for w, rows in each.items() if w not in WIDTHS}


def course(scores: pd.DataFrame, space: str, label: str = "task", split: str = "validation") -> dict[str, float]:
    """F1 of the best layer above 0, mean over seeds: untrained, at its highest and at the end.

    Args:
        scores: rows of clustering.csv of one width.

    Returns:
        start, highest, epoch (of the highest), end.
    """
    at = (scores["space"] == space) & (scores["label"] == label) & (scores["split"] == split)
    best = _best_layer(scores[at & (scores["layer"] > 0)], ["f1"])["f1"]
    return {"start": best.iloc[0], "highest": best.max(), "epoch": int(best.idxmax()), "end": best.iloc[-1]}


def seen(own: pd.DataFrame) -> dict[str, dict[str, tuple[float, float]]]:
    """For each split: what clusters of raw states agree with, untrained and at the last epoch, mean over seeds.

    Args:
        own: rows of course.csv of one width.

    Returns:
        Split -> input, output, task -> agreement at the first and at the last epoch, at the layer with the highest F1.
    """
    raw = courses.highest(own).query("space == 'raw'")
    means = raw.groupby(["split", "epoch"])[[f"sees_{name}" for name in SEEN]].mean()
    return {split: {name: tuple(means.loc[split][f"sees_{name}"].iloc[[0, -1]]) for name in SEEN} for split in SPLITS}


def varies(table: pd.DataFrame, layer: int) -> dict[str, dict[str, float]]:
    """Split -> part -> share of the variance of a layer at the last epoch, mean over seeds.

    Args:
        table: rows of variance.csv of one width.
    """
    end = table[(table["epoch"] == table["epoch"].max()) & (table["layer"] == layer)]
    means = end.groupby(["split", "part"])["share"].mean()
    return {split: means[split].to_dict() for split in dict.fromkeys(end["split"])}


def fading(own: pd.DataFrame, grids: pd.DataFrame | None) -> list[dict]:
    """The highest F1 by task of unseen instances' raw states and that at the last epoch, a row a reading and width.

    Args:
        own: course.csv.
        grids: course_grids.csv, if there.

    Returns:
        Of each: width, reading, runs, faded (how many), mean_f1 (the highest that the mean over runs reaches), and
        means of f1 (of each run's highest), accuracy, last_f1, last_accuracy, last_epoch.
    """
    every = courses.beside(own, grids)
    ends, numbers = _unseen(every), ["f1", "accuracy", "last_f1", "last_accuracy", "last_epoch"]
    every = every[(every["split"] == "validation") & (every["space"] == "raw")]
    return [
        {"width": width, "reading": reading, "runs": len(part), "faded": int((part["course"] == "fades").sum())}
        | {"mean_f1": mean_path(every[(every["width"] == width) & (every["reading"] == reading)], ["f1"])["f1"].max()}
        | part[numbers].mean().to_dict()
        for (width, reading), part in ends.groupby(["width", "reading"], sort=False)
    ]


def kept(grids: pd.DataFrame | None) -> list[dict]:
    """What becomes of clusters by task of unseen instances' raw states under each change of the multiverse.

    Args:
        grids: course_grids.csv, if there.

    Returns:
        Of each variant, the one that ends highest first: what courses.fading gives; nothing where none was trained.
    """
    if grids is None or not (mine := grids[grids["grid"] == "multiverse"]).size:
        return []
    return _unseen(mine).sort_values("last_f1", ascending=False).to_dict("records")


def _unseen(runs: pd.DataFrame) -> pd.DataFrame:
    """courses.fading of unseen instances' raw states."""
    return courses.fading(runs).query("split == 'validation' and space == 'raw'")


def _best_layer(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """By epoch, the best layer's values of some columns, mean over seeds."""
    return rows.groupby(["seed", "epoch"])[columns].max().groupby("epoch").mean()


def neighbours(table: pd.DataFrame, k: int = K) -> dict[str, float]:
    """Of the k nearest, best layer: share with the same task, untrained (start) and at the end, and KNN accuracy.

    Args:
        table: neighbours.csv.

    Returns:
        start, end, accuracy_start, accuracy_end.
    """
    best = _best_layer(table[table["k"] == k], ["same_task", "accuracy"])
    (start, accuracy_start), (end, accuracy_end) = best.iloc[0], best.iloc[-1]
    return {"start": start, "end": end, "accuracy_start": accuracy_start, "accuracy_end": accuracy_end}


SURFACE = {  # controls of surface.csv in words
    "input": "from the input symbol",
    "bag_of_symbols": "from counts of an instruction's symbols",
    "bag_and_input": "from counts of symbols with the input",
    "edit_distance": "from edit distances between instructions",
}


def surface(table: pd.DataFrame, split: str) -> dict:
    """F1 by task without a model: the highest, and what it is from.

    Args:
        table: surface.csv.
    """
    rows = table[(table["split"] == split) & (table["label"] == "task")].groupby("control")["f1"].mean()
    return {"highest": rows.max(), "from": SURFACE[rows.idxmax()]}


def hard_examples(table: pd.DataFrame, scores: pd.DataFrame, space: str = "raw") -> dict[str, float]:
    """Hard examples at the last epoch, means over seeds.

    Args:
        table, scores: rows of hard.csv and clustering.csv of one width.

    Returns:
        epoch, accuracy, pairs_separated (at the layer with the highest F1 by task) and nearer_own_task (at the layer
        where it is highest).
    """
    end = table["epoch"].max()
    last = table[(table["epoch"] == end) & (table["layer"] > 0) & (table["space"] == space)]
    apart = [
        hard_apart({"hard": mine, "clustering": scores[scores["seed"] == seed]}, space)
        for seed, mine in table.groupby("seed")
    ]
    return {
        "epoch": int(end),
        "accuracy": last["accuracy_hard"].mean(),
        "pairs_separated": float(np.mean(apart)),
        "nearer_own_task": last.groupby("layer")["nearer_own_task"].mean().max(),
    }


def interventions(table: pd.DataFrame) -> dict[str, float]:
    """Shares of answers that follow a moved state, at the layer below the last where each is highest.

    At the last layer the answer is read off the state itself.

    Args:
        table: rows of interventions.csv of one width.

    Returns:
        task, task_layer, mean, mean_layer (moved to the other task's mean for this input), random (as far, there).
    """
    wide = table.pivot_table(index="layer", columns="direction", values="became_other").iloc[:-1]
    layer = int(wide["task_and_input"].idxmax())
    return {
        "task": wide["task"].max(),
        "task_layer": int(wide["task"].idxmax()),
        "mean": wide.loc[layer, "task_and_input"],
        "mean_layer": layer,
        "random": wide.loc[layer, "random"],
    }


def searched(profile: pd.DataFrame, grids: pd.DataFrame | None) -> dict:
    """The highest matched F1 by task of every way of clustering, the paper's included, over every run searched.

    Input-centred states, more clusters and other F1s are left out, and so are shuffled outputs, where there is nothing
    to learn.

    Args:
        profile: alternatives.csv.
        grids: alternatives_grids.csv, if there; its rows of a width, seed and reading stand for the profile's.

    Returns:
        runs, ways; of each split best (the row), as_paper (KMeans on raw or t-SNE states) and centred (the highest of
        input-centred states); and by_reading, the first two for each split and reading, with `split`, `reading` and how
        many `runs`.
    """
    found = profile.assign(run="of this profile", variant="")
    if grids is not None:
        known = set(zip(*(grids[name] for name in ("width", "seed", "reading")), strict=True))
        mine = [place not in known for place in zip(found["width"], found["seed"], found["reading"], strict=True)]
        found = pd.concat([found[mine], grids], ignore_index=True)
    one = (found["clusters"] == 1) & (found["definition"] == "matched")
    found = found[one & ~found["variant"].astype(str).str.contains(CONTROL)]
    centred = found[found["space"] == "centred"].groupby("split")["f1"].max()
    found = found[found["space"] != "centred"]
    kinds = {name: name if name == parts_of(name)[0] else f"{parts_of(name)[0]}, a choice changed"
             for name in found["reading"].unique()}  # fmt: skip
    found = found.assign(reading=found["reading"].map(kinds))
    return {
        "runs": len(found.drop_duplicates(OF_SEARCH)),
        "ways": len(found.drop_duplicates(list(alternatives.PAPER))),
        **{split: _highest(part) | {"centred": centred.get(split)} for split, part in found.groupby("split")},
        "by_reading": [
            {"split": split, "reading": reading, "runs": len(part.drop_duplicates(OF_SEARCH))} | _highest(part)
            for (split, reading), part in found.groupby(["split", "reading"])
        ],
    }


def a_cluster_for_each_pair(grids: pd.DataFrame | None) -> list[dict]:
    """F1 by task where a task may have a cluster for each of its input-output pairs, named by the task of most members.

    Raw states, KMeans, best layer of up to three epochs, of the runs that the paper's statements are judged by, and of
    those that had shuffled outputs to learn.

    Args:
        grids: alternatives_grids.csv, if there.

    Returns:
        a row for each width and reading, means over its runs: control (whether outputs were shuffled), width, reading,
        seeds, and for either split f1 and chance (what permuted labels give), as in subset_f1.
    """
    if grids is None:
        return []
    many = {"space": "raw", "method": "kmeans", "definition": "majority", "clusters": max(alternatives.MULTIPLES)}
    control = grids["variant"].str.contains(CONTROL)
    mine = grids[(grids[list(many)] == pd.Series(many)).all(axis=1) & (control | (grids["grid"] == "seeds"))]
    found = []
    for (shuffled, width, reading), runs in mine.groupby([control, "width", "reading"]):
        means = runs.groupby("split")[["f1", "chance"]].mean()
        scores = {f"{split}_{name}": means.at[split, name] for split in means.index for name in means}
        place = {"control": bool(shuffled), "width": int(width), "reading": reading, "seeds": runs["seed"].nunique()}
        found.append(place | scores)
    return sorted(found, key=lambda row: (row["control"], -row["width"], row["reading"]))


def _highest(rows: pd.DataFrame) -> dict:
    """The row with the highest F1 of some of the search, and the highest of the paper's own way of looking."""
    as_paper = rows["space"].isin(("raw", "tsne")) & (rows["method"] == "kmeans")
    return {"best": rows.loc[rows["f1"].idxmax()].to_dict(), "as_paper": rows.loc[as_paper, "f1"].max()}


def varied(multiverse: pd.DataFrame, parts: pd.DataFrame | None, claims: tuple[str, ...]) -> dict:
    """What one change to what the paper leaves open can do at most to a claim's quantity, raw states, last epoch.

    Args:
        multiverse: multiverse.csv.
        parts: parts.csv, the default with other seeds, if there.
        claims: keys of the claims; those without a quantity there are left out.

    Returns:
        variants (how many), width, reading, and quantities: of each claim that a change raises default, highest,
        variant, and seeds (the least and the greatest over other seeds; none without parts). Changes to what the paper
        does not leave open are left out.
    """

    def raw_at_end(table: pd.DataFrame) -> pd.DataFrame:
        chosen = table["space"].isin(("raw", "all")) & (table["at"] == "end") & (table["model"] == "trained")
        return table[chosen & ~table["variant"].str.contains(NO_CHOICE)]

    runs = raw_at_end(multiverse)
    others = raw_at_end(multiverse[:0] if parts is None else parts).groupby("claim")["value"].agg(["min", "max"])
    values = runs.pivot(index="variant", columns="claim", values="value")
    quantities = {
        key: {
            "default": values.loc["default", key],
            "highest": values[key].max(),
            "variant": values[key].idxmax(),
            "seeds": others.loc[key].tolist() if key in others.index else [],
        }
        for key in claims
        if key in values and values[key].max() > values.loc["default", key]
    }
    first = runs[runs["variant"] == "default"].iloc[0]
    of = {"width": int(first["width"]), "reading": first["reading"]}
    return {"variants": len(values) - 1, **of, "quantities": quantities}


def runs_behind(claims: pd.DataFrame, grids: dict) -> dict:
    """How many runs of each width decide, and what they took.

    Args:
        claims: rows of claims.csv of one reading.
        grids: verdict.json; empty without it.

    Returns:
        widths: (width, seeds, epochs or None) each; runs, hours of one worker's training, commits.
    """
    seeds, (reading, *_) = claims.groupby("width", sort=False)["seeds"].max(), readings_in(claims)
    epochs = grids.get("seeds", {"epochs": {}})["epochs"].get(reading, {})  # other grids may have gone further
    hours = {run: h for g in grids.values() for run, h in g["hours"].items()}  # grids may share a run
    return {
        "widths": [(int(w), int(n), epochs.get(str(w))) for w, n in seeds.items() if n],
        "runs": len(hours),
        "hours": sum(hours.values()),
        "commits": sorted({commit for g in grids.values() for commit in g["commits"]}),
    }


def table1(table: pd.DataFrame) -> list[dict]:
    """Rows of Table 1, ours and the paper's: model, revision, layer (None for the paper's), and scores by label."""
    rows = []
    for (model, revision), part in table.groupby(["model", "revision"], sort=False, dropna=False):
        one, layer = part.set_index("label"), part["layer"].iloc[0]
        scores = {label: [one.loc[label, score] for score in SCORES] for label in LABELS}
        layer = None if pd.isna(layer) else int(layer)
        rows.append({"model": model, "revision": revision, "layer": layer, "scores": scores})
    return rows


def best_readings(table: pd.DataFrame | None, count: int = 5) -> list[dict]:
    """The rows of readings.csv that fit best at the last rung of each plan; none without that table."""
    if table is None:
        return []
    last = table[table["rung"] == table.groupby("plan")["rung"].transform("max")]
    best = last.sort_values("fit", ascending=False).groupby("plan", sort=False).head(count)
    return best.sort_values(["plan", "fit"], ascending=[True, False]).to_dict("records")


def searches(table: pd.DataFrame | None) -> list[dict]:
    """The best reading at the last rung of each plan of readings.csv, from how many it was chosen (`of`), and how many
    went as far as it (`last`); the widest models first. None without that table."""
    found = []
    for row in best_readings(table, 1):
        mine = table[table["plan"] == row["plan"]]
        last = mine[mine["rung"] == row["rung"]]
        found.append(row | {"of": mine["reading"].nunique(), "last": last["reading"].nunique()})
    return sorted(found, key=lambda row: -row["width"])


def apart_by_chance(scores: pd.DataFrame) -> float:
    """The share of pairs that equally large clusters of the training subset, drawn at random, would part.

    Args:
        scores: clustering.csv.
    """
    return 1 - 1 / scores.loc[(scores["split"] == "subset") & (scores["label"] == "task"), "k"].iloc[0]


def first_fall(training: pd.DataFrame) -> dict[str, float]:
    """How much of the fall of the loss that is trained on is done after one epoch, mean over seeds.

    Args:
        training: training.csv.

    Returns:
        reading, start (of the loss, nats a token), done (share of the fall), and guess, the loss of a model that gives
        every symbol the same probability.
    """
    reading = readings_in(training)[0]
    loss = training.pivot_table(index="epoch", columns="seed", values=trained_loss(reading))
    done = (loss.iloc[0] - loss.iloc[1]) / (loss.iloc[0] - loss.min())
    guess = math.log(DataSettings().vocabulary_size)
    return {"reading": reading, "start": loss.iloc[0].mean(), "done": done.mean(), "guess": guess}


def confirmed(table: pd.DataFrame | None) -> list[dict]:
    """Fit of each reading and width on fresh seeds and complete schedules: fit (mean), low, high, seeds, epochs, and
    without_late (mean), without_late_low and without_late_high, the same score without the target `late`; the widest
    models first. None without readings_confirmed.csv.

    Only runs that went as far as the furthest of their width count.
    """
    if table is None:
        return []
    whole = table[table["epochs"] == table.groupby("width")["epochs"].transform("max")]
    rest = whole.filter([name for name in FIT if name not in ("fit", "late")]).mean(axis=1)
    groups = whole.assign(rest=rest).groupby(["width", "reading"])
    found = groups.agg(
        fit=("fit", "mean"), low=("fit", "min"), high=("fit", "max"), without_late=("rest", "mean"),
        without_late_low=("rest", "min"), without_late_high=("rest", "max"), seeds=("seed", "nunique"),
        epochs=("epochs", "max"),
    )  # fmt: skip
    return found.reset_index().sort_values(["width", "fit"], ascending=[False, False]).to_dict("records")


def deciding_reading(claims: pd.DataFrame, own: str) -> str:
    """The reading whose statements about the main model rest on the most seeds in all; of equals the profile's own."""
    main = claims[(claims["width"] == WIDTHS[0]).fillna(False)]
    seeds = main.groupby("reading")["seeds"].sum() if "reading" in main else {}
    return max(seeds.keys(), key=lambda name: (seeds[name], name == own), default=own)


def starts(table: pd.DataFrame, model: str) -> dict[str, float]:
    """F1 by task of single starts of KMeans, at one model's best layer."""
    f1 = table[(table["model"] == model) & (table["label"] == "task")]["f1"]
    return {"lowest": f1.min(), "highest": f1.max(), "median": f1.median()}


def interval_of_task(table: pd.DataFrame, model: str) -> dict[str, float]:
    """Low and high of one model's F1 by task at its best layer (rows of table1_intervals.csv)."""
    mine = table[(table["model"] == model) & (table["label"] == "task") & (table["metric"] == "f1")]
    return mine[["low", "high"]].iloc[0].to_dict()


def words_alone(table: pd.DataFrame, model: str) -> float:
    """F1 by task at layer 0, which sees the input word alone."""
    at = (table["model"] == model) & (table["label"] == "task") & (table["space"] == "raw") & (table["layer"] == 0)
    return float(table.loc[at, "f1"].max())
