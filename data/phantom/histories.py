"""Persons with several yearly visits, without films: what a forecast of the next visit can be measured on.

    python -m data.phantom.histories --out DIR --persons 300 --visits 4 --seed 7

Severity, its progress from visit to visit and both readers are the cohort's own (data.phantom.severity). Writes DIR/training.csv
(reader 1), reader2.csv and truth.csv in the RA2-DREAM columns and people.csv (Patient_ID, person_id, visit, days since the first
visit). A pure function of the flags.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ra import cli
from ra.anatomy import COLUMNS_B, ID, OVERALL, SITES
from ra.config import UserError

YEAR_DAYS, LATE_DAYS = 365, 30  # a visit comes within about a month of its day
TABLES = ("training", "reader2", "truth", "people")


@dataclass(frozen=True)
class Histories:
    """What is drawn; the defaults are the default cohort's patients and readers."""

    persons: int = 300
    visits: int = 4
    seed: int = 2026
    shift: float = 1.0  # as in cohort.Cohort
    reader_noise: float = 0.85  # as in cohort.Cohort

    def __post_init__(self) -> None:
        if self.persons < 1 or self.visits < 1:
            raise UserError(f"{self.persons} persons of {self.visits} visits are no cohort; give at least 1 of each")


def draw(what: Histories) -> dict[str, pd.DataFrame]:
    """The four tables, by name; a row per visit, damage that never heals."""
    from data.phantom import severity as sv

    grades: dict[str, list[np.ndarray]] = {name: [] for name in TABLES[:3]}
    people = []
    for person in range(what.persons):
        rng = np.random.default_rng((what.seed, person))
        healthy = rng.random() < sv.HEALTHY
        damage = sv.severity_of(sv.grade_of(sv.latent(rng, sv.patient_level(rng, what.shift))), rng) * (not healthy)
        day = 0
        for visit in range(1, what.visits + 1):
            if visit > 1:
                damage = sv.progress(damage, rng)
                day += YEAR_DAYS + int(rng.integers(-LATE_DAYS, LATE_DAYS + 1))
            for name in TABLES[:2]:
                grades[name].append(sv.read(damage, rng, what.reader_noise))
            grades["truth"].append(np.ceil(damage).astype(int))
            people.append((f"H{person + 1:04d}V{visit}", f"H{person + 1:04d}", visit, day))
    table = pd.DataFrame(people, columns=[ID, "person_id", "visit", "days"])
    return {name: _scores(table[ID], rows) for name, rows in grades.items()} | {"people": table}


def _scores(ids: pd.Series, grades: list[np.ndarray]) -> pd.DataFrame:
    """Grades in the challenge's columns, totals summed."""
    table = pd.DataFrame(np.array(grades), columns=[s.column for s in SITES])
    for finding in ("erosion", "narrowing"):
        table[OVERALL[finding]] = table[[s.column for s in SITES if s.finding == finding]].sum(axis=1)
    table[OVERALL["total"]] = table[OVERALL["erosion"]] + table[OVERALL["narrowing"]]
    return table.assign(**{ID: ids})[list(COLUMNS_B)]


def run() -> None:
    p = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True, metavar="DIR", help="folder for the four tables")
    for name, what in (("persons", "human beings"), ("visits", "visits of each, a year apart"), ("seed", "of the draw")):
        p.add_argument(f"--{name}", type=int, default=getattr(Histories, name), metavar="N", help=f"{what} (default %(default)s)")
    args = p.parse_args()
    folder = Path(args.out)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; --out names a folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in draw(Histories(args.persons, args.visits, args.seed)).items():
        temporary = folder / f".{name}.csv.{os.getpid()}.tmp"
        table.to_csv(temporary, index=False)
        temporary.replace(folder / f"{name}.csv")
    print(f"{folder}: {args.persons} persons, {args.visits} visits each, no films")


if __name__ == "__main__":
    cli.main(run)
