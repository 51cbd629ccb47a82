"""Forecast each person's next total from his earlier visits, against the naive forecasts.

    python -m evaluation.forecast --scores TRAINING.csv --people people.csv [--out DIR]
    python -m evaluation.forecast --data SET --run RUN [--out DIR]

TRAINING.csv is a table in the RA2-DREAM columns; people.csv has Patient_ID, person_id, visit and, if known, days since the
person's first visit. Of a run both reader 1's scores and the model's reading are forecast from; reader 1's next total is what is
forecast. --out writes forecasts_<source>.csv and numbers.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from evaluation import prognosis as pg
from evaluation import raters as readers
from evaluation import statistic
from evaluation.prognosis import FORECASTS, LEAST, RIDGE, Prognosis, Visits
from evaluation.statistic import Statistic
from ra import cli, paths, tables
from ra.anatomy import ID
from ra.config import UserError
from ra.schema import ContractError
from ra.text_table import grid
from stage3_stack import submission


def of_tables(scores: Path, people: Path) -> tuple[pd.Index, Visits]:
    """Patient_IDs and their visits; UserError for tables that cannot be trusted. Patients of one table alone are left out."""
    numbers = submission.read_numbers(scores)
    if numbers.isna().all(axis=None):
        raise UserError(f"{scores} holds no score; its columns are named as in the challenge, such as Overall_Tol")
    try:
        tables.challenge(list(numbers.columns)).check(numbers.reset_index())
    except ContractError as error:
        raise UserError(f"{scores}: {error}; correct the cell or the row") from error
    who = _people(people)
    known = numbers.index[numbers.index.isin(who.index)]
    if known.empty:
        raise UserError(f"no {ID} of {scores} is in {people}; give the people of these scores")
    left = len(numbers) - len(known)
    if left:
        print(f"note: {left} of {len(numbers)} rows of {scores} have no row in {people} and are left out", flush=True)
    who, numbers = who.loc[known], numbers.loc[known]
    rater = readers.of_table(numbers, numbers[[s.column for s in readers.SITES]].notna().any().to_numpy())
    person, visit, day = (who[column].to_numpy() for column in ("person_id", "visit", "days"))
    return known, Visits(person, visit, rater.totals, (rater.grades > 0).sum(axis=1), rater.totals[:, 0], day)


def _people(path: Path) -> pd.DataFrame:
    """person_id, visit, days (NaN where not told), indexed by patient."""
    text = submission.read_text(path)
    for column in (ID, "person_id", "visit"):
        if (text.columns == column).sum() != 1:
            raise UserError(f"{path} has the column {column} {(text.columns == column).sum()} times; it needs it once")
    twice = text[ID][text[ID].duplicated()]
    if len(twice):
        raise UserError(f"{path} has {ID} {twice.iloc[0]} twice; keep one row")
    out = text.set_index(ID)
    numbers = {name: pd.to_numeric(out[name] if name in out else pd.Series("", out.index), errors="coerce").astype(float)
               for name in ("visit", "days")}  # fmt: skip
    bad = out.index[~(numbers["visit"] >= 1) | (numbers["visit"] % 1 != 0) | (out.person_id == "")]
    if len(bad):
        raise UserError(f"{path}: {bad[0]} has no person_id or no visit 1, 2, ...; fill in both")
    return pd.DataFrame({"person_id": out.person_id, **numbers})


def of_run(known: readers.Raters) -> dict[str, Visits]:
    """Visits by the rater whose earlier scores are used; the outcome is reader 1's total in both."""
    day = pd.Series(dtype=float)
    if paths.activity(known.data).is_file():
        day = tables.ACTIVITY.read(paths.activity(known.data)).set_index("patient_id").days
    days = day.reindex(known.patients).to_numpy(float)
    outcome = known.by[readers.READER1].totals[:, 0]
    found = {readers.READER1: known.by[readers.READER1], f"the {readers.MODEL}": known.by[readers.MODEL]}
    return {
        name: Visits(known.person, known.visit, rater.totals, (rater.whole > 0).sum(axis=1), outcome, days)
        for name, rater in found.items()
    }


def told(made: Prognosis) -> str:
    """The table of one source, and its verdicts."""
    rows = []
    for name in FORECASTS:
        less = [] if name == RIDGE else [made.difference(name, measure).text for measure in ("rmse", "mae")]
        error = made.error(name, "rmse")
        rows.append([name, str(error.n), error.text, made.error(name, "mae").text, *(less or ["", ""])])
    head = ["forecast", "visits", "RMSE", "MAE", "ridge less it, RMSE", "ridge less it, MAE"]
    title = f"The next total from {made.source}: {len(made.found.row)} visits of {made.found.persons} persons, persons whole"
    return "\n".join([title, "", grid(head, rows), "", f"The ridge regression {made.verdicts}."])


def too_few(learnable: Statistic) -> str:
    """The sentence in place of a table."""
    return (
        f"{learnable.of.capitalize()} nothing can be said of a forecast: {learnable.text} persons to learn from have a scored "
        f"visit with an earlier one, and {LEAST} are needed."
    )


def _write(folder: Path, made: list[tuple[pd.Index, Prognosis]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figures = [of(name, m) for _, p in made for m in ("rmse", "mae") for of, names in ((p.error, FORECASTS),
               (p.difference, FORECASTS[1:])) for name in names]  # fmt: skip
    files = {"numbers.csv": statistic.table(figures)}
    for patients, p in made:
        table = pd.DataFrame(p.forecasts, columns=[name.replace(" ", "_") for name in FORECASTS])
        ids = pd.DataFrame({ID: patients[p.found.row], "person_id": p.found.person, "outcome": p.found.outcome})
        files[f"forecasts_{p.source.replace(' ', '_')}.csv"] = pd.concat([ids, table], axis=1)
    for name, table in files.items():
        temporary = folder / f".{name}.tmp"
        table.to_csv(temporary, index=False)
        temporary.replace(folder / name)


def run() -> None:
    p = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--scores", type=Path, metavar="CSV", help="scores in the RA2-DREAM columns, a row per set of films")
    p.add_argument("--people", type=Path, metavar="CSV", help="whose they are and which visit")
    p.add_argument("--data", metavar="SET", help="instead: a prepared set, data/work/SET")
    p.add_argument("--run", default="blend", metavar="NAME", help="and its run of stage 3 (default %(default)s)")
    p.add_argument("--out", type=Path, metavar="DIR", help="also write the forecasts and the numbers here")
    args = p.parse_args()
    if args.data:
        known = readers.load(args.data, args.run)
        patients, sources, learn = pd.Index(known.patients), of_run(known), known.split == "oof"
    elif args.scores and args.people:
        patients, visits = of_tables(args.scores, args.people)
        sources, learn = {args.scores.stem: visits}, None
    else:
        raise UserError("give --scores CSV and --people CSV, or --data SET")
    made = {source: pg.prognosis(source, visits, learn) for source, visits in sources.items()}
    for source, found in made.items():
        print(told(found) if found else too_few(pg.learnable(source, sources[source], learn)), end="\n\n")
    if args.out:
        _write(args.out, [(patients, found) for found in made.values() if found])


if __name__ == "__main__":
    cli.main(run)
