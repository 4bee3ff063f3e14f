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
import pandas as pd

from helpers import settings, store
from helpers.errors import exit_status
from helpers.figures.style import SPACE_TITLES
from helpers.pretrained import loading, natural
from helpers.verdict import judge
from helpers.verdict.claims import CLAIMS, OURS
from helpers.verdict.judge import CONDITION, FAILS, HOLDS, UNTESTED

TEMPLATE = Path(__file__).with_name("report.html")
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
    counts = judge.of_paper(pd.read_csv(tables / "claims.csv"))["verdict"].value_counts()
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
    found[-1]["rows"] += [[f"{m.name} (width {m.hidden_dimension})", "", m.parameters] for m in loading.PAPER_MODELS]
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
    parser = argparse.ArgumentParser(
        prog="python -m helpers.verdict.page", description="Write data/<profile>/report.html."
    )
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--set", default="", metavar="'NAME=VALUE ...'", help="the settings that were overridden")
    given = parser.parse_args(arguments)
    return exit_status(lambda: print(write(given.profile, given.set)))


if __name__ == "__main__":
    sys.exit(main())
