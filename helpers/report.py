"""The report: one self-contained HTML page, the verdict first, then every figure and table beside the paper's.

`make report`, or at the end of `make reproduce`: `data/<profile>/report.html`. It shows committed or generated tables
and figures and computes nothing; each of them links to the notebook that made it.
"""

import argparse
import base64
import sys
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from helpers import llms, natural, search, settings, store
from helpers.claims import AT_PEAK, BY_DISTANCE, CENTRED, CLAIMS, OURS
from helpers.figures import SPACE_TITLES
from helpers.table1 import LABELS
from helpers.verdict import CONDITION, FAILS, HOLDS, UNDECIDED, UNTESTED, WIDTHS

MARKS = ("<!-- made from committed tables by `python -m helpers.report --readme` -->", "<!-- end of results -->")
TEMPLATE = Path(__file__).with_name("report.html")
PLURAL = {
    HOLDS: "hold", CONDITION: "hold under a stated condition", FAILS: "do not hold", UNTESTED: "are not tested",
}  # fmt: skip
CLASSES = {HOLDS: "holds", CONDITION: "condition", FAILS: "fails", UNTESTED: "untested"}


@dataclass(frozen=True)
class Shown:
    """A figure of the paper, and the files that show ours.

    Attributes:
        number: the paper's.
        title: what it shows, for the heading and the alternative text.
        stems: file names without suffix, in the order to show them.
        notebook: that made them.
        shows: where in the paper the claims stand that it bears on, and the width; "" for none.
    """

    number: str
    title: str
    stems: tuple[str, ...]
    notebook: str
    shows: tuple[str, int] = ("", 0)


def _spaces(stem: str) -> tuple[str, ...]:
    return tuple(f"{stem}_{space}" for space in ("raw", "tsne", "centred"))


FIGURES = (
    Shown("Figure 1", "F1 of KMeans against three identities, by layer and epoch, width 768",
          _spaces("fig1_clustering"), "03_clustering", ("Fig. 1", 768)),
    Shown("Figure 2", "Training loss and task accuracy, width 768", ("fig2_training_w768",), "02_train",
          ("Fig. 2", 768)),
    Shown("Figure 3", "Neighbours with the same task, and KNN accuracy, width 768", ("fig3_neighbours",), "04_knn",
          ("Fig. 3", 768)),
    Shown("Figure 4", "F1, ARI and AMI by layer and epoch, width 768", _spaces("fig4_scores"), "03_clustering",
          ("Fig. 1", 768)),
    Shown("Figure 5", "F1, ARI and AMI, width 32", _spaces("fig5_scores"), "03_clustering", ("Fig. 1", 32)),
    Shown("Figure 6", "Neighbours, width 2,048", ("fig6_neighbours",), "04_knn", ("Fig. 3", 2048)),
    Shown("Figure 7", "F1, ARI and AMI, width 2,048", _spaces("fig7_scores"), "03_clustering", ("Fig. 1", 2048)),
    Shown("Figure 8", "Neighbours, width 32", ("fig8_neighbours",), "04_knn", ("Fig. 3", 32)),
)  # fmt: skip
BEYOND = (
    Shown("Claims", "Quantities and intervals of every claim", ("claims",), "07_verdict"),
    Shown("Loss", "The same with the loss on outputs alone", ("claims_outputs",), "07_verdict"),
    Shown("Controls", "Task clusters beside chance, surface, fixed inputs and a linear probe", ("controls_w768",),
          "07_verdict"),
    Shown("Causality", "Answers after states are moved to another task's place", ("causal_w768",), "07_verdict"),
    Shown("Search", "Highest F1 by task, by view, method, number of clusters and definition: this profile's run, and "
          "all runs of make verdict", ("search", "search_grids"), "07_verdict"),
    Shown("Multiverse", "Claims under every variant of what the paper leaves open", ("multiverse",), "07_verdict"),
    Shown("Variance", "Variance of the states explained by input, task, distribution and output",
          ("variance_w768_subset", "variance_w768_validation"), "03_clustering"),
    Shown("Hard examples", "How hard examples part from their originals", ("hard_examples_w768",), "03_clustering"),
    Shown("Explorer", "Hidden states in the plane: layers, inputs, hard examples, training, a pretrained model",
          tuple(f"explorer_{name}" for name in ("layers", "input", "hard", "training", "llm")), "06_explore"),
    Shown("Pretrained models", "Scores at every layer", ("llm_layers",), "05_probe_llms"),
)  # fmt: skip
SECTIONS = {
    "Table 3": (settings.DataSettings, "data"),
    "Table 4": (settings.ModelSettings, "model"),
    "Table 4, training": (settings.TrainingSettings, "training"),
    "Table 5": (settings.TsneSettings, "tsne"),
}


def write(profile: str, overrides: str = "") -> Path:
    """Write the report of a profile and return its path.

    Raises:
        settings.SettingsError: a profile or setting that cannot be.
        store.ArtefactError: the profile has no tables yet.
    """
    chosen = settings.resolve(profile, overrides)
    name = settings.output_name(profile, overrides)
    tables = store.DATA / name / "tables"
    if not (tables / "claims.csv").exists():
        raise store.ArtefactError(f"{tables / 'claims.csv'} is missing; run make reproduce PROFILE={profile} first")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["shown"] = _shown
    claims = _claims(tables)
    page = environment.from_string(TEMPLATE.read_text()).render(
        profile=name,
        claims=claims,
        counts=_counts(tables),
        figures=[_figure(f, store.FIGURES / name, claims) for f in FIGURES],
        beyond=[b for f in BEYOND if (b := _figure(f, store.FIGURES / name, claims))["images"]],
        tables=_tables(tables, chosen),
        provenance=_provenance(tables),
    )
    path = store.DATA / name / "report.html"
    store.write_bytes(path, page.encode())
    return path


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
    runs, ways = (len(raw.drop_duplicates(by)) for by in (["run", "width", "seed"], list(search.PAPER)))
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


def _of_paper(claims: pd.DataFrame) -> pd.DataFrame:
    """Rows of claims.csv without the claims that are not in the paper."""
    return claims[~claims["claim"].str.partition(",")[0].isin([claim.key for claim in OURS])]


def _counted(claims: pd.DataFrame) -> str:
    """How many of the paper's statements hold, at its own widths and models, and at others."""
    paper = claims["width"].isna() | claims["width"].isin(WIDTHS)

    def counts(chosen: pd.Series) -> str:
        rows = _of_paper(claims[chosen])
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


def _shown(value: object) -> str:
    """Numbers to three digits, nothing for what is missing."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _claims(tables: Path) -> list[dict]:
    rows = pd.read_csv(tables / "claims.csv").astype(object)
    rows = rows.where(rows.notna(), None).to_dict("records")
    said = {claim.key: claim.statement for claim in (*CLAIMS, *OURS)}
    for row in rows:
        key, _, rest = row["claim"].partition(", ")
        of_models = {
            "table1": f"{rest} clusters by task as Table 1 says",
            "pretrained": f"States of models {rest} cluster by task",
        }
        row |= {"css": CLASSES[row["verdict"]], "said": said.get(key) or of_models[key]}
        row["width"] = rest if key in said else ""
    return rows


def _counts(tables: Path) -> dict[str, int]:
    counts = _of_paper(pd.read_csv(tables / "claims.csv"))["verdict"].value_counts()
    return {verdict: int(counts.get(verdict, 0)) for verdict in CLASSES}


def _figure(shown: Shown, folder: Path, claims: list[dict]) -> dict:
    place, width = shown.shows
    beside = [c for c in claims if place and place in c["where"] and c["width"] == f"width {width}"]
    images = []
    for stem in shown.stems:
        path = folder / f"{stem}.svg"
        if path.exists():
            content = base64.b64encode(path.read_bytes()).decode()
            view = SPACE_TITLES.get(stem.rpartition("_")[2])
            images.append({"data": content, "alt": f"{shown.title}, {view}" if view else shown.title, "id": stem})
    return {
        "number": shown.number,
        "title": shown.title,
        "images": images,
        "notebook": shown.notebook,
        "claims": beside,
    }


def _tables(tables: Path, chosen: settings.Settings) -> list[dict]:
    found = [
        _csv(tables, "Table 1", "Clustering of pretrained models' states at the best layer", "table1", "05_probe_llms"),
        _csv(tables, "Table 2", "Sizes of the data sets", "table2", "01_generate_data"),
    ]
    for number, (section, name) in SECTIONS.items():
        here, paper = getattr(chosen, name), section()
        rows = [[title, getattr(paper, field), getattr(here, field)]
                for field, title in settings.paper_names(section).items()]  # fmt: skip
        notes = "None stands for the paper's rule by width, or for all that are available."
        found.append({"number": number, "title": f"Settings of {name}", "columns": ["setting", "paper", "here"],
                      "rows": rows, "notebook": "01_generate_data", "notes": notes})  # fmt: skip
    found.append(_csv(tables, "Table 6", "Sizes of the models", "table6", "02_train"))
    found[-1]["rows"] += [[f"{m.name} (width {m.hidden_dimension})", "", m.parameters] for m in llms.PAPER_MODELS]
    rows = [[t.category, t.name.replace("_", " "), " · ".join(f"{x} → {t.pairs[x]}" for x in list(t.pairs)[:3])]
            for t in natural.load()]  # fmt: skip
    found.append({"number": "Table 7", "title": "The natural tasks", "columns": ["category", "task", "for example"],
                  "rows": rows, "notebook": "05_probe_llms", "notes": ""})  # fmt: skip
    return found


def _csv(tables: Path, number: str, title: str, name: str, notebook: str) -> dict:
    frame = pd.read_csv(tables / f"{name}.csv").astype(object)
    rows = frame.where(frame.notna(), None).values.tolist()
    return {"number": number, "title": title, "columns": list(frame), "rows": rows, "notebook": notebook, "notes": ""}


def _provenance(tables: Path) -> list[dict]:
    known = store.read_json(tables / "provenance.json", "run make reproduce")
    return [{"notebook": name, **facts} for name, facts in known.items()]


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m helpers.report", description="Write data/<profile>/report.html.")
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--set", default="", metavar="'NAME=VALUE ...'", help="the settings that were overridden")
    parser.add_argument("--readme", action="store_true", help="put the committed results into README.md instead")
    given = parser.parse_args(arguments)
    try:
        if given.readme:
            path = TEMPLATE.parent.parent / "README.md"
            store.write_bytes(path, readme(path.read_text(), store.DATA / "laptop" / "tables").encode())
            return 0
        print(write(given.profile, given.set))
    except (settings.SettingsError, store.ArtefactError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
