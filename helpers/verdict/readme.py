"""The results in README.md, made from committed tables: `python -m helpers.verdict.readme`."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import store
from helpers.analysis import alternatives
from helpers.errors import exit_status
from helpers.tables import LABELS
from helpers.verdict import judge
from helpers.verdict.claims import AT_PEAK, BY_DISTANCE, CENTRED, CLAIMS, OURS
from helpers.verdict.judge import CONDITION, FAILS, HOLDS, UNDECIDED, UNTESTED, WIDTHS

MARKS = ("<!-- made from committed tables by `python -m helpers.verdict.readme` -->", "<!-- end of results -->")
PLURAL = {
    HOLDS: "hold", CONDITION: "hold under a stated condition", FAILS: "do not hold", UNTESTED: "are not tested",
}  # fmt: skip


def readme(text: str, tables: Path) -> str:
    """The README with its results taken from the committed tables: what stands between MARKS is replaced.

    Args:
        text: of README.md.
        tables: data/laptop/tables.

    Raises:
        ValueError: the marks are not there.
    """
    start, end = (text.index(mark) for mark in MARKS)
    return text[: start + len(MARKS[0])] + "\n" + "\n\n".join(_readme_blocks(tables)) + "\n" + text[end:]


def _readme_blocks(tables: Path) -> list[str]:
    made = store.read_json(tables / "provenance.json", "run make reproduce")
    commits = sorted({facts["commit"] for facts in made.values()})
    minutes = sum(facts["longest_seconds"] for facts in made.values()) / 60
    seeds = ", ".join(str(s) for s in next(iter(made.values()))["seeds"])
    claims = pd.read_csv(tables / "claims.csv")
    split = claims["claim"].str.extract(r"^(?P<key>.*?), (?:width (?P<width>\d+))?")
    claims = claims.join(split.astype({"width": "Int64"}))
    seeds_of = claims.groupby("width", sort=False)["seeds"].max()
    shown = list(seeds_of[seeds_of > 0].index)
    columns = {f"width {w}": (claims.set_index("claim"), w) for w in shown}
    if (path := tables / "claims_outputs.csv").exists():
        outputs = pd.read_csv(path).set_index("claim")
        for w in dict.fromkeys(outputs.index.str.extract(r"width (\d+)$", expand=False)):
            columns[f"width {w}, loss on outputs alone"] = (outputs, w)
    rows = [
        [c.statement, c.where, c.paper, *(_cell(table, f"{c.key}, width {w}") for table, w in columns.values())]
        for c in (*CLAIMS, *OURS)
    ]
    gemma, llama = (
        pd.read_csv(tables / "table1.csv").query(query).set_index("label").loc[list(LABELS)]
        for query in ("source == 'ours' and model == 'gemma-3-270m'", "model == 'LLaMa-7B'")
    )
    scores = [
        [name, f"layer {gemma['layer'].iloc[0]:.0f}" if name == "gemma-3-270m" else "best layer"]
        + [" / ".join(f"{table.loc[label, m]:.3f}" for m in ("f1", "ari", "ami")) for label in LABELS]
        for name, table in (("gemma-3-270m", gemma), ("LLaMa-7B (paper)", llama))
    ]
    bench = pd.read_csv(tables / "bench.csv")
    speed = [[b.name, b.baseline_name, f"{b.ratio:.3g}"] for b in bench.itertuples(index=False) if b.ratio == b.ratio]
    return [
        _counted(claims),
        "Each has a quantity and a rule; the mean over seeds and its 95% interval decide "
        f"({_seeds(seeds_of[shown], tables)}). [All claims, with what is missing](data/laptop/tables/claims.csv).",
        _markdown(["the paper says", "where", "its number", *columns], rows),
        f"What one run of width 768 shows (`make reproduce`: profile *laptop*, seed {seeds}, commit "
        f"{', '.join(commits)}; {minutes:.0f} minutes from nothing on 2 shared cores, installation not counted):",
        _findings(tables),
        "Table 1, F1 / ARI / AMI by the paper's three identities:",
        _markdown(["model", "at", "task", "distribution", "distribution-mapping"], scores),
        f"Speed and memory (`make bench`, commit {store.read_json(tables / 'bench.json', 'run make bench')['commit']}; "
        "how many times better than the baseline, in one run on one machine):",
        _markdown(["measured", "baseline", "ratio"], speed),
    ]


def _findings(tables: Path) -> str:
    """What the profile's own run shows, in sentences whose numbers are looked up."""
    training = pd.read_csv(tables / "training.csv").set_index("epoch")
    scores, near = (pd.read_csv(tables / f"{name}.csv") for name in ("clustering", "neighbours"))
    end = scores["epoch"].max()

    def course(space: str, label: str = "task") -> str:
        """F1 of the best layer on the validation set: untrained, at its highest, at the end."""
        at = (scores["space"] == space) & (scores["label"] == label) & (scores["split"] == "validation")
        best = scores[at & (scores["layer"] > 0)].groupby("epoch")["f1"].max()
        return f"{best.iloc[0]:.2f}, {best.max():.2f} (epoch {best.idxmax()}), {best.iloc[-1]:.2f}"

    near = near[near["k"] == 10].pivot(index="epoch", columns="layer", values="same_task")
    hard = pd.read_csv(tables / "hard.csv").query("epoch == @end and layer > 0 and space == 'raw'")
    causal = pd.read_csv(tables / "causal.csv").pivot(index="layer", columns="direction", values="became_other")
    causal = causal.iloc[:-1]  # at the last layer the answer is read off the state itself
    layer = causal["task_and_input"].idxmax()
    starts = pd.read_csv(tables / "table1_restarts.csv").query("label == 'task'")["f1"]
    words = pd.read_csv(tables / "llm_layers.csv").query("label == 'task' and space == 'raw' and layer == 0")["f1"]
    best = training["accuracy_validation"].idxmax()
    return "\n".join(
        [
            f"- Validation accuracy reaches {training['accuracy_validation'].max():.2f} (epoch {best} of {end} run).",
            "- F1 of unseen instances' clusters by task, best layer, untrained, at its highest and at the end: raw "
            f"states {course('raw')}; t-SNE {course('tsne')}; less each input's mean state {course('centred')}. By "
            f"distribution and mapping, raw: {course('raw', 'distribution_mapping')}.",
            _searched(tables),
            f"- Neighbours share the task before training: {near.loc[0].max():.2f} of 10 untrained, "
            f"{near.loc[end].max():.2f} at the end, best layer each. What instructions look like is enough for that.",
            f"- Hard examples are answered rightly {hard['accuracy_hard'].iloc[0]:.0%} of the time at epoch {end}; in "
            f"raw states at most {hard['pairs_separated'].max():.0%} are in another cluster than their original, and "
            f"{hard['nearer_own_task'].max():.0%} are nearer to their own task than to it (best layer each).",
            f"- Directions between tasks are used: moved along the difference of two tasks' means, at most "
            f"{causal['task'].max():.0%} of answers become the other task's (layer {causal['task'].idxmax()}); moved "
            f"to the other task's mean for this input, which also says the answer, "
            f"{causal.loc[layer, 'task_and_input']:.0%} (layer {layer}); as far in a random direction, "
            f"{causal.loc[layer, 'random']:.0%}.",
            f"- Table 1's task F1 depends on KMeans' start: single starts at the same layer give {starts.min():.2f} to "
            f"{starts.max():.2f}, half of them at most {starts.median():.2f}. No input word occurs in two of its three "
            f"kinds of task, and clusters of the input word alone (layer 0) have F1 {words.max():.2f}.",
            *_varied(tables),
        ]
    )


def _searched(tables: Path) -> str:
    """How far the search for raw task clusters went, over every run that was searched."""
    found = [pd.read_csv(tables / "search.csv").assign(run="of this profile", grid="", variant="")]
    if (everywhere := tables / "search_grids.csv").exists():
        found.append(pd.read_csv(everywhere))
    found = pd.concat(found, ignore_index=True)
    variant = found["variant"].astype(str)
    found["outputs"] = (found["grid"] == "outputs") | variant.str.contains("loss_on=outputs")  # the loss on them alone
    found = found[~variant.str.contains("shuffled_outputs")]  # a control: nothing to learn
    raw = found[(found["view"] != "centred") & (found["clusters"] == 1) & (found["definition"] == "matched")]
    runs, ways = (len(raw.drop_duplicates(by)) for by in (["run", "width", "seed"], list(alternatives.PAPER)))
    best = raw.loc[raw.groupby("split")["f1"].idxmax()].set_index("split")
    own = raw[raw["view"].isin(("raw", "tsne")) & (raw["method"] == "kmeans")].groupby("split")["f1"].max()
    whole = raw[~raw["outputs"] & (raw["split"] == "subset")]
    paper = whole["view"].isin(("raw", "tsne")) & (whole["method"] == "kmeans")
    shown = [
        f"{best.loc[split, 'f1']:.2f} on {title} ({best.loc[split, 'view'].replace('_', ' ')}, "
        f"{best.loc[split, 'method'].replace('_', ' ')}, width {best.loc[split, 'width']} at epoch "
        f"{best.loc[split, 'epoch']}{', loss on outputs alone' if best.loc[split, 'outputs'] else ''})"
        for split, title in (("subset", "the training subset"), ("validation", "validation"))
    ]
    return (
        f"- A search over {runs} {'run' if runs == 1 else 'runs'}, up to three epochs of each and {ways} ways of "
        f"looking at raw states gives at most a matched F1 of {' and '.join(shown)}; KMeans on raw or t-SNE states, as "
        f"in the paper, {own['subset']:.2f} and {own['validation']:.2f}. With the loss on the whole sequence, on the "
        f"training subset: {whole['f1'].max():.2f}, and {whole[paper]['f1'].max():.2f} as in the paper."
    )


def _varied(tables: Path) -> list[str]:
    """What changes to what the paper leaves open can do at most, if they were tried."""
    if not (tables / "multiverse.csv").exists():
        return []
    runs = pd.read_csv(tables / "multiverse.csv").query("space == 'raw'")
    runs = runs[~runs["variant"].str.contains("shuffled_outputs")]  # a control, not a choice
    values = runs.pivot(index="variant", columns="claim", values="value")
    words = {"task_subset": "task F1 of the training subset", "task_validation": "of unseen instances",
             "hard_separate": "share of hard examples in another cluster than their original"}  # fmt: skip
    most = [
        f"{text} {values.loc['default', key]:.2f} to {values[key].max():.2f} ({values[key].idxmax()})"
        for key, text in words.items()
    ]
    return [
        f"- Of {len(values) - 1} changes to what the paper leaves open (width {runs['width'].iloc[0]}, one seed, raw "
        f"states, last epoch), those that raise it most: {'; '.join(most)}."
    ]


def _counted(claims: pd.DataFrame) -> str:
    """How many of the paper's statements hold, at its own widths and models, and at others."""
    paper = claims["width"].isna() | claims["width"].isin(WIDTHS)

    def counts(chosen: pd.Series) -> str:
        rows = judge.of_paper(claims[chosen])
        found, undecided = rows["verdict"].value_counts(), (rows["verdict"].eq(UNTESTED) & rows["seeds"].gt(0)).sum()
        text = ", ".join(f"{found[v]} {words}" for v, words in PLURAL.items() if v in found)
        return text + (f" ({undecided} of them measured, but undecided)" if undecided else "")

    text = f"**The paper's statements, at its three widths and about pretrained models: {counts(paper)}.**"
    for width in claims.loc[~paper, "width"].unique():
        text += (
            f" At width {width}, a stand-in that 2 cores afford: {counts((claims['width'] == width).fillna(False))}."
        )
    return text


def _seeds(seeds_of: pd.Series, tables: Path) -> str:
    """How many runs of each width decide, and what they took."""
    grids = store.known_json(tables / "verdict.json") or {}
    epochs = grids.get("seeds", {"epochs": {}})["epochs"]  # another grid may have gone further at the same width
    to = {w: f" to epoch {epochs[str(w)]}" if str(w) in epochs else "" for w in seeds_of.index}
    seeds = [f"{n} of width {w}{to[w]}" for w, n in seeds_of.items()]
    if not grids:
        return f"seeds: {', '.join(seeds)}; `make verdict` adds more"
    hours = {run: h for g in grids.values() for run, h in g["hours"].items()}  # grids may share a run
    by = ", ".join(sorted({commit for g in grids.values() for commit in g["commits"]}))
    return (
        f"seeds: {', '.join(seeds)}; `make verdict`, {len(hours)} runs with variants, {sum(hours.values()):.1f} hours "
        f"of one worker's training, commit {by}"
    )


def _cell(decided: pd.DataFrame, claim: str) -> str:
    """A claim at one width in few words: the verdict, the mean and its interval; nothing where it is not asked."""
    if claim not in decided.index:
        return ""
    row = decided.loc[claim]
    if not row["seeds"]:
        return UNTESTED
    short = {CENTRED: "input-centred", AT_PEAK: "at its best epoch", BY_DISTANCE: "by distance"}
    met = " or ".join(words for text, words in short.items() if text in str(row["condition"]))
    verdict = f"{HOLDS} {met}" if row["verdict"] == CONDITION else row["verdict"]
    if row["condition"] == UNDECIDED:
        verdict += ", undecided"
    between = "one seed" if row["seeds"] == 1 else f"{row['low']:.2f} to {row['high']:.2f}"
    untrained = "" if np.isnan(row["untrained"]) else f"; untrained {row['untrained']:.2f}"
    return f"**{verdict}**: {row['ours']:.2f} ({between}{untrained})"


def _markdown(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line: put the committed results into README.md; returns the exit status."""
    argparse.ArgumentParser(prog="python -m helpers.verdict.readme", description=__doc__).parse_args(arguments)
    path = store.REPOSITORY / "README.md"

    def write() -> None:
        text = readme(path.read_text(), store.REPOSITORY / "data" / "laptop" / "tables")
        store.write_bytes(path, text.encode())

    return exit_status(write)


if __name__ == "__main__":
    sys.exit(main())
