"""The report: one self-contained HTML page, what was found first, then every figure and table beside the paper's.

`make report`, or at the end of `make reproduce`: `data/<profile>/report.html`. It shows tables and figures that are
there; each of them links to the notebook that made it. On paper, the folds of statements are open and the others as
they are on the screen.
"""

import base64
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from helpers import profiles, settings, store
from helpers.errors import exit_status
from helpers.figures.names import FIGURES, stem
from helpers.figures.style import SPACE_TITLES
from helpers.pretrained import natural
from helpers.pretrained.paper_models import PAPER_MODELS
from helpers.rows import readings_in
from helpers.table_folder import TableFolder
from helpers.tables import LABELS
from helpers.verdict import facts, gather, readme, redraw, story
from helpers.verdict.claims import OURS
from helpers.verdict.judge import CONDITION, FAILS, HOLDS, NO_MORE, UNDECIDED, UNMEASURED, how_many

TEMPLATE = Path(__file__).with_name("report.html")
CLASSES = {
    HOLDS: "holds", NO_MORE: "no-more", CONDITION: "condition", FAILS: "fails", UNDECIDED: "undecided",
    UNMEASURED: "unmeasured",
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """A figure of the paper, and the files that show ours.

    Attributes:
        number: the paper's.
        title: what it shows, for the heading and the alternative text.
        stems: file names without suffix, in the order to show them.
        notebook: that made them.
        shows: where in the paper the claims stand that it bears on, and the width; "" for none.
        folded: how many of the files, from the end, are shown on a click.
    """

    number: str
    title: str
    stems: tuple[str, ...]
    notebook: str
    shows: tuple[str, int] = ("", 0)
    folded: int = 0


def _spaces(stem: str) -> tuple[str, ...]:
    return tuple(f"{stem}_{space}" for space in ("raw", "tsne", "centred"))


TITLES = {
    "f1": "F1 of KMeans against three identities, by layer and epoch",
    "training": "Training loss and task accuracy",
    "neighbours": "Neighbours with the same task, and KNN accuracy",
    "scores": "F1, ARI and AMI by layer and epoch",
}
NOTEBOOKS = {"f1": "03_clustering", "training": "02_train", "neighbours": "04_knn", "scores": "03_clustering"}
BEARS_ON = {"f1": "Fig. 1", "training": "Fig. 2", "neighbours": "Fig. 3", "scores": "Fig. 1"}


def _of_paper(shows: str, width: int) -> Shown:
    name = stem(shows, width)
    stems = _spaces(name) if shows in ("f1", "scores") else (name,)
    title = f"{TITLES[shows]}, width {width:,}"
    folded = {"f1": 1, "scores": 3}.get(shows, 0)  # Figure 4 repeats Figure 1; the third space is not the paper's
    bears_on = (BEARS_ON[shows] if shows != "scores" else "", width)  # asked once, beside Figure 1
    return Shown(f"Figure {FIGURES[shows, width]}", title, stems, NOTEBOOKS[shows], bears_on, folded)


OF_PAPER = tuple(_of_paper(*place) for place in FIGURES)
SECTIONS = {
    "Table 3": (settings.DataSettings, "data"),
    "Table 4": (settings.ModelSettings, "model"),
    "Table 4, training": (settings.TrainingSettings, "training"),
    "Table 5": (settings.TsneSettings, "tsne"),
}


def _beyond(width: int) -> tuple[Shown, ...]:
    """Figures that the paper has not; `width` is that of those that show one model."""
    return (
        Shown("Statements", "The quantity of every statement, with its interval", ("claims", "claims_ours"),
              "10_verdict"),
        Shown("High", "Verdicts for several numbers that 'high' may mean", ("thresholds",), "10_verdict"),
        Shown("Loss", "The quantity of every statement with the loss on outputs alone", ("claims_outputs",),
              "09_readings"),
        Shown("Controls", "Task clusters beside chance, surface, fixed inputs and a linear probe",
              (f"controls_w{width}",), "07_controls"),
        Shown("Interventions", "Answers after states are moved to another task's place",
              (f"interventions_w{width}",), "08_interventions"),
        Shown("Alternatives", "Highest F1 by task, by space, method, number of clusters and definition of F1",
              ("alternatives", "alternatives_grids"), "09_readings"),
        Shown("Multiverse", "The quantity of every statement under one change to what the paper leaves open",
              ("multiverse",), "09_readings"),
        Shown("Readings", "How well searched readings fit what the paper shows apart from its clusters",
              ("readings",), "09_readings"),
        Shown("Variance", "Variance of the states explained by input, task, distribution and output",
              (f"variance_w{width}_subset", f"variance_w{width}_validation"), "07_controls"),
        Shown("Hard examples", "How hard examples part from their originals", (f"hard_examples_w{width}",),
              "03_clustering"),
        Shown("Explorer", "Hidden states in two dimensions: layers, inputs, hard examples, training, pretrained",
              tuple(f"explorer_{name}" for name in ("layers", "input", "hard", "training", "llm")), "06_explore"),
        Shown("Pretrained models", "Scores at every layer", ("llm_layers",), "05_probe_llms"),
    )  # fmt: skip


def write(profile: str, overrides: str = "") -> Path:
    """Write the report of a profile and return its path.

    Raises:
        settings.SettingsError: a profile or setting that cannot be.
        store.ArtefactError: the profile has no tables yet.
    """
    chosen = profiles.resolve(profile, overrides)
    name = profiles.output_name(profile, overrides)
    tables = TableFolder(store.DATA / name / "tables")
    if "claims" not in tables:
        missing = tables.path / "claims.csv"
        chosen_by = f' SET="{overrides.strip()}"' if overrides.strip() else ""
        raise store.ArtefactError(f"{missing} is missing; run make reproduce PROFILE={profile}{chosen_by} first")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"shown": _shown, "number": readme.number, "between": readme.between}
    known = gather.of_story(tables)
    claims = _claims(tables, known["reading"])
    folder = store.FIGURES / name
    page = environment.from_string(TEMPLATE.read_text()).render(
        profile=name,
        found=_found(known),
        folds=_folds(claims, known["reading"]),
        counts=facts.counts_by_width(known["claims"]),
        reading=known["reading"],
        figures=[_figure(f, folder, _of_deciding(claims, known["reading"])) for f in OF_PAPER],
        beyond=[
            *_flips(tables),
            *(b for f in _beyond(story.width_of_profile(known)) if (b := _figure(f, folder, []))["images"]),
        ],
        tables=_tables(tables, chosen),
        provenance=_provenance(tables),
        how_many=how_many,
        several=bool(known["other_readings"]),
        own=known["own"],
    )
    path = store.DATA / name / "report.html"
    store.write_bytes(path, page.encode())
    return path


def _found(known: dict) -> dict:
    """What README begins with: sentences, figure and the five statements that matter most."""
    rows = story.five(known).astype(object)
    five = rows.where(rows.notna(), None).to_dict("index")
    return {
        "sentences": story.sentences(known),
        "own_run": story.own_run(known),
        "figure": {"data": _inline(story.figure(known)), "alt": story.title(known).replace("\n", ". "), "id": "found"},
        "five": [
            row | {"said": story.FIVE[key], "measured": story.measured(key), "css": CLASSES[row["verdict"]]}
            for key, row in five.items()
        ],
    }


def _inline(figure: Figure) -> str:
    """A figure as SVG in base64."""
    with io.BytesIO() as file:
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
        return base64.b64encode(file.getvalue()).decode()


def _flips(tables: TableFolder) -> list[dict]:
    """What flips what, which no notebook draws; nothing without the runs of make verdict."""
    figure = redraw.flips(tables)
    if figure is None:
        return []
    title = figure.get_suptitle().splitlines()[0]
    image = {"data": _inline(figure), "alt": title, "id": "flips"}
    return [{"number": "Choices", "title": title, "images": [image], "folded": [], "notebook": "",
             "claims": []}]  # fmt: skip


def _folds(claims: list[dict], reading: str) -> list[dict]:
    """Every statement, by verdict: the verdict, its class, its rows, and how many are counted among the paper's."""
    ours, deciding = {claim.key for claim in OURS}, _of_deciding(claims, reading)
    found = []
    for verdict, css in CLASSES.items():
        if rows := [c for c in claims if c["verdict"] == verdict]:
            counted = sum(c["claim"] not in ours and c in deciding for c in rows)
            found.append({"verdict": verdict, "css": css, "rows": rows, "counted": counted})
    return found


def _of_deciding(claims: list[dict], reading: str) -> list[dict]:
    """The rows of the reading that decides, and those of pretrained models."""
    return [c for c in claims if c["reading"] in (None, reading)]


def _shown(value: object) -> str:
    """Numbers to three decimals, or to what small ones need; nothing for what is missing."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) >= 0.001 or not value else f"{value:g}"


def _claims(tables: TableFolder, reading: str) -> list[dict]:
    """Rows of claims.csv, with statements (said), places (width, and reading where there are several) and classes.

    Rows of the reading that decides come first; of others there is what was measured.
    """
    rows = tables["claims"].astype(object)
    several = len(readings_in(rows)) > 1
    if several:
        own = rows["reading"].isna() | (rows["reading"] == reading)
        rows = pd.concat([rows[own], rows[~own & (rows["seeds"] > 0)]])
    rows = rows.where(rows.notna(), None).to_dict("records")
    of_models = {"table1": "{} clusters by task as Table 1 says", "pretrained": "States of models {} cluster by task"}
    for row in rows:
        statement = redraw.STATEMENTS.get(row["claim"]) or of_models[row["claim"]].format(row["about"])
        width = f"{int(row['width']):,}" if row["width"] else ""
        place = ", ".join(filter(None, (width, row["reading"] if several else "")))
        row |= {"css": CLASSES[row["verdict"]], "said": statement, "place": place}
    return rows


def _figure(shown: Shown, folder: Path, claims: list[dict]) -> dict:
    place, width = shown.shows
    beside = [c for c in claims if place and place in c["where"] and c["width"] == width]
    images = []
    for name in shown.stems:
        path = folder / f"{name}.svg"
        if path.exists():
            content = base64.b64encode(path.read_bytes()).decode()
            space = SPACE_TITLES.get(name.rpartition("_")[2])
            images.append({"data": content, "alt": f"{shown.title}, {space}" if space else shown.title, "id": name})
    first = max(0, len(images) - shown.folded)
    return {
        "number": shown.number,
        "title": shown.title,
        "images": images[:first],
        "folded": images[first:],
        "notebook": shown.notebook,
        "claims": beside,
    }


def _tables(tables: TableFolder, chosen: settings.Settings) -> list[dict]:
    found = [
        _table1(tables),
        _csv(tables, "Table 2", "Sizes of the data sets", "table2", "01_generate_data"),
    ]
    for number, (section, name) in SECTIONS.items():
        here, paper = getattr(chosen, name), section()
        rows = [[title, *("None" if (v := getattr(s, field)) is None else v for s in (paper, here))]
                for field, title in settings.paper_names(section).items()]  # fmt: skip
        notes = "None stands for the paper's rule by width, or for all that are available."
        of = {"data": "the data", "model": "the model", "tsne": "t-SNE"}.get(name, name)
        found.append({"number": number, "title": f"Settings of {of}", "columns": ["setting", "paper", "here"],
                      "rows": rows, "notebook": "01_generate_data", "notes": notes})  # fmt: skip
    found.append(_csv(tables, "Table 6", "Sizes of the models", "table6", "02_train"))
    found[-1]["rows"] += [[f"{m.name} (width {m.hidden_dimension})", "", m.parameters] for m in PAPER_MODELS]
    rows = [[t.category, t.name.replace("_", " "), " · ".join(f"{x} → {t.pairs[x]}" for x in list(t.pairs)[:3])]
            for t in natural.load()]  # fmt: skip
    found.append({"number": "Table 7", "title": "The natural tasks", "columns": ["category", "task", "for example"],
                  "rows": rows, "notebook": "05_probe_llms", "notes": ""})  # fmt: skip
    return found


def _table1(tables: TableFolder) -> dict:
    """A row a model, ours first, and a column an identity, as in the paper."""
    rows = []
    for one in facts.table1(tables["table1"]):
        here = "in the paper" if one["layer"] is None else f"revision {one['revision']}, here: layer {one['layer']}"
        scores = (" / ".join(f"{score:.3f}" for score in three) for three in one["scores"].values())
        rows.append([f"{one['model']}, {here}", *scores])
    title = "Clustering of pretrained models' states at the best layer: F1 / ARI / AMI"
    columns = ["model", *(f"by {label.replace('_', '-')}" for label in LABELS)]
    return {"number": "Table 1", "title": title, "columns": columns, "rows": rows, "notebook": "05_probe_llms",
            "notes": ""}  # fmt: skip


def _csv(tables: TableFolder, number: str, title: str, name: str, notebook: str) -> dict:
    frame = tables[name].astype(object)
    rows = frame.where(frame.notna(), None).values.tolist()
    return {"number": number, "title": title, "columns": list(frame), "rows": rows, "notebook": notebook, "notes": ""}


def _provenance(tables: TableFolder) -> list[dict]:
    known = tables.provenance()
    return [{"notebook": name, **facts, "versions": _versions(facts)} for name, facts in known.items()]


def _versions(facts: dict) -> str:
    return ", ".join(f"{name} {version}" for name, version in ({"Python": facts["python"]} | facts["versions"]).items())


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = profiles.command_line("helpers.verdict.report", "Write data/<profile>/report.html.")
    given = parser.parse_args(arguments)
    return exit_status(lambda: print(write(given.profile, given.set)))


if __name__ == "__main__":
    sys.exit(main())
