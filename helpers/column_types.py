"""Declarations of tables: kinds of column with their bounds, the check of a table, and its description in words."""

import pandas as pd
from pandera.errors import SchemaErrors
from pandera.pandas import Check, Column, DataFrameSchema

from helpers.errors import Failed

ROUNDING = 1e-9  # by which a sum of shares may miss its bound


class TableError(Failed):
    """A table that is not as it is declared; the message says which columns, and shows a value."""


def number(says: str, low: float | None = None, high: float | None = None, empty: bool = False) -> Column:
    """A column of real numbers, with bounds that it may reach, and missing values if they may be `empty`."""
    checks = [Check.ge(low - ROUNDING, error=f"at least {low}")] if low is not None else []
    checks += [Check.le(high + ROUNDING, error=f"at most {high}")] if high is not None else []
    return Column(float, checks, nullable=empty, coerce=True, description=says)


def share(says: str = "", empty: bool = False) -> Column:
    """A column of numbers from 0 to 1."""
    return number(says, 0, 1, empty)


def index(says: str = "", empty: bool = False) -> Column:
    """A column of adjusted indices: 1 for the same clusters, 0 for those of chance, and less is possible."""
    return number(says, -1, 1, empty)


def count(says: str = "", empty: bool = False) -> Column:
    """A column of whole numbers from 0."""
    return Column(
        "Int64" if empty else int, Check.ge(0, error="at least 0"), nullable=empty, coerce=True, description=says
    )


def words(says: str = "", among: tuple[str, ...] = (), empty: bool = False) -> Column:
    """A column of text, of the words `among` where they are given."""
    rule = Check.isin(among, error=f"one of {', '.join(among)}") if among else _of_type(str, "text")
    return Column(None, rule, nullable=empty, description=says)


def flag(says: str) -> Column:
    """A column of true and false."""
    return Column(None, _of_type(bool, "true or false"), description=says)


def _of_type(kind: type, name: str) -> Check:
    """A rule for each value: what pandas calls a column's type changes with what is missing from it."""
    return Check(lambda value: isinstance(value, kind), element_wise=True, error=name)


def declare(says: str, *parts: dict[str, Column], keys: tuple[str, ...] = (), **columns: Column) -> DataFrameSchema:
    """A table: what it holds, and its columns in their order, those of the parts first.

    No two rows agree in all of these: the columns that are not real numbers, and those in `keys`.
    """
    every = {name: column for part in (*parts, columns) for name, column in part.items()}
    facts = [name for name, column in every.items() if str(column.dtype) != "float64" or name in keys]
    return DataFrameSchema(every, strict=True, ordered=True, unique=facts, description=says)


def validated(name: str, schema: DataFrameSchema, table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a table that its schema declares, in their order.

    Args:
        name: of the table, for the error.

    Raises:
        TableError: a column is missing, or holds what it cannot hold.
    """
    columns = list(schema.columns)
    if lacks := [column for column in columns if column not in table]:
        raise TableError(f"{name}.csv has no column {', '.join(lacks)}")
    table = table[columns].reset_index(drop=True)
    try:
        return schema.validate(table, lazy=True)
    except SchemaErrors as errors:
        raise TableError(f"{name}.csv: {_what_is_wrong(errors.failure_cases, table)}") from None


IN_WORDS = {
    "coerce_dtype('float64')": "a number",
    "coerce_dtype('int64')": "a whole number",
    "coerce_dtype('Int64')": "a whole number",
    "not_nullable": "allowed to be missing",
}


def _what_is_wrong(cases: pd.DataFrame, table: pd.DataFrame) -> str:
    """Of each column the first value that breaks a rule, and where it is."""
    if (again := cases["check"] == "multiple_fields_uniqueness").any():
        facts = list(dict.fromkeys(cases.loc[again, "column"]))
        row = table[table.duplicated(facts)].iloc[0]
        return f"two rows are of {', '.join(f'{name} {row[name]}' for name in facts)}"
    return "; ".join(
        f"column {case.column} holds {case.failure_case!r} (row {case.index + 1} of {len(table)}), which is not "
        f"{IN_WORDS.get(case.check, case.check)}"
        for case in cases.drop_duplicates("column").itertuples(index=False)
    )


def in_markdown(schema: DataFrameSchema) -> str:
    """What a table holds, then its columns: those that explain themselves share a line."""
    lines, plain = [schema.description], []
    for name, column in schema.columns.items():
        if column.description:
            lines += [_line(plain, "")] * bool(plain) + [_line([name], column.description)]
            plain = []
        else:
            plain.append(name)
    return "\n".join(lines + [_line(plain, "")] * bool(plain))


def _line(names: list[str], says: str) -> str:
    return f"- {', '.join(f'`{name}`' for name in names)}{f': {says}' if says else ''}"
