"""Combine several prepared sets into one, to train on them together: data/work/A, data/work/B -> data/work/AB.

  python -m data.combine A B [C ...] --data AB [--folds 5]

The tables of films, sites, boxes, Ratingen percentages and disease activity are concatenated; the films stay where they are.
Patients and persons keep their ids, except that an id used by two sets gets its set's name as prefix; with --same-people, equal
person ids mean one person. Splits stay the same. New folds are made; all visits of a person are in one fold. A site that a set
does not score is NaN for its patients and adds nothing to a loss. template.csv is copied from the first set that has one.

To train the detector on a further set C starting from one that was trained on AB:

  python -m stage1_detect.train configs/joints/detect --data C --set start=data/work/AB/stage1/RUN/fold_0/best.safetensors
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data import dicom_headers, file_cache, prepared_set, sanity_checks
from data.issues import Report
from ra import atomic, cli, folds, manifest, paths
from ra.anatomy import ALL_PARTS, ID, TOTAL
from ra.config import UserError
from ra.table_validation import Schema
from ra.tables import ACTIVITY, BOXES, FILM_ISSUES, FILMS, FOLDS, RATINGEN, SITES

VERSION = 1  # raised when the same sets would be combined differently
TABLES: dict[str, Schema] = {
    "films.parquet": FILMS,
    "folds.csv": FOLDS,
    "sites.parquet": SITES,
    "ratingen.parquet": RATINGEN,
    "activity.parquet": ACTIVITY,
    "boxes.parquet": BOXES,
    "film_issues.parquet": FILM_ISSUES,
}
SITE_KEYS = {"sites.parquet": ["part", "joint", "site", "finding"], "ratingen.parquet": ["part", "joint"]}  # within a patient
TEMPLATE, BONE_AGE = "template.csv", "bone_age.parquet"
PATIENT = ["patient_id", "person_id", "visit", "split"]


@dataclass(frozen=True)
class PreparedSet:
    """A set: its name, and its tables by file name (not every set has all of TABLES)."""

    name: str
    tables: dict[str, pd.DataFrame]

    @property
    def patients(self) -> pd.DataFrame:
        """patient_id, person_id, visit, split of every patient in any of the tables."""
        rows = [table[PATIENT] for table in self.tables.values() if set(PATIENT) <= set(table)]
        return pd.concat(rows).drop_duplicates("patient_id")


def run() -> None:
    """Combine the sets that the command line names."""
    p = cli.parser(__doc__, "force")
    p.add_argument("sets", nargs="+", metavar="SET", help="prepared sets")
    p.add_argument("--data", required=True, metavar="SET", help="name of the new set: data/work/SET")
    p.add_argument("--folds", type=int, default=3, metavar="N", help="number of patient folds (default %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="random seed of the folds (default %(default)s)")
    p.add_argument("--same-people", action="store_true", help="equal person ids in two sets mean one person")
    p.add_argument("--strict", action="store_true", help="treat warnings as errors")
    args = p.parse_args()
    options = {"same_people": args.same_people, "strict": args.strict, "force": args.force}
    combine(args.sets, args.data, args.folds, args.seed, **options)


def combine(
    sets: list[str],
    data: str,
    n_folds: int = 3,
    seed: int = 0,
    *,
    same_people: bool = False,
    strict: bool = False,
    force: bool = False,
) -> None:
    """Make data/work/<data> from the sets, unless it is finished and they are unchanged.

    UserError if the sets cannot be combined.
    """
    started = time.time()
    if len(set(sets)) < 2 or len(set(sets)) < len(sets) or data in sets:
        raise UserError(f"{' '.join(sets)} --data {data}: give two or more sets, each once, and a new name with --data")
    settings = {"folds": n_folds, "seed": seed, "same_people": same_people, "strict": strict}
    records = {name: manifest.file_hash(paths.work(name) / prepared_set.RECORD) for name in sets}
    inputs = {"settings": settings, "version": VERSION, "sets": list(records.items())}
    if not prepared_set.needs_work(data, inputs, force):
        return
    before = [load(name) for name in sets]
    after = with_distinct_ids(before, same_people)
    films = pd.concat([prepared.tables["films.parquet"] for prepared in after])
    tags = dicom_headers.read_all(str(paths.ROOT / path) for path in films.path)
    report = Report()
    report.identities = dicom_headers.identities(tags)
    report.counts |= {f"films of {prepared.name}": len(prepared.tables["films.parquet"]) for prepared in after}
    with prepared_set.replacing(data) as folder:
        write(after, folder, n_folds, seed)
        copy_template(before, after, folder)
        file_facts = {path: fact for name in sets for path, fact in file_cache.load(file_cache.cache_file(name)).items()}
        sanity_checks.check(folder, file_facts, tags, report)
        print(f"{data}: {report}", flush=True)
        if strict:
            report.refuse_faults()
        seconds = round(time.time() - started, 1)
        prepared_set.finish(folder, data, {"sets": sets}, inputs, report, seed=seed, seconds=seconds)


def load(name: str) -> PreparedSet:
    """The tables of a prepared set; UserError when it is missing or holds bone ages."""
    folder = paths.work(name)
    if (folder / BONE_AGE).is_file():
        raise UserError(
            f"{name} holds bone ages, not scores of damage; leave it out and pretrain on it: stage2_score.pretrain --data {name}"
        )
    return PreparedSet(name, {file: schema.read(folder / file) for file, schema in TABLES.items() if (folder / file).is_file()})


def with_distinct_ids(sets: list[PreparedSet], same_people: bool) -> list[PreparedSet]:
    """The sets with ids that no two of them share: a shared id gets its set's name as prefix."""
    film_tables = [prepared.tables["films.parquet"] for prepared in sets]
    issue_tables = [prepared.tables["film_issues.parquet"] for prepared in sets if "film_issues.parquet" in prepared.tables]
    people = set() if same_people else _shared([prepared.patients.person_id for prepared in sets])
    patients = _shared([prepared.patients.patient_id for prepared in sets])
    films = _shared([table.film_id for table in film_tables])
    for table in film_tables:
        films.update(table.film_id[table.patient_id.isin(patients)])
    shared = {
        "person_id": people,
        "patient_id": patients,
        "film_id": films,
        "film": films | _shared([table.film for table in issue_tables]),  # film ids, and names of files without a film
    }
    out = []
    for prepared in sets:
        tables = {file: _prefixed(table, prepared.name, shared) for file, table in prepared.tables.items()}
        out.append(PreparedSet(prepared.name, tables))
    return out


def _prefixed(table: pd.DataFrame, name: str, shared: dict[str, set[str]]) -> pd.DataFrame:
    """The table with `name.` before each shared id. shared: the shared ids by column."""
    out = table.copy()
    for column in shared.keys() & set(table):
        out[column] = [f"{name}.{value}" if value in shared[column] else value for value in table[column]]
    return out


def _shared(ids: list[pd.Series]) -> set[str]:
    """Ids that more than one of the sets uses."""
    counts = pd.concat([pd.Series(values.dropna().unique(), dtype=object) for values in ids]).value_counts() if ids else {}
    return {id_ for id_, count in counts.items() if count > 1}


def write(sets: list[PreparedSet], folder: Path, n_folds: int, seed: int) -> None:
    """Write the concatenated tables, and folds of all training patients."""
    patients = pd.concat([prepared.patients for prepared in sets], ignore_index=True)
    for file, schema in TABLES.items():
        tables = [prepared.tables[file] for prepared in sets if file in prepared.tables]
        if not tables or schema is FOLDS:
            continue
        table = pd.concat(tables, ignore_index=True)
        schema.write(with_unscored_rows(table, patients, SITE_KEYS[file]) if file in SITE_KEYS else table, folder / file)
    fold_ids = pd.concat([prepared.tables["folds.csv"].patient_id for prepared in sets])
    training = patients[patients.patient_id.isin(fold_ids)]
    only_in_folds = fold_ids[~fold_ids.isin(training.patient_id)]
    training = pd.concat([training, pd.DataFrame({"patient_id": only_in_folds, "person_id": only_in_folds})])
    total = training.patient_id.map(totals(sets))
    FOLDS.write(folds.make(training[["patient_id", "person_id"]].assign(total=total), n_folds, seed), folder / "folds.csv")


def copy_template(before: list[PreparedSet], after: list[PreparedSet], folder: Path) -> None:
    """Copy the template of the first set that has one, its patients under their ids in the combined set."""
    for old, new in zip(before, after, strict=True):
        template = paths.work(old.name) / TEMPLATE
        if template.is_file():
            new_id = dict(zip(old.patients.patient_id, new.patients.patient_id, strict=True))
            table = pd.read_csv(template, dtype=str, keep_default_na=False)
            ids = [new_id.get(i, i) for i in table[ID]]
            if ids == list(table[ID]):
                shutil.copyfile(template, folder / TEMPLATE)
            else:
                atomic.write_table(folder / TEMPLATE, table.assign(**{ID: ids}))
            return


def with_unscored_rows(table: pd.DataFrame, patients: pd.DataFrame, site_keys: list[str]) -> pd.DataFrame:
    """The table with a row for every patient and every site that any patient has; the added ones are NaN.

    No rows are added for totals of hands: which of them a patient has shows which hands are on the patient's film.
    """
    is_hand_total = (table.site == TOTAL) & (table.part != ALL_PARTS) if "site" in table else pd.Series(False, table.index)
    scored = table[~is_hand_total]
    every = patients[PATIENT].merge(scored[site_keys].drop_duplicates(), how="cross")
    values = [column for column in table.columns if column not in (*PATIENT, *site_keys)]
    columns = ["patient_id", *site_keys, *values]
    rows = every.merge(scored[columns], on=["patient_id", *site_keys], how="left", validate="one_to_one")
    return pd.concat([rows, table[is_hand_total]], ignore_index=True)


def totals(sets: list[PreparedSet]) -> pd.Series:
    """Each patient's total for the strata of the folds: the given one, else the sum of the scored sites."""
    tables = [prepared.tables["sites.parquet"] for prepared in sets if "sites.parquet" in prepared.tables]
    if not tables:
        return pd.Series(dtype=float)
    rows = pd.concat(tables)
    given = rows[(rows.site == TOTAL) & (rows.finding == TOTAL)].groupby("patient_id").target.max()
    return given.combine_first(rows[rows.site != TOTAL].groupby("patient_id").target.sum(min_count=1))


if __name__ == "__main__":
    cli.main(run)
