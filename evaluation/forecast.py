"""Forecast each person's next total from earlier visits, and compare the forecast with naive ones.

    python -m evaluation.forecast --scores TRAINING.csv --people people.csv [--out DIR]
    python -m evaluation.forecast --data SET [--run RUN] [--out DIR]

TRAINING.csv is a table in the RA2-DREAM columns; people.csv has Patient_ID, person_id, visit and, if known, days since the
person's first visit. For a run there are two forecasts of reader 1's next total: one from reader 1's earlier scores and one from
the model's predictions. --out writes forecasts_<source>.csv and numbers.csv.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import prognosis as pg
from evaluation import raters as readers
from evaluation import statistic
from evaluation.prognosis import FORECASTS, MIN_PERSONS, RIDGE, Prognosis, Visits
from evaluation.statistic import Statistic
from ra import atomic, cli, paths, tables
from ra.anatomy import ID, SITES
from ra.config import UserError
from ra.table_validation import ContractError
from ra.text_table import grid
from stage3_stack import submission


def of_tables(scores: Path, people: Path) -> tuple[pd.Index, Visits]:
    """Patient_IDs and their visits; UserError for faulty tables. Patients that only one table lists are dropped with a note."""
    numbers = submission.read_numbers(scores)
    if numbers.isna().all(axis=None):
        raise UserError(f"{scores} holds no score; name its columns as in the challenge, such as Overall_Tol")
    try:
        tables.challenge(list(numbers.columns)).check(numbers.reset_index())
    except ContractError as error:
        raise UserError(f"{scores}: {error}; correct the cell or the row") from error
    visits = _people(people)
    patients = numbers.index[numbers.index.isin(visits.index)]
    if patients.empty:
        raise UserError(f"no {ID} of {scores} is in {people}; give the people of these scores")
    n_dropped = len(numbers) - len(patients)
    if n_dropped:
        print(f"note: {n_dropped} of {len(numbers)} rows of {scores} have no row in {people} and are left out", flush=True)
    visits, numbers = visits.loc[patients], numbers.loc[patients]
    rater = readers.of_table(numbers, numbers[[s.column for s in SITES]].notna().any().to_numpy())
    person, visit, day = (visits[column].to_numpy() for column in ("person_id", "visit", "days"))
    return patients, Visits(person, visit, rater.totals, (rater.grades > 0).sum(axis=1), rater.totals[:, 0], day)


def _people(path: Path) -> pd.DataFrame:
    """person_id, visit and days (NaN if not given), indexed by patient."""
    text = submission.read_text(path)
    for column in (ID, "person_id", "visit"):
        if (text.columns == column).sum() != 1:
            raise UserError(f"{path} has the column {column} {(text.columns == column).sum()} times; it must have it once")
    twice = text[ID][text[ID].duplicated()]
    if len(twice):
        raise UserError(f"{path} has {ID} {twice.iloc[0]} twice; keep one")
    table = text.set_index(ID)
    if "days" not in table:
        table["days"] = ""
    numbers = table[["visit", "days"]].apply(pd.to_numeric, errors="coerce").astype(float)
    bad = table.index[~(numbers.visit >= 1) | (numbers.visit % 1 != 0) | (table.person_id == "")]
    if len(bad):
        raise UserError(f"{path}: {bad[0]} has no person_id or no visit 1, 2, ...; fill in both")
    return numbers.assign(person_id=table.person_id)


def of_run(raters: readers.Raters) -> dict[str, Visits]:
    """Visits by the rater whose earlier scores are used; the outcome is reader 1's total for both."""
    day = pd.Series(dtype=float)
    if paths.activity(raters.data).is_file():
        day = tables.ACTIVITY.read(paths.activity(raters.data)).set_index("patient_id").days
    days = day.reindex(raters.patients).to_numpy(float)
    outcome = raters.by[readers.READER1].totals[:, 0]
    sources = {readers.READER1: raters.by[readers.READER1], f"the {readers.MODEL}": raters.by[readers.MODEL]}
    return {
        name: Visits(raters.person, raters.visit, rater.totals, (rater.whole > 0).sum(axis=1), outcome, days)
        for name, rater in sources.items()
    }


def text(prognosis: Prognosis) -> str:
    """The table of one source, and its verdicts."""
    rows = []
    for name in FORECASTS:
        error = prognosis.error(name, "rmse")
        differences = ["", ""]
        if name != RIDGE:
            differences = [prognosis.difference(name, measure).text for measure in ("rmse", "mae")]
        rows.append([name, str(error.n), error.text, prognosis.error(name, "mae").text, *differences])
    head = ["forecast", "visits", "RMSE", "MAE", "RMSE, ridge - this", "MAE, ridge - this"]
    n, persons = len(prognosis.cases.row), prognosis.cases.persons
    title = f"The next total from {prognosis.source}: {n} visits of {persons} persons; intervals over persons"
    return "\n".join([title, "", grid(head, rows), "", f"The ridge regression {prognosis.verdicts}."])


def too_few_text(learnable: Statistic) -> str:
    """The sentence that replaces a table if there are too few persons."""
    return (
        f"{learnable.of.capitalize()} there is no forecast: {learnable.text} training persons have a scored visit with an "
        f"earlier one, and {MIN_PERSONS} are needed."
    )


def _write(folder: Path, made: list[tuple[pd.Index, Prognosis]]) -> None:
    """numbers.csv, and a table of forecasts per source."""
    statistics = []
    for patients, prognosis in made:
        for measure in ("rmse", "mae"):
            statistics += [prognosis.error(name, measure) for name in FORECASTS]
            statistics += [prognosis.difference(name, measure) for name in FORECASTS[1:]]
        table = pd.DataFrame(prognosis.forecasts, columns=[name.replace(" ", "_") for name in FORECASTS])
        cases = prognosis.cases
        ids = pd.DataFrame({ID: patients[cases.row], "person_id": cases.person, "outcome": cases.outcome})
        atomic.write_table(folder / f"forecasts_{prognosis.source.replace(' ', '_')}.csv", pd.concat([ids, table], axis=1))
    atomic.write_table(folder / "numbers.csv", statistic.table(statistics))


def run() -> None:
    p = cli.parser(__doc__)
    p.add_argument("--scores", type=Path, metavar="CSV", help="scores in the RA2-DREAM columns, a row per set of films")
    p.add_argument("--people", type=Path, metavar="CSV", help="the person and the visit of each set of films")
    p.add_argument("--data", metavar="SET", help="instead of --scores and --people: a prepared set, data/work/SET")
    p.add_argument("--run", default="blend", metavar="RUN", help="with --data: run of stage 3 (default %(default)s)")
    p.add_argument("--out", type=Path, metavar="DIR", help="folder into which forecasts and numbers are written too")
    args = p.parse_args()
    is_train: np.ndarray | None = None
    if args.data:
        raters = readers.load(args.data, args.run)
        patients, sources, is_train = pd.Index(raters.patients), of_run(raters), raters.split == "oof"
    elif args.scores and args.people:
        patients, visits = of_tables(args.scores, args.people)
        sources = {args.scores.stem: visits}
    else:
        raise UserError("give --scores CSV and --people CSV, or --data SET")
    made = []
    for source, visits in sources.items():
        prognosis = pg.prognosis(source, visits, is_train)
        if prognosis is None:
            print(too_few_text(pg.learnable(source, visits, is_train)), end="\n\n")
        else:
            print(text(prognosis), end="\n\n")
            made.append((patients, prognosis))
    if args.out:
        _write(args.out, made)


if __name__ == "__main__":
    cli.main(run)
