"""Which runs a table covers, in columns and in words. A reading is a set of choices for what the paper leaves open."""

import re

GPT2 = "gpt2"  # the reading of tables that name none
CONTROL = "shuffled_outputs"  # in a variant that has nothing to learn
# In variants that change what the paper does not leave open: the control, and departures from Table 4 and section 2.2.
NO_CHOICE = f"{CONTROL}|model.dropout|train_on_hard_examples|number_of_epochs"


def parts_of(reading: str) -> tuple[str, str]:
    """Splits 'gpt2 a=b' into the reading's name and what is changed in it, as SET takes it (`profiles.reading_of`)."""
    name, _, changes = reading.partition(" ")
    return name, changes


def assignments(variant: str) -> list[str]:
    """The settings of a variant, each as "name=value"; a variant that names none, such as "default", as it is."""
    return [part for part in re.split(r" (?=[\w.]+=)", variant) if part]


def best_epoch(training) -> int:
    """First epoch with the highest validation accuracy, where the paper stops early; of one run's rows."""
    return int(training.loc[training["accuracy_validation"].idxmax(), "epoch"])


def mean_path(runs, columns: list[str]):
    """Means of some columns over seeds, by epoch, at the epochs that all seeds have.

    Args:
        runs: rows of one kind of run, one an epoch and seed.
    """
    seeds = runs.groupby("epoch")["seed"].nunique()
    common = runs[runs["epoch"].isin(seeds.index[seeds == seeds.max()])]
    return common.groupby("epoch")[columns].mean()


def readings_in(table) -> list[str]:
    """Names of the readings of what the paper leaves open that a table's runs took (column `reading`), in its order."""
    named = table["reading"].dropna() if "reading" in table else ()
    return list(dict.fromkeys(named)) or [GPT2]


def of_reading(table, reading: str):
    """The rows of a table that name a reading or none; all of them if it has no such column."""
    return table[table["reading"].isna() | (table["reading"] == reading)] if "reading" in table else table


def near_reading(table, reading: str):
    """The rows of a table whose runs took a reading, or it with open choices changed.

    A changed one is named as in "gpt2 training.loss_on=outputs".
    """
    if "reading" not in table:
        return table
    names = table["reading"].fillna(reading)
    return table[[parts_of(name)[0] == reading for name in names]]


def runs_in(table, width: int | None = None) -> str:
    """Which runs a table's rows are of, in words: "width 768, reading gpt2, 3 seeds".

    Args:
        table: with columns width and seed, or seeds (how many), and reading where there are several.
        width: hidden dimension of the rows that count; all by default.
    """
    rows = table if width is None else table[table["width"] == width]
    widths = sorted(set(rows["width"].dropna().astype(int)))
    named = readings_in(rows)
    readings = list(dict.fromkeys(parts_of(name)[0] for name in named))
    if len(named) == 1 and parts_of(named[0])[1]:
        readings = [f"{readings[0]} with a choice changed"]
    of_widths = f"{'width' if len(widths) == 1 else 'widths'} {', '.join(f'{w:,}' for w in widths)}"
    return f"{of_widths}, {'reading' if len(readings) == 1 else 'readings'} {', '.join(readings)}, {seeds_in(rows)}"


def seeds_in(rows) -> str:
    """The seeds that a table's rows are of, in words: "3 seeds", "seed 0" for one that is known, "1 to 5 seeds" where
    statements, or kinds of run (width and reading), have different numbers of them.

    Of statements that no run decides it is "no run long enough".
    """
    if "seeds" in rows:
        counts = rows.loc[rows["seeds"] > 0, "seeds"]
        if not len(counts):
            return "no run long enough"
    else:
        found = sorted(set(rows["seed"]))
        if len(found) == 1:
            return f"seed {found[0]}"
        kinds = [name for name in ("width", "reading") if name in rows]
        counts = rows.groupby(kinds, dropna=False)["seed"].nunique() if kinds else rows[["seed"]].nunique()
    least, most = (int(counts.agg(f)) for f in ("min", "max"))
    if least < most:
        return f"{least} to {most} seeds"
    return _counted(most, "seed") + " each" * (most == 1 and "seeds" not in rows)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
