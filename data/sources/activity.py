"""Disease activity of visits, as a CSV with a row per joint repeats it: the DAS28 and what it is made of."""

from __future__ import annotations

import pandas as pd

from data import sheet
from data.report import Report
from ra import agreement
from ra.config import UserError

BOUNDS = {"swollen": (0, 28), "tender": (0, 28), "esr": (0, 300), "crp": (0, 1000), "global": (0, 100)}
WHOLE = ("swollen", "tender")
CENTIMETRES, MANY = 10, 20  # where no visit of so many lies above 10, the scale was one of 10 cm


def items(row: sheet.Row, where: str) -> dict[str, float]:
    """The items of one row, NaN where empty or without a column; UserError for one that cannot be."""
    found = {}
    for name, (low, high) in BOUNDS.items():
        kind = sheet.integer if name in WHOLE else sheet.number
        try:
            found[name] = kind(row.get(name, ""), low, high)
        except ValueError:
            fault = f"{name} is {row[name][:80]!r}, not a {sheet.KINDS[kind]} from {low} to {high}"
            raise UserError(f"{where}: {fault}; correct it, or empty the cell if it was not measured") from None
    return found


def table(rows: pd.DataFrame, path: str, report: Report) -> pd.DataFrame:
    """The rows of the ACTIVITY table: one per visit, an item where any of the visit's rows has it.

    rows: number (in the file), patient_id, person_id, visit, days and the items. UserError for rows of a visit that differ.
    """
    for name in BOUNDS:
        values = rows.dropna(subset=name).drop_duplicates(["patient_id", name])
        torn = values[values.duplicated("patient_id", keep=False)]
        if len(torn):
            own = torn.loc[torn.patient_id == torn.patient_id.iloc[0], [name, "number"]].to_numpy()
            one, two = (f"{value:g} in row {number:.0f}" for value, number in own[:2])
            raise UserError(f"{path}: {name} is {one} and {two}, of the same patient and date; keep one of them")
    out = rows.groupby("patient_id")[["person_id", "visit", "days", *BOUNDS]].first().reset_index()
    if out["global"].count() >= MANY and 0 < out["global"].max() <= CENTIMETRES:
        report.warn("global health within 10", f"{out['global'].count()} visits, the highest {out['global'].max():g}")
    both = out.tender.to_numpy(), out.swollen.to_numpy()
    health = out["global"].to_numpy()
    scores = {
        "das28_esr": agreement.das28_esr(*both, out.esr.to_numpy(), health),
        "das28_crp": agreement.das28_crp(*both, out.crp.to_numpy(), health),
    }
    return out.rename(columns={"global": "global_health"}).assign(**scores)
