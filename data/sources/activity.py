"""Disease activity of visits: the DAS28 and its components, from a CSV with a row per visit or repeated per joint."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from data import csv_input
from data.issues import Report
from ra import anatomy, clinical
from ra.config import UserError

BOUNDS = {"swollen": (0, 28), "tender": (0, 28), "esr": (0, 300), "crp": (0, 1000), "global": (0, 100)}
WHOLE = ("swollen", "tender")
LATEST = 36_525  # days: a century
CENTIMETRES, MIN_VISITS = 10, 20  # if none of at least 20 visits is above 10, the scale was probably 10 cm long


def components(row: csv_input.Row, where: str) -> dict[str, float]:
    """The components of one row, NaN if empty or without a column; UserError for an impossible value."""
    values = {}
    for name, (low, high) in BOUNDS.items():
        kind = csv_input.integer if name in WHOLE else csv_input.number
        try:
            values[name] = kind(row.get(name, ""), low, high)
        except ValueError:
            fault = f"{name} is {row[name][:80]!r}, not a {csv_input.KINDS[kind]} from {low} to {high}"
            raise UserError(f"{where}: {fault}; correct it, or empty the cell if it was not measured") from None
    return values


def read_sets(path: Path, patients: list[dict], report: Report) -> pd.DataFrame:
    """Rows for `table` from a CSV with a row per set of films: Patient_ID, days since the person's first visit, components.

    patients: patient_id, person_id and visit of the set's patients; others are left out with a warning. Empty days are 0 if the
    person has one set of films.
    """
    rows = csv_input.read(path, (anatomy.ID,), strict=False)
    patient_of = {patient["patient_id"]: patient for patient in patients}
    n_sets = Counter(patient["person_id"] for patient in patients)
    out = []
    for number, (patient_id, row) in enumerate(zip(csv_input.check_ids(path, rows, anatomy.ID), rows, strict=True), 2):
        where = f"{path} row {number} ({patient_id})"
        values = components(row, where)
        if patient_id not in patient_of:
            report.warn(f"unknown patient in {path.name}", f"{path.parent.name}/{patient_id}")
            continue
        days = _days(row.get("days", ""), n_sets[patient_of[patient_id]["person_id"]], where)
        patient = {name: patient_of[patient_id][name] for name in ("patient_id", "person_id", "visit")}
        out.append({"number": number, **patient, "days": days} | values)
    return pd.DataFrame(out)


def check_order(rows: pd.DataFrame) -> None:
    """UserError if a person's later visit is not on a later day."""
    for person, visits in rows.sort_values(["visit", "days"]).groupby("person_id"):
        for first, second in itertools.pairwise(visits.drop_duplicates("visit").itertuples()):
            if second.days <= first.days:
                days = f"visit {first.visit} on day {first.days} and visit {second.visit} on day {second.days}"
                fault = f"person {person} has {days}"
                raise UserError(f"activity.csv: {fault}; days are counted from the first visit, correct them or the visits")


def _days(cell: str, n_sets: int, where: str) -> int:
    try:
        days = csv_input.integer(cell, 0, LATEST)
    except ValueError:
        raise UserError(
            f"{where}: days is {csv_input.shown(cell)!r}, not a whole number from 0 to {LATEST}; correct it"
        ) from None
    if not np.isnan(days):
        return int(days)
    if n_sets > 1:
        raise UserError(f"{where}: days is empty for a person with {n_sets} sets of films; write the days since the first visit")
    return 0


def table(rows: pd.DataFrame, path: str, report: Report) -> pd.DataFrame:
    """The rows of the ACTIVITY table: one per visit, with each component that any of the visit's rows has.

    rows: number (in the file), patient_id, person_id, visit, days and components. UserError for a visit whose rows differ.
    """
    for name in BOUNDS:
        values = rows.dropna(subset=name).drop_duplicates(["patient_id", name])
        differing = values[values.duplicated("patient_id", keep=False)]
        if len(differing):
            visit = differing.loc[differing.patient_id == differing.patient_id.iloc[0], [name, "number"]].to_numpy()
            first, second = (f"{value:g} in row {number:.0f}" for value, number in visit[:2])
            raise UserError(f"{path}: {name} is {first} and {second}, for the same patient and date; keep one of them")
    out = rows.groupby("patient_id")[["person_id", "visit", "days", *BOUNDS]].first().reset_index()
    if out["global"].count() >= MIN_VISITS and 0 < out["global"].max() <= CENTIMETRES:
        report.warn("global health within 10", f"{out['global'].count()} visits, the highest {out['global'].max():g}")
    joints = out.tender.to_numpy(), out.swollen.to_numpy()
    health = out["global"].to_numpy()
    scores = {
        "das28_esr": clinical.das28_esr(*joints, out.esr.to_numpy(), health),
        "das28_crp": clinical.das28_crp(*joints, out.crp.to_numpy(), health),
    }
    return out.rename(columns={"global": "global_health"}).assign(**scores)
