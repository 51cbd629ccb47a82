"""CSV files from users: read as text, strictly; every error names its row and cure.

`by_role` reads a table whose column names the user maps to roles (`--column ROLE=NAME`), and returns rows by role.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

from ra.config import UserError

EMPTY = ("", "na", "nan", "n/a")  # not scored
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)  # float() would also accept 1_0 and inf
ISO, DOTTED = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"), re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*")

Row = dict[str, str]


def read(path: Path, required: Iterable[str], strict: bool = True) -> list[Row]:
    """Rows by column name, cells stripped; UserError for a missing file, a missing or duplicate column, a row of another length.

    strict: an unknown column is also an error.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; give the folder that holds it (docs/data_formats.md)")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as CSV, not as a spreadsheet") from None
    try:
        lines = [[cell.strip() for cell in line] for line in csv.reader(io.StringIO(text), strict=True) if any(line)]
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file ({error}); save it again with commas") from None
    if len(lines) < 2:
        raise UserError(f"{path} has no rows; it needs a header and one row per patient")
    header = lines[0]
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise UserError(f"{path} has no commas between its cells; save it again with commas, and with points in its numbers")
    _check_header(path, header, list(required), strict)
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise UserError(f"{path} row {number} has {len(line)} cells under {len(header)} columns; correct its commas")
    return [dict(zip(header, line, strict=True)) for line in lines[1:]]


def _check_header(path: Path, header: list[str], required: list[str], strict: bool) -> None:
    duplicates = [name for name, count in Counter(header).items() if count > 1]
    if duplicates:
        raise UserError(f"{path} has column {duplicates[0]!r} twice; delete one")
    missing = [name for name in required if name not in header]
    for name in header:
        if strict and name not in required:
            near = difflib.get_close_matches(name, missing or required, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; delete it"
            raise UserError(f"{path} has an unknown column {name!r}{hint}")
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{path} lacks column {missing[0]}{more}; add it, with empty cells where nothing was scored")


def by_role(path: Path, names: dict[str, str], usual: dict[str, str], needed: Iterable[str]) -> list[Row]:
    """Rows by role. names: role -> column in this table; usual: the default names. Other columns are not read.

    UserError for a role without a column if the role is needed, if the user gave its name, or if an unread column has a similar
    name. Any other role may be absent.
    """
    rows = read(path, (), strict=False)
    header = list(rows[0])
    absent = {role: name for role, name in names.items() if name not in header}
    unread = {column.lower(): column for column in header if column not in names.values()}
    for role, name in absent.items():
        if near := difflib.get_close_matches(name.lower(), unread, n=1, cutoff=0.8):
            column = unread[near[0]]
            raise UserError(f"{path} has no column {name!r}, but {column!r}; add --column {role}={column!r}, or rename it")
    for role, name in absent.items():
        if role in needed or name != usual[role]:
            by_lower = {column.lower(): column for column in header}
            near = difflib.get_close_matches(name.lower(), by_lower, n=1)
            hint = f"did you mean {by_lower[near[0]]!r}? " if near else f"it has {', '.join(map(repr, header))[:200]}; "
            raise UserError(f"{path} has no column {name!r}; {hint}--column {role}=NAME maps it to one of your columns")
    present = {role: name for role, name in names.items() if name in rows[0]}
    return [{role: row[name] for role, name in present.items()} for row in rows]


def shown(cell: str) -> str:
    """A cell for an error message: on one line, at most 80 characters."""
    return cell[:80] if cell.isprintable() else repr(cell[:80])


def check_ids(path: Path, rows: list[Row], column: str) -> list[str]:
    """The ids in order; UserError when one is empty, used twice or not a plain name."""
    ids = [row[column] for row in rows]
    unsafe = next((i for i in ids if not SAFE_ID.fullmatch(i)), None)
    if unsafe is not None:
        raise UserError(f"{path}: {column} {unsafe!r} is not a plain id; use letters, digits, '-', '_' and '.'")
    duplicates = [i for i, count in Counter(ids).items() if count > 1]
    if duplicates:
        raise UserError(f"{path}: {column} {duplicates[0]} appears {Counter(ids)[duplicates[0]]} times; keep one row per id")
    return ids


def number(text: str, low: float, high: float) -> float:
    """A number from low to high, or NaN for an empty cell; ValueError otherwise."""
    if text.lower() in EMPTY:
        return math.nan
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not low <= value <= high:
        raise ValueError(text)
    return value


def integer(text: str, low: int, high: int) -> float:
    """A whole number from low to high, or NaN for an empty cell; ValueError otherwise."""
    value = number(text, low, high)
    if not (math.isnan(value) or value.is_integer()):
        raise ValueError(text)
    return value


def day(text: str) -> date | None:
    """The date of a cell, None where empty; ValueError unless it is 2012-04-03, 20120403 or 3.4.2012."""
    if text.lower() in EMPTY:
        return None
    if dotted := DOTTED.fullmatch(text):
        return date(*(int(part) for part in dotted.groups()[::-1]))
    if not ISO.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)


KINDS = {number: "number", integer: "whole number"}


def numbers(
    path: Path, rows: list[Row], id_column: str, bounds: dict[str, tuple[int, int]], kind: Callable = integer
) -> list[dict[str, float]]:
    """The columns of `bounds` (name -> low, high) as numbers, NaN where empty. UserError names the first invalid cell.

    kind: number or integer, the keys of KINDS.
    """
    out: list[dict[str, float]] = []
    faults: list[str] = []
    for row in rows:
        values = {}
        for column, (low, high) in bounds.items():
            try:
                values[column] = kind(row[column], low, high)
            except ValueError:
                faults.append(
                    f"{shown(row[id_column])} {column} is {row[column][:80]!r}, not a {KINDS[kind]} from {low} to {high}"
                )
        out.append(values)
    if faults:
        more = f" (and {len(faults) - 1} more such cells)" if len(faults) > 1 else ""
        raise UserError(f"{path}: {faults[0]}{more}; correct it, or empty the cell if it was not scored")
    return out
