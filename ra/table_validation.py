"""Schemas of the tables on disk: a table that breaks its schema is refused when it is written and when it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ra import atomic
from ra.config import UserError

DTYPES = {"str": "object", "int": "int64", "float": "float64"}


class ContractError(UserError):
    """A table breaks its schema."""


@dataclass(frozen=True)
class Column:
    """dtype: str, int or float; `required` refuses missing values; `values` lists the allowed ones; low/high bound it.

    A column with a `default` is added to a table that lacks it.
    """

    dtype: str
    required: bool = True
    values: tuple = ()
    low: float | None = None
    high: float | None = None
    default: object = ...


@dataclass(frozen=True)
class Schema:
    """A table's name, columns and key (no two rows may have equal values in the columns of the key)."""

    name: str
    columns: dict[str, Column]
    key: tuple[str, ...]

    def check(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with its columns in order and typed; ContractError names the first fault."""
        absent = {c: column.default for c, column in self.columns.items() if c not in table.columns}
        table = table.assign(**{c: default for c, default in absent.items() if default is not ...})
        missing = [c for c in self.columns if c not in table.columns]
        if missing:
            raise ContractError(f"{self.name}: column {missing[0]} is missing")
        unknown = [c for c in table.columns if c not in self.columns]
        if unknown:
            raise ContractError(f"{self.name}: unknown column {unknown[0]}")
        out = pd.DataFrame({name: self._typed(table[name], column, name) for name, column in self.columns.items()})
        duplicate = out.duplicated(list(self.key))
        if duplicate.any():
            row = out.loc[duplicate.idxmax(), list(self.key)].to_dict()
            raise ContractError(f"{self.name}: duplicate row {row}")
        return out.reset_index(drop=True)

    def _typed(self, values: pd.Series, column: Column, name: str) -> pd.Series:
        """The values of one column, typed; ContractError where one is missing, mistyped, not listed or out of bounds."""
        if column.required and values.isna().any():
            raise ContractError(f"{self.name}.{name}: {int(values.isna().sum())} missing values where none are allowed")
        try:
            typed = values.astype(DTYPES[column.dtype])
        except (TypeError, ValueError) as error:
            raise ContractError(f"{self.name}.{name}: not {column.dtype}: {error}") from error
        typed = typed.where(typed.notna(), None) if column.dtype == "str" else typed
        present = typed.dropna()
        not_text = [v for v in present if not isinstance(v, str)] if column.dtype == "str" else []
        if not_text:
            raise ContractError(f"{self.name}.{name}: {not_text[0]!r} is not text")
        if column.values and not present.isin(column.values).all():
            bad = present[~present.isin(column.values)].iloc[0]
            raise ContractError(f"{self.name}.{name}: {bad!r} is not one of {', '.join(map(str, column.values))}")
        for bound, is_beyond in ((column.low, present.lt), (column.high, present.gt)):
            if bound is not None and is_beyond(bound).any():
                raise ContractError(f"{self.name}.{name}: {present[is_beyond(bound)].iloc[0]} is outside its bound {bound}")
        return typed

    def read(self, path: Path) -> pd.DataFrame:
        """Read and check; a missing file is a UserError that names the cure."""
        if not Path(path).is_file():
            raise UserError(f"{path} does not exist; run the step that writes it first (bash run_all.sh runs all in order)")
        texts = {name: str for name, column in self.columns.items() if column.dtype == "str"}  # an id may look like a number
        csv = {"dtype": texts, "keep_default_na": False, "na_values": [""]}
        return self.check(pd.read_csv(path, **csv) if str(path).endswith(".csv") else pd.read_parquet(path))

    def write(self, table: pd.DataFrame, path: Path) -> pd.DataFrame:
        """Check and write whole, as CSV or parquet by the path's suffix; returns the checked table."""
        out = self.check(table)
        atomic.write_table(path, out)
        return out
