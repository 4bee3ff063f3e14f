"""The columns of every table, the short names that stand in them, and the paper's numbers of figures.

data/README.md says what the columns hold.
"""

LABELS = ("task", "distribution", "distribution_mapping")  # the identities that clusters are scored against
SCORES = ("f1", "ari", "ami")
SPLITS = ("subset", "validation")  # the sets whose states are recorded

COMPARED = "untrained gain gain_low gain_high"
CLAIMS = f"claim reading width about where quantity paper ours low high seeds verdict condition {COMPARED}"
TABLES = {
    "table2": "split instances paper",
    "table6": "width parameters paper",
    "grammar": "metacharacters matches_other_task nearest_has_task mean_length",
    "training": "width seed reading epoch loss output_loss accuracy_subset accuracy_validation learning_rate seconds",
    "clustering": "width seed reading epoch layer split label space k f1 ari ami",
    "course": "width seed reading epoch layer split space f1 accuracy sees_task sees_input sees_output share_task "
    "share_input share_output",
    "variance": "width seed reading epoch layer split part share",
    "hard": "width seed reading epoch layer space pairs_separated nearer_own_task accuracy_hard accuracy_original",
    "neighbours": "width seed reading epoch layer k same_task accuracy",
    "surface": "width seed reading split control label f1 ari ami",
    "controls": "width seed reading epoch layer split control value",
    "alternatives": "width seed reading split space method clusters definition epoch layer f1 chance",
    "interventions": "width seed reading layer direction became_other stayed instances",
    "quantities": "width seed reading claim space at model value",
    "outputs": "width seed reading claim space at model value",
    "multiverse": "variant width seed reading claim space at model value",
    "parts": "variant width seed reading claim space at model value",
    "alternatives_grids": "grid run variant width seed reading split space method clusters definition epoch layer f1 "
    "chance",
    "course_grids": "grid run variant width seed reading epoch layer split space f1 accuracy sees_task sees_input "
    "sees_output share_task share_input share_output",
    "readings": "plan rung epochs run reading width seed status kept fit learns learns_hard late abrupt flat "
    "starts_low share_rises knn_rises stops parameters commit",
    "claims": CLAIMS,
    "claims_outputs": CLAIMS,
    "thresholds": "claim reading width number verdict",
    "table1": "model revision label layer f1 ari ami source",
    "table1_intervals": "model revision label metric low high",
    "table1_restarts": "model revision label start inertia f1",
    "f1_definitions": "definition label model printed expected error",
    "llm_layers": "model revision layer space label k f1 ari ami",
    "llm_neighbours": "model revision layer k same_task same_category accuracy",
    "llm_solved": "model revision category task solved",
    "latency": "points plots action milliseconds slowest",
    "gpu_checks": "check model quantity value tolerance passed card commit",
    "bench": "name ours baseline baseline_name ratio unit cpu instructions commit",
}

# What a figure of the paper shows, and the width of its model -> its number.
FIGURES = {
    ("f1", 768): 1,
    ("training", 768): 2,
    ("neighbours", 768): 3,
    ("scores", 768): 4,
    ("scores", 32): 5,
    ("neighbours", 2048): 6,
    ("scores", 2048): 7,
    ("neighbours", 32): 8,
}


def stem(shows: str, width: int) -> str:
    """File name of a figure without suffix: with the paper's number where it has one, else with the width."""
    number = FIGURES.get((shows, width))
    return f"fig{number}_{shows}" if number else f"{shows}_w{width}"


GPT2 = "gpt2"  # the reading of tables that name none


def readings_in(table) -> list[str]:
    """Names of the readings of what the paper leaves open that a table's runs took (column `reading`), in its order."""
    named = table["reading"].dropna() if "reading" in table else ()
    return list(dict.fromkeys(named)) or [GPT2]


def of_reading(table, reading: str):
    """The rows of a table that belong to a reading: those that name it or none, as all do without the column."""
    return table[table["reading"].isna() | (table["reading"] == reading)] if "reading" in table else table


def near_reading(table, reading: str):
    """The rows of a table whose runs took a reading, or it with open choices changed.

    A changed one is named as in "gpt2 training.loss_on=outputs".
    """
    if "reading" not in table:
        return table
    names = table["reading"].fillna(reading)
    return table[(names == reading) | names.str.startswith(f"{reading} ")]


def runs_in(table, width: int | None = None) -> str:
    """Which runs a table's rows are of, in words: "width 768, reading gpt2, 3 seeds".

    Args:
        table: with columns width and seed, or seeds (how many), and reading where there are several.
        width: hidden dimension of the rows that count; all by default.
    """
    rows = table if width is None else table[table["width"] == width]
    widths = sorted(set(rows["width"].dropna().astype(int)))
    named = readings_in(rows)
    readings = list(dict.fromkeys(name.split()[0] for name in named))
    if len(named) == 1 and " " in named[0]:
        readings = [f"{readings[0]} with a choice changed"]
    if "seeds" in rows:
        least, most = (int(rows.loc[rows["seeds"] > 0, "seeds"].agg(f)) for f in ("min", "max"))
        seeds = _counted(most, "seed") if least == most else f"{least} to {most} seeds"
    else:
        found = sorted(set(rows["seed"]))
        seeds = f"seed {found[0]}" if len(found) == 1 else _counted(len(found), "seed")
    of_widths = f"{'width' if len(widths) == 1 else 'widths'} {', '.join(f'{w:,}' for w in widths)}"
    return f"{of_widths}, {'reading' if len(readings) == 1 else 'readings'} {', '.join(readings)}, {seeds}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
