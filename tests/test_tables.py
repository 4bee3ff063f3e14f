import numpy as np
import pandas as pd
import pytest

from helpers import store, tables
from helpers.column_types import TableError
from helpers.profiles import PROFILES
from helpers.tables import TABLES, checked, columns
from helpers.verdict import readme

COMMITTED = sorted(p for profile in PROFILES for p in (store.REPOSITORY / "data" / profile / "tables").glob("*.csv"))


def some(name, rows=3):
    """Rows that a table may hold, each about something else."""
    values = {}
    for column, schema in TABLES[name].columns.items():
        among = [check.statistics["allowed_values"] for check in schema.checks if check.name == "isin"]
        if str(schema.dtype) == "float64":
            values[column] = np.ones(rows)
        elif "true or false" in [check.error for check in schema.checks]:
            values[column] = [True] * rows
        elif str(schema.dtype) in ("int64", "Int64"):
            values[column] = np.arange(rows)
        else:
            values[column] = [list(among[0])[n % len(among[0])] if among else f"{column} {n}" for n in range(rows)]
    return pd.DataFrame(values)


def spoilt(table, column, value):
    """The table with one value that is not as the others."""
    table = table.astype({column: object})
    table.loc[1, column] = value
    return table


def test_tables_are_committed():
    assert COMMITTED, "else the next test would be none"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_committed_tables_are_as_declared(path):
    """Checking changes no digit of them."""
    table = pd.read_csv(path)
    pd.testing.assert_frame_equal(checked(path.stem, table), table, check_dtype=False)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_as_declared_or_refused(name):
    table = some(name)
    assert list(checked(name, table.assign(beside=0))) == columns(name)
    with pytest.raises(TableError, match=rf"{name}\.csv: two rows are of {columns(name)[0]} "):
        checked(name, pd.concat([table, table]))


@pytest.mark.parametrize("name", TABLES)
def test_a_column_that_cannot_be_is_named(name):
    table = some(name)
    for column, schema in TABLES[name].columns.items():
        with pytest.raises(TableError, match=rf"{name}\.csv has no column {column}"):
            checked(name, table.drop(columns=column))
        wrong = {"float64": "a word", "int64": -1, "Int64": -1}.get(str(schema.dtype), 7)
        with pytest.raises(TableError, match=rf"{name}\.csv: column {column} .*{wrong!r}"):
            checked(name, spoilt(table, column, wrong))


BROKEN = [
    ("clustering", "f1", 1.2),
    ("clustering", "ari", -2),
    ("training", "loss", -0.1),
    ("clustering", "split", "train"),
    ("clustering", "f1", None),
    ("claims", "seeds", None),
]


@pytest.mark.parametrize(("name", "column", "value"), BROKEN)
def test_bounds_and_gaps(name, column, value):
    with pytest.raises(TableError, match=rf"column {column} "):
        checked(name, spoilt(some(name), column, value))


def test_what_may_be_missing_may_be_missing():
    claims = some("claims")
    claims.loc[0, ["reading", "width", "ours", "low"]] = None
    assert checked("claims", claims).loc[0, ["reading", "width", "ours", "low"]].isna().all()


def test_rounding_is_no_fault():
    assert len(checked("variance", some("variance").assign(share=1 + 1e-12)))


def test_every_table_and_column_is_explained():
    text = (store.REPOSITORY / "data/README.md").read_text()
    assert readme.described(text) == text, "run make readme"
    for name, schema in TABLES.items():
        assert schema.description.endswith((".", "csv."))
        section = text.split(f"### `{name}.csv`")[1].split("###")[0]
        assert all(f"`{column}`" in section for column in columns(name))


def test_columns_without_a_word_share_a_line():
    lines = tables.described().split("### `neighbours.csv`\n")[1].split("\n\n")[0].splitlines()
    assert lines[1] == "- `width`, `seed`, `reading`, `epoch`, `layer`"
    assert lines[2].startswith("- `k`: ")
