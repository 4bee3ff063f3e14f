"""What README, report and their first sentences are made of, read from a profile's tables: the dictionary `known`."""

from collections.abc import Callable

import pandas as pd

from helpers import store
from helpers.figures.readings import FLIPPED
from helpers.rows import near_reading, of_reading, readings_in
from helpers.table_folder import TableFolder
from helpers.tables import WHOLE
from helpers.verdict import facts
from helpers.verdict.judge import WIDTHS


def of_story(tables: TableFolder) -> dict:
    """What `story` needs.

    Args:
        tables: of data/<profile>/tables.

    Returns:
        reading (of `deciding_reading`); of that reading claims and claims_outputs (None without it); quantities.csv of
        all readings, and until (reading -> width -> last epoch of the runs in it), both empty without `make verdict`;
        rows of claims.csv by other_readings; own (the profile's reading), and its tables training, clustering, of_hard,
        of_neighbours, of_controls and of_surface; of_course (rows of course_grids.csv of the main model's
        unseen instances in the reading that decides); and of_pairs, searches and confirmed, of
        `facts.a_cluster_for_each_pair`, `facts.searches` and `facts.confirmed`.

    Raises:
        store.ArtefactError: a table is missing that every profile has.
    """
    training, every = tables["training"], tables["claims"]
    every["width"] = every["width"].astype("Int64")
    own = readings_in(training)[0]
    reading = facts.deciding_reading(every, own)
    others = [name for name in readings_in(every) if name != reading]
    return {
        "reading": reading,
        "claims": of_reading(every, reading),
        "claims_outputs": _near(tables, "claims_outputs", reading),
        "other_readings": {name: every[every["reading"] == name] for name in others},
        "quantities": tables.get("quantities"),
        "until": (store.known_json(tables.path / "verdict.json") or {}).get("seeds", {}).get("epochs", {}),
        "own": own,
        "training": training,
        "clustering": tables["clustering"],
        "of_hard": tables["hard"],
        "of_neighbours": tables["neighbours"],
        "of_controls": tables.get("controls"),
        "of_surface": tables["surface"],
        "of_course": _decided_courses(tables, reading),
        "of_pairs": facts.a_cluster_for_each_pair(tables.get("alternatives_grids")),
        "searches": facts.searches(tables.get("readings")),
        "confirmed": facts.confirmed(tables.get("readings_confirmed")),
    }


def _decided_courses(tables: TableFolder, reading: str) -> pd.DataFrame:
    """Rows of course_grids.csv of the main model in a reading, its unseen instances; none without other seeds."""
    table = _of_reading(tables, "course_grids", reading)
    if table is None:
        return pd.DataFrame()
    return table[(table["grid"] == "seeds") & (table["width"] == WIDTHS[0]) & (table["split"] == "validation")]


def _of_reading(tables: TableFolder, name: str, reading: str) -> pd.DataFrame | None:
    """The rows of a reading of a table that not every profile has; None without it."""
    table = tables.get(name)
    return None if table is None else of_reading(table, reading)


def _near(tables: TableFolder, name: str, reading: str) -> pd.DataFrame | None:
    """The same of a table of changed choices: rows of a reading and of what was changed in it; None without any."""
    table = tables.get(name)
    rows = None if table is None else near_reading(table, reading)
    return rows if rows is not None and len(rows) else None


def _minutes(tables: TableFolder, made: dict) -> str:
    """How long a run from nothing takes, in words: as a whole by instructions, or all notebooks one after the other."""
    known = store.known_json(tables.path / WHOLE)
    if not known:
        return f"{sum(facts['longest_seconds'] for facts in made.values()) / 60:.0f} minutes"
    shortest, *others = sorted((facts["seconds"] / 60, kind) for kind, facts in known.items())
    said = [f"{shortest[0]:.0f} minutes ({shortest[1]})", *(f"{minutes:.0f} ({kind})" for minutes, kind in others)]
    return ", ".join(said)


def of_profile(tables: TableFolder, width: int) -> dict:
    """All of the above, and what made the tables.

    Args:
        tables: of data/<profile>/tables.
        width: hidden dimension of the runs whose numbers are told; the profile must have trained it.

    Raises:
        store.ArtefactError: a table is missing.
    """
    known = of_story(tables)
    made = tables.provenance()

    def rows_at(name: str) -> pd.DataFrame:
        table = tables[name]
        return table[table["width"] == width]

    scores, models = rows_at("clustering"), tables["table1"]
    ours = models.loc[models["source"] == "ours", "model"].iloc[0]
    return known | _of_runs(tables, scores, rows_at) | {
        "commits": sorted({facts["commit"] for facts in made.values()}),
        "minutes": _minutes(tables, made),
        "timed": sorted({facts["commit"] for facts in (store.known_json(tables.path / WHOLE) or {}).values()}),
        "counts": facts.counts_by_width(known["claims"]),
        "behind": facts.runs_behind(known["claims"], store.known_json(tables.path / "verdict.json") or {}),
        "searched": facts.searched(rows_at("alternatives"), tables.get("alternatives_grids")),
        "grids": "alternatives_grids" in tables,
        "fading": facts.fading(tables["course"], tables.get("course_grids")),
        "kept": facts.kept(tables.get("course_grids")),
        "varied": _varied(tables.get("multiverse"), tables.get("parts")),
        "readings": facts.best_readings(tables.get("readings")),
        "grammar": tables["grammar"].iloc[0].to_dict(),
        "table1": facts.table1(models[models["model"].isin((ours, "LLaMa-7B"))]),
        "starts": facts.starts(tables["table1_restarts"], ours),
        "words_alone": facts.words_alone(tables["llm_layers"], ours),
        "probed": facts.interval_of_task(tables["table1_intervals"], ours),
        **_measured_speed(tables),
    }  # fmt: skip


def _of_runs(tables: TableFolder, scores: pd.DataFrame, rows_at: Callable[[str], pd.DataFrame]) -> dict:
    """What the profile's own runs show."""
    training, variance = rows_at("training"), rows_at("variance")
    accuracy = training.groupby("epoch")["accuracy_validation"].mean()
    return {
        "accuracy": {"highest": accuracy.max(), "epoch": int(accuracy.idxmax()), "epochs": int(scores["epoch"].max())},
        "task": {space: facts.course(scores, space) for space in ("raw", "tsne", "centred")},
        "mapping": facts.course(scores, "raw", "distribution_mapping"),
        "seen": facts.seen(rows_at("course")),
        "varies": facts.varies(variance, variance["layer"].max()),
        "apart_by_chance": facts.apart_by_chance(scores),
        "embedded": facts.varies(variance, 0),
        "first_fall": facts.first_fall(training),
        "neighbours": facts.neighbours(rows_at("neighbours")),
        "hard": facts.hard_examples(rows_at("hard"), scores),
        "interventions": facts.interventions(rows_at("interventions")),
        "surface": {split: facts.surface(rows_at("surface"), split) for split in ("validation", "subset")},
        "task_subset": facts.course(scores, "raw", split="subset"),
    }


def _varied(variants: pd.DataFrame | None, parts: pd.DataFrame | None) -> dict | None:
    return None if variants is None else facts.varied(variants, parts, FLIPPED)


def _measured_speed(tables: TableFolder) -> dict[str, list[dict]]:
    """Rows of bench.csv with a ratio, and of latency.csv for two plots; none without them."""
    bench, latency = tables.get("bench"), tables.get("latency")
    rows = [] if bench is None else bench.dropna(subset="ratio").to_dict("records")
    return {
        "bench": rows,
        "latency": [] if latency is None else latency[latency["plots"] == 2].to_dict("records"),
    }
