"""Raters from CSV tables in the RA2-DREAM layout, such as the readers' tables of a trial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from evaluation.raters import TRUTH, Raters, of_table
from ra.anatomy import ID, MAX_TOTAL, OVERALL, SITES
from ra.config import UserError
from stage3_stack import submission

EMPTY = ("", "na", "nan", "n/a")  # cells that mean "not scored"
HIGHEST = {site.column: site.max_grade for site in SITES}
HIGHEST |= {OVERALL[what]: highest for what, highest in MAX_TOTAL.items()}
SITE_COLUMNS = [site.column for site in SITES]


def read(path: Path) -> pd.DataFrame:
    """(n, 89) scores by Patient_ID, NaN where not scored or where the file has no such column.

    UserError if the file is no CSV, has no ids, an id twice, no score column, or a cell outside its scale. Messages give a row's
    number, not the patient.
    """
    submission.read_numbers(path)  # raises if the file is missing or no CSV, has no ids or has a column twice
    text = submission.read_text(path)
    rows = text.index + 2
    empty, twice = text[ID] == "", text[ID].duplicated()
    if empty.any():
        raise UserError(f"{path} row {rows[empty][0]} has no {ID}; fill it in or remove the row")
    if twice.any():
        first = rows[text[ID] == text[ID][twice].iloc[0]][0]
        raise UserError(f"{path} row {rows[twice][0]} has the {ID} of row {first}; keep one row per set of films")
    columns = [column for column in HIGHEST if column in text]
    if not columns:
        raise UserError(f"{path} has no column of scores; name them as RA2-DREAM does, for example {SITES[0].column}")
    cells = text[columns]
    numbers = cells.apply(pd.to_numeric, errors="coerce").astype(float)
    scored = ~cells.map(str.lower).isin(EMPTY)
    off_scale = scored & ~((numbers >= 0) & (numbers <= pd.Series(HIGHEST)[columns]))
    if off_scale.to_numpy().any():
        row, column = np.argwhere(off_scale.to_numpy())[0]
        name = columns[column]
        raise UserError(
            f"{path} row {rows[row]}, {name}: {cells.iloc[row, column]!r} is not on its scale, 0 to {HIGHEST[name]}; "
            "correct it, or leave it empty if the joint was not scored"
        )
    return numbers.where(scored).set_axis(pd.Index(text[ID], name=ID)).reindex(columns=list(HIGHEST))


def load(tables: dict[str, pd.DataFrame], people: pd.DataFrame | None = None) -> Raters:
    """Raters of the patients that all tables list, in the order of the first table; one split, `all`.

    Totals are the Overall columns if every table has them, else sums over the sites that every table scores: other totals could
    not be compared. people: person_id and visit by Patient_ID; without them each row is a person.
    """
    if TRUTH in tables:
        raise UserError(f"a rater cannot be called {TRUTH}; give another name with --names")
    first, *others = tables.values()
    patients = first.index[np.all([first.index.isin(other.index) for other in others], axis=0)]
    if not len(patients):
        raise UserError(f"{', '.join(tables)} have no {ID} in common; the same set of films needs the same id in every table")
    shared = [table.loc[patients] for table in tables.values()]
    scored = np.all([table[SITE_COLUMNS].notna().any().to_numpy() for table in shared], axis=0)
    given = [column for column in OVERALL.values() if all(table[column].notna().any() for table in shared)]
    if not scored.any() and not given:
        raise UserError(f"{', '.join(tables)} have scores of no common site or total; give tables with common columns")
    not_shared = [column for column in OVERALL.values() if column not in given]
    blank = dict.fromkeys(not_shared, np.nan)
    by = {name: of_table(table.assign(**blank), scored) for name, table in zip(tables, shared, strict=True)}
    n = len(patients)
    listed = pd.DataFrame(index=patients) if people is None else people.reindex(patients)
    person = listed.get("person_id", pd.Series(index=patients, dtype=object))
    visit = listed.get("visit", pd.Series(1.0, index=patients))
    return Raters(
        data=", ".join(tables),
        run="",
        patients=patients.to_numpy(),
        person=person.where(person.notna(), patients.to_series()).to_numpy(),
        visit=visit.to_numpy(),
        split=np.full(n, "all", dtype=object),
        fold=np.full(n, -1),
        by=by,
    )


def read_people(path: Path) -> pd.DataFrame:
    """person_id, and visit if the table has that column, by Patient_ID."""
    text = submission.read_text(path)
    lacking = [column for column in (ID, "person_id") if column not in text]
    if lacking:
        raise UserError(f"{path} has no column {lacking[0]}; it needs {ID} and person_id, one row per set of films")
    if text[ID].duplicated().any():
        raise UserError(f"{path} row {text.index[text[ID].duplicated()][0] + 2} repeats a {ID}; keep one row per set of films")
    return text.set_index(ID)[[column for column in ("person_id", "visit") if column in text]].replace("", np.nan)
