"""A submission as a table: read as text (to check it) or as numbers (to score it), and laid out for writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ra.anatomy import ALL_PARTS, BOTH_HANDS, COLUMNS_A, COLUMNS_B, ID, OVERALL, SITES, TOTAL
from ra.config import UserError
from ra.tables import LEVELS

COLUMN_OF = {(s.part, s.site, s.finding): s.column for s in SITES}
COLUMN_OF |= {(ALL_PARTS, TOTAL, finding): column for finding, column in OVERALL.items()} | {(BOTH_HANDS, TOTAL, TOTAL): TOTAL}
ENDS = [f"{end}{level}" for level in LEVELS for end in ("low", "high")]  # low80 high80 low95 high95


def read_text(path: str | Path) -> pd.DataFrame:
    """A CSV's cells as text, the header as columns (duplicates kept); UserError if it is not a CSV with a header."""
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
    """The 89 score columns as floats, indexed by Patient_ID; NaN for a cell that is not a number and for a missing column."""
    text = read_text(path)
    if ID not in text.columns:
        raise UserError(f"{path} has no column {ID}; the first line must name the columns")
    repeated = text.columns[text.columns.duplicated()]
    if len(repeated):
        raise UserError(f"{path} has the column {repeated[0]} twice; keep one")
    numbers = text.set_index(ID).apply(pd.to_numeric, errors="coerce").astype(float)
    return numbers.reindex(columns=list(COLUMNS_A[1:]))


def frame(patients: pd.Index, grades: np.ndarray, totals: np.ndarray) -> pd.DataFrame:
    """Submission of grades (n, 86, anatomy.SITES order) and totals (n, 3: total, erosion, narrowing), indexed by patient."""
    values = np.concatenate([totals, grades], axis=1)
    return pd.DataFrame(values, index=pd.Index(patients, name=ID), columns=list(COLUMNS_A[1:]))


def columns(table: pd.DataFrame) -> list[str]:
    """Columns of the template for a set that came without one: the challenge's columns that are predicted.

    A set that scores only some sites gets no Overall columns, because they would hold other totals under the same names.
    """
    predicted = [c for c in COLUMNS_B if c in table and table[c].notna().any()]
    complete = len(predicted) == len(COLUMNS_B) - 1
    return [ID, *(c for c in predicted if complete or c not in OVERALL.values())]


def split(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `frame`: (grades, totals)."""
    return table[[s.column for s in SITES]].to_numpy(float), table[list(COLUMNS_A[1:4])].to_numpy(float)


def interval_rows(intervals: pd.DataFrame, patients: list[str], columns: list[str]) -> pd.DataFrame:
    """A row per patient and column of a submission, in its order: state, value, interval and bounds.

    intervals: rows of tables.PREDICTION_INTERVALS.
    """
    keys = zip(intervals.part, intervals.site, intervals.finding, strict=True)
    named = intervals.assign(column=[COLUMN_OF.get(key) for key in keys])
    order = pd.MultiIndex.from_product([patients, columns], names=[ID, "column"])
    rows = named[named.column.notna()].set_index(["patient_id", "column"]).reindex(order)
    numbers = ["value", *ENDS, "n_scored", "n_sites", "lowest", "highest"]
    return rows[["state", *numbers]].round(4).reset_index()


def imputed(rows: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """Patient -> state -> columns whose number in the submission is imputed, wholly or, for partial totals, in part.

    rows: the result of `interval_rows`.
    """
    out: dict[str, dict[str, list[str]]] = {}
    for patient, state, column in rows.loc[rows.state != "scored", [ID, "state", "column"]].itertuples(index=False):
        out.setdefault(patient, {}).setdefault(state, []).append(column)
    return out


def arranged(table: pd.DataFrame, template: pd.DataFrame) -> pd.DataFrame:
    """The predictions in the template's rows and columns, rounded to four digits."""
    columns = [c for c in template.columns if c != ID]
    return table.loc[template[ID], columns].round(4).reset_index()[list(template.columns)]
