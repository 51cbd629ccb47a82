"""CSV files as people send them: read as text, strictly, every fault with its row and cure."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ra.config import UserError

EMPTY = ("", "na", "nan", "n/a")  # not scored
SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*")

Row = dict[str, str]


def read(path: Path, required: Iterable[str], strict: bool = True) -> list[Row]:
    """Rows by column name, cells stripped; UserError for a missing file, a missing or doubled column, a ragged row.

    strict: an unknown column is an error too.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; give the folder that holds it (README, layout of a data folder)")
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
    _check_header(path, header, list(required), strict)
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise UserError(f"{path} row {number} has {len(line)} cells under {len(header)} columns; correct its commas")
    return [dict(zip(header, line, strict=True)) for line in lines[1:]]


def _check_header(path: Path, header: list[str], required: list[str], strict: bool) -> None:
    doubled = [name for name, count in Counter(header).items() if count > 1]
    if doubled:
        raise UserError(f"{path} has column {doubled[0]!r} twice; delete one")
    lacking = [name for name in required if name not in header]
    for name in header:
        if strict and name not in required:
            near = difflib.get_close_matches(name, lacking or required, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; delete it"
            raise UserError(f"{path} has an unknown column {name!r}{hint}")
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise UserError(f"{path} lacks column {lacking[0]}{more}; add it, with empty cells where nothing was scored")


def check_ids(path: Path, rows: list[Row], column: str) -> list[str]:
    """The ids in order; UserError when one is empty, doubled or no plain name."""
    ids = [row[column] for row in rows]
    odd = next((i for i in ids if not SAFE_ID.fullmatch(i)), None)
    if odd is not None:
        raise UserError(f"{path}: {column} {odd!r} is no plain id; use letters, digits, '-', '_' and '.'")
    doubled = [i for i, count in Counter(ids).items() if count > 1]
    if doubled:
        raise UserError(f"{path}: {column} {doubled[0]} appears {Counter(ids)[doubled[0]]} times; keep one row per id")
    return ids


def integer(text: str, low: int, high: int) -> float:
    """A whole number from low to high, or NaN for an empty cell; ValueError otherwise."""
    if text.lower() in EMPTY:
        return math.nan
    value = float(text)
    if not (value.is_integer() and low <= value <= high):
        raise ValueError(text)
    return value


def numbers(path: Path, rows: list[Row], id_column: str, bounds: dict[str, tuple[int, int]]) -> list[dict[str, float]]:
    """The columns of `bounds` as whole numbers, NaN where empty. UserError names the first cell that is none."""
    out: list[dict[str, float]] = []
    bad: list[str] = []
    for row in rows:
        values = {}
        for column, (low, high) in bounds.items():
            try:
                values[column] = integer(row[column], low, high)
            except (ValueError, OverflowError):
                bad.append(f"{row[id_column]} {column} is {row[column]!r}, not a whole number from {low} to {high}")
        out.append(values)
    if bad:
        more = f" (and {len(bad) - 1} more such cells)" if len(bad) > 1 else ""
        raise UserError(f"{path}: {bad[0]}{more}; correct it, or empty the cell if it was not scored")
    return out
