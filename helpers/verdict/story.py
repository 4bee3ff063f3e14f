"""What was found, in three sentences, five statements and one figure: README begins with them, and so does the report.

All of it is computed from tables: which statements are named as reproduced follows from their verdicts.
"""

import pandas as pd
from matplotlib.figure import Figure

from helpers import figures
from helpers.tables import runs_in
from helpers.verdict import judge
from helpers.verdict.claims import CENTRED, CLAIMS, END, PEAK
from helpers.verdict.judge import CONDITION, FAILS, HOLDS, NO_MORE, TRAINED, UNMEASURED

WIDTH = 768  # the paper's main model
OUTPUTS = "loss on outputs"
# The five statements that matter most, as clauses. The first says that there is anything to explain: the model learns the
# task. The next two are the paper's title, on instances it was trained on and on others. The fourth is its evidence
# that clusters follow the task and not the words of the instruction. The fifth is what it says clusters are good for.
FIVE = {
    "accuracy_validation": "the model comes to solve unseen instances",
    "task_subset": "hidden states of training instances come to cluster by task",
    "task_validation": "hidden states of unseen instances come to cluster by task",
    "hard_separate": "hard examples part from the examples that they were made from",
    "same_task_share": "training makes neighbours with the same task much more frequent",
}
MEASURED = {"accuracy_validation": "accuracy", "hard_separate": "share", "same_task_share": "gain"}  # else F1


def main_width(claims: pd.DataFrame) -> int:
    """The paper's main model, or the first width that was measured where that was not."""
    measured = claims.loc[claims["width"].notna() & (claims["seeds"] > 0), "width"].astype(int).tolist()
    return measured[0] if measured and WIDTH not in measured else WIDTH


def of_width(claims: pd.DataFrame, width: int) -> pd.DataFrame:
    """The paper's statements at one width, by claim."""
    return judge.of_paper(claims[(claims["width"] == width).fillna(False)]).set_index("claim")


def sentences(known: dict) -> dict[str, str]:
    """What reproduces, what does not, and what changes it, a sentence each.

    Args:
        known: of `facts.of_profile`.
    """
    width = main_width(known["claims"])
    mine = of_width(known["claims"], width)
    return {
        "What reproduces": _listed(mine, (HOLDS, NO_MORE), "none of the five statements that matter most")
        + f"; in all, {_count(mine, HOLDS)} of the paper's {len(mine)} statements about this model ({_of(mine)}) hold, "
        f"and {_count(mine, NO_MORE)} hold, but no more than for the untrained model.",
        "What does not": _listed(mine, (FAILS,), "none of the five statements that matter most fails")
        + f"; in all, {_count(mine, FAILS)} do not hold{_unsure(mine)}.",
        "What changes it": _changes(known, width),
    }


def _listed(mine: pd.DataFrame, verdicts: tuple[str, ...], none: str) -> str:
    said = [_clause(mine.loc[key], key) for key in FIVE if key in mine.index and mine.loc[key, "verdict"] in verdicts]
    return "; ".join(said) or none


def _of(mine: pd.DataFrame) -> str:
    """Which runs decide, leaving out statements that fewer seeds can tell of."""
    return runs_in(mine[mine["seeds"] == mine["seeds"].max()])


def _clause(row: pd.Series, key: str) -> str:
    """That a statement is so, with our number, the untrained model's and the paper's."""
    beside = [f"{MEASURED.get(key, 'F1')} {row['ours']:.2f}"]
    if pd.notna(row["untrained"]):
        beside.append(f"untrained {row['untrained']:.2f}")
    beside.append(f"paper: {row['paper'].partition(' (')[0]}")
    return f"that {FIVE[key]} ({', '.join(beside)})"


def _count(mine: pd.DataFrame, *verdicts: str) -> int:
    return int(mine["verdict"].isin(verdicts).sum())


def _unsure(mine: pd.DataFrame) -> str:
    conditions, open_ = _count(mine, CONDITION), _count(mine, judge.UNDECIDED, UNMEASURED)
    parts = [f"{conditions} hold under a condition"] * bool(conditions)
    return "".join(f", {part}" for part in [*parts, f"{open_} are undecided or not measured"])


def _changes(known: dict, width: int) -> str:
    """How clusters of unseen instances fare at another epoch or in another space, and verdicts with other choices."""
    parts = [part for part in (_places(known, width), _with_outputs(known), *_with_readings(known, width)) if part]
    return "; ".join(parts) + "." if parts else "nothing else has been measured yet (`make verdict`)."


def _places(known: dict, width: int) -> str:
    if known["quantities"] is None:
        return ""
    rows = known["quantities"].query("claim == 'task_validation' and model == @TRAINED and width == @width")
    means = rows.groupby(["space", "at"])["value"].mean()
    own = {at: means[[i for i in means.index if i[0] in ("raw", "tsne") and i[1] == at]] for at in (END, PEAK)}
    if own[END].empty:
        return ""
    others = [f"{own[PEAK].max():.2f} at the epoch where it is highest"] if len(own[PEAK]) else []
    if ("centred", END) in means.index:
        others.append(f"{means['centred', END]:.2f} at the end {CENTRED}")
    but = f" and {', and '.join(others)}" if others else ""
    return f"the F1 by task of unseen instances is {own[END].max():.2f} at the end of training{but}"


def _with_outputs(known: dict) -> str:
    outputs = known["claims_outputs"]
    if outputs is None:
        return ""
    width = int(outputs["width"].iloc[0])
    theirs, mine = of_width(outputs, width), of_width(known["claims"], width)
    count = f"{_count(theirs, HOLDS)} of {len(theirs)} statements hold at width {width:,}"
    instead = f" instead of {_count(mine, HOLDS)}" if len(mine) else ""
    return f"with the loss on the output token alone, {count}{instead}"


def _with_readings(known: dict, width: int) -> list[str]:
    said = []
    for reading, rows in known["other_readings"].items():
        mine = of_width(rows, width)
        if len(mine) and (mine["seeds"] > 0).any():
            said.append(f"with the choices of reading {reading}, {_count(mine, HOLDS)} of {len(mine)} hold")
    return said


def kinds_of_run(known: dict) -> dict[str, pd.DataFrame]:
    """Kind of run in words -> its rows of claims.csv by claim: the main model first, other widths, losses, readings."""
    first, claims = main_width(known["claims"]), known["claims"]
    found = {}
    for reading, rows in ({"": claims} | known["other_readings"]).items():
        measured = rows[rows["width"].notna() & (rows["seeds"] > 0)]
        for width in sorted(set(measured["width"].astype(int)), key=lambda w: w != first):
            found[f"{width:,}" + (f", {reading}" if reading else "")] = rows[rows["width"] == width].set_index("claim")
    if known["claims_outputs"] is not None:
        for width, rows in known["claims_outputs"].groupby("width", sort=False):
            found[f"{width:,}, {OUTPUTS}"] = rows.set_index("claim")
    return found


def five(known: dict) -> pd.DataFrame:
    """Rows of claims.csv of the five statements that matter most, of the main model, by claim."""
    mine = of_width(known["claims"], main_width(known["claims"]))
    return mine.loc[[key for key in FIVE if key in mine.index]]


def figure(known: dict) -> Figure:
    """Clusters and accuracy over training beside the verdict on every statement.

    Args:
        known: of `facts.of_profile`.
    """
    training, scores = known["training"], known["clustering"]
    width = main_width(known["claims"])
    width = width if width in set(training["width"]) else int(training["width"].iloc[0])
    training, scores = training[training["width"] == width], scores[scores["width"] == width]
    courses = _courses(training, scores)
    verdicts = pd.DataFrame({name: rows["verdict"] for name, rows in kinds_of_run(known).items()})
    verdicts = verdicts.reindex([claim.key for claim in CLAIMS if claim.key in verdicts.index])
    level = next(claim.rule.above for claim in CLAIMS if claim.key == "task_subset")
    return figures.summary(courses, level, verdicts, _title(courses), _runs(training, known["claims"]))


def _courses(training: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """By epoch, means over seeds: accuracy and, in each space, F1 by task of the best layer; all of unseen instances."""
    task = scores[(scores["label"] == "task") & (scores["split"] == "validation") & (scores["layer"] > 0)]
    best = task.groupby(["space", "seed", "epoch"])["f1"].max().groupby(["space", "epoch"]).mean().unstack("space")
    accuracy = training.groupby("epoch")["accuracy_validation"].mean().rename("accuracy")
    return pd.concat([accuracy, best.reindex(columns=["raw", "tsne"])], axis=1).sort_index().reset_index()


FADED = 0.1  # so much below its highest, a score has fallen
LEARNED = 0.8  # the accuracy that the rule for 'high' asks for


def _title(courses: pd.DataFrame) -> str:
    """The figure's message, from the numbers in it."""
    space = courses[["raw", "tsne"]].max().idxmax()
    f1 = courses.set_index("epoch")[space].dropna()
    accuracy = courses["accuracy"].max()
    learned = "Unseen instances are solved" if accuracy >= LEARNED else "Not all unseen instances are solved"
    fade = f" at epoch {f1.idxmax()}, then fade to {f1.iloc[-1]:.2f}" if f1.max() - f1.iloc[-1] > FADED else ""
    return f"{learned} (accuracy {accuracy:.2f})\nTheir clusters by task reach F1 {f1.max():.2f}{fade}"


def _runs(training: pd.DataFrame, claims: pd.DataFrame) -> str:
    """Which runs either panel shows."""
    decided = claims[claims["width"].notna() & (claims["seeds"] > 0)]
    most = decided.groupby("width")["seeds"].max()
    right = " to ".join(str(n) for n in sorted({most.min(), most.max()})) if len(most) else "no"
    return f"left: {runs_in(training)}; right: {right} seeds a width"
