"""A submission as a table: reading it as text (for its faults) and as numbers (for its score), and writing it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from ra.anatomy import ALL_PARTS, BOTH_HANDS, COLUMNS_A, COLUMNS_B, ID, OVERALL, SITES, TOTAL
from ra.config import UserError
from ra.tables import LEVELS

COLUMN_OF = {(s.part, s.site, s.finding): s.column for s in SITES}
COLUMN_OF |= {(ALL_PARTS, TOTAL, finding): column for finding, column in OVERALL.items()} | {(BOTH_HANDS, TOTAL, TOTAL): TOTAL}
ENDS = [f"{end}{level}" for level in LEVELS for end in ("low", "high")]


def read_text(path: str | Path) -> pd.DataFrame:
    """A CSV's cells as they stand, header as columns (duplicates kept); UserError when it is no CSV with a header."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give the path of a CSV file")
    try:
        table = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a CSV table ({str(error).strip()}); write a header and one row per {ID}") from error
    table = table.fillna("").map(str.strip)  # a line that is too short ends in empty cells
    header = table.iloc[0].tolist()
    return table.iloc[1:].set_axis(header, axis=1).reset_index(drop=True)


def read_numbers(path: str | Path) -> pd.DataFrame:
    """The 89 score columns as floats, indexed by Patient_ID; a cell that is no number, or a whole missing column, is NaN."""
    text = read_text(path)
    if ID not in text.columns:
        raise UserError(f"{path} has no column {ID}; the first line must name the columns")
    twice = text.columns[text.columns.duplicated()]
    if len(twice):
        raise UserError(f"{path} has the column {twice[0]} twice; keep one")
    numbers = text.set_index(ID).apply(pd.to_numeric, errors="coerce").astype(float)
    return numbers.reindex(columns=list(COLUMNS_A[1:]))


def frame(patients: pd.Index, grades: np.ndarray, totals: np.ndarray) -> pd.DataFrame:
    """Submission of grades (n, 86, anatomy.SITES order) and totals (n, 3: total, erosion, narrowing), indexed by patient."""
    values = np.concatenate([totals, grades], axis=1)
    return pd.DataFrame(values, index=pd.Index(patients, name=ID), columns=list(COLUMNS_A[1:]))


def columns(table: pd.DataFrame) -> list[str]:
    """A template's columns where none came with the set: the challenge's, or of a set that scores some sites those, without
    the Overall columns, which would mean another total under the same name."""
    known = [c for c in COLUMNS_B if c in table and table[c].notna().any()]
    whole = len(known) == len(COLUMNS_B) - 1
    return [ID, *(c for c in known if whole or c not in OVERALL.values())]


def split(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `frame`: (grades, totals)."""
    return table[[s.column for s in SITES]].to_numpy(float), table[list(COLUMNS_A[1:4])].to_numpy(float)


def with_intervals(reading: pd.DataFrame, patients: list[str], columns: list[str]) -> pd.DataFrame:
    """A row per patient and column of a submission, in its order, of PREDICTION_INTERVALS rows: state, value, interval, bounds."""
    named = reading.assign(column=[COLUMN_OF.get(key) for key in zip(reading.part, reading.site, reading.finding, strict=True)])
    wanted = pd.MultiIndex.from_product([patients, columns], names=[ID, "column"])
    rows = named[named.column.notna()].set_index(["patient_id", "column"]).reindex(wanted)
    numbers = ["value", *ENDS, "n_scored", "n_sites", "lowest", "highest"]
    return rows[["state", *numbers]].round(4).reset_index()


def imputed(rows: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """Patient -> state -> columns whose number in the submission nobody read off a film, of rows of `with_intervals`; partial
    totals, part of which nobody read, are among them."""
    out: dict[str, dict[str, list[str]]] = {}
    for patient, state, column in rows.loc[rows.state != "scored", [ID, "state", "column"]].itertuples(index=False):
        out.setdefault(patient, {}).setdefault(state, []).append(column)
    return out


def write(table: pd.DataFrame, template: pd.DataFrame, path: Path) -> Path:
    """Write in the template's own rows and columns to a temporary name beside `path`; the caller checks and moves it."""
    out = table.loc[template[ID], [c for c in template.columns if c != ID]].round(4).reset_index()[list(template.columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    out.to_csv(temporary, index=False)
    return temporary
