"""Persons with several yearly visits, without films: test data for forecasts of the next visit.

    python -m data.phantom.histories --out DIR --persons 300 --visits 4 --seed 7

Severity, its progression and both readers are drawn as in the cohort (data.phantom.severity). Writes DIR/training.csv (reader 1),
reader2.csv and truth.csv in the RA2-DREAM columns and people.csv (Patient_ID, person_id, visit, days since the first visit). The
tables are a pure function of the flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ra import atomic, cli
from ra.anatomy import COLUMNS_B, ID, OVERALL, SITES
from ra.config import UserError

YEAR_DAYS, MAX_DELAY_DAYS = 365, 30  # a visit takes place up to a month before or after its planned day
TABLES = ("training", "reader2", "truth", "people")


@dataclass(frozen=True)
class Histories:
    """Settings; the defaults draw patients and readers as in the default cohort."""

    persons: int = 300
    visits: int = 4
    seed: int = 2026
    shift: float = 1.0  # as in cohort.Cohort
    reader_noise: float = 0.85  # as in cohort.Cohort

    def __post_init__(self) -> None:
        if self.persons < 1 or self.visits < 1:
            raise UserError(f"{self.persons} persons with {self.visits} visits give no table; give at least 1 of each")


def draw(settings: Histories) -> dict[str, pd.DataFrame]:
    """The four tables, by name, with a row per visit; damage never heals."""
    from data.phantom import severity as sv

    grades: dict[str, list[np.ndarray]] = {name: [] for name in TABLES[:3]}
    people = []
    for person in range(settings.persons):
        rng = np.random.default_rng((settings.seed, person))
        healthy = rng.random() < sv.HEALTHY
        damage = sv.severity_of(sv.grade_of(sv.latent(rng, sv.patient_level(rng, settings.shift))), rng) * (not healthy)
        day = 0
        for visit in range(1, settings.visits + 1):
            if visit > 1:
                damage = sv.progress(damage, rng)
                day += YEAR_DAYS + int(rng.integers(-MAX_DELAY_DAYS, MAX_DELAY_DAYS + 1))
            for name in TABLES[:2]:
                grades[name].append(sv.read(damage, rng, settings.reader_noise))
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
    """Draw the persons and write the four tables."""
    p = cli.parser(__doc__)
    p.add_argument("--out", required=True, metavar="DIR", help="folder for the four tables")
    numbers = {"persons": "number of persons", "visits": "visits per person, a year apart", "seed": "random seed"}
    for name, text in numbers.items():
        p.add_argument(f"--{name}", type=int, default=getattr(Histories, name), metavar="N", help=f"{text} (default %(default)s)")
    args = p.parse_args()
    folder = Path(args.out)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give --out a folder")
    for name, table in draw(Histories(args.persons, args.visits, args.seed)).items():
        atomic.write_table(folder / f"{name}.csv", table)
    print(f"{folder}: {args.persons} persons, {args.visits} visits each, no films")


if __name__ == "__main__":
    cli.main(run)
