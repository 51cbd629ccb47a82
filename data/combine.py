"""Several prepared sets as one, to be trained on together: data/work/A, data/work/B -> data/work/AB.

  python -m data.combine A B [C ...] --data AB [--folds 5]

Films, sites, boxes, Ratingen percentages and activity are put one below the other; the films themselves stay where they are.
Patients and persons keep their ids, but where two sets use the same one it gets its set's name before it; --same-people says that
equal person ids mean one person. Splits stay, folds are made anew and never part a person. A site that a set does not score is
NaN for its patients: it costs nothing in a loss. The template is that of the first set that has one.

A detector that was trained on AB reads a further set C:

  python -m stage1_detect.train --data C --config CONFIG --set start=data/work/AB/stage1/RUN/fold_0/best.safetensors
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data import dicom_headers, file_cache, prepare, sanity_checks
from data.issues import Report
from ra import atomic, cli, folds, manifest, paths
from ra.anatomy import ALL_PARTS, ID, TOTAL
from ra.config import UserError
from ra.tables import ACTIVITY, BOXES, FILM_ISSUES, FILMS, FOLDS, RATINGEN, SITES, Schema

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
SCORED = {"sites.parquet": ["part", "joint", "site", "finding"], "ratingen.parquet": ["part", "joint"]}  # a patient's rows
TEMPLATE, BONE_AGE = "template.csv", "bone_age.parquet"
PATIENT = ["patient_id", "person_id", "visit", "split"]


@dataclass(frozen=True)
class Part:
    """One of the sets: its name and its tables by file name, those that it has."""

    name: str
    tables: dict[str, pd.DataFrame]

    @property
    def patients(self) -> pd.DataFrame:
        """patient_id, person_id, visit, split of every patient whom a table names."""
        named = [table[PATIENT] for table in self.tables.values() if set(PATIENT) <= set(table)]
        return pd.concat(named).drop_duplicates("patient_id")


def run() -> None:
    """The verb."""
    p = argparse.ArgumentParser(
        prog="python -m data.combine",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("sets", nargs="+", metavar="SET", help="prepared sets")
    p.add_argument("--data", required=True, metavar="SET", help="name of the set to be made: data/work/SET")
    p.add_argument("--folds", type=int, default=3, metavar="N", help="patient folds (default %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="of the folds (default %(default)s)")
    p.add_argument("--same-people", action="store_true", help="equal person ids in two sets mean one person")
    p.add_argument("--strict", action="store_true", help="take warnings for errors")
    p.add_argument("--force", action="store_true", help="make again what is already finished")
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
    """Make data/work/<data> of the sets, unless it is finished and was made of the same. UserError for sets that cannot be."""
    started = time.time()
    if len(set(sets)) < 2 or len(set(sets)) < len(sets) or data in sets:
        raise UserError(f"{' '.join(sets)} --data {data}: give two sets or more, each once, and the new one a name of its own")
    inputs = digest(sets, [n_folds, seed, same_people, strict, VERSION])
    target = paths.work(data)
    if prepare.made_of(target) == inputs and not force:
        print(f"{data}: combined, skipped", flush=True)
        return
    loaded = [load(name) for name in sets]
    parts = distinct(loaded, same_people)
    films = pd.concat([part.tables["films.parquet"] for part in parts])
    tags = dicom_headers.read_all(str(paths.ROOT / path) for path in films.path)
    report = Report()
    report.identities = dicom_headers.identities(tags)
    report.counts |= {f"films of {part.name}": len(part.tables["films.parquet"]) for part in parts}
    with prepare.replacing(target) as folder:
        write(parts, folder, n_folds, seed)
        copy_template(loaded, parts, folder)
        known = {path: fact for name in sets for path, fact in file_cache.load(file_cache.store(name)).items()}
        sanity_checks.check(folder, known, tags, report)
        print(f"{data}: {report}", flush=True)
        if strict:
            report.refuse_faults()
        atomic.write_json(folder / prepare.REPORT, {"set": data, "sets": sets, **report.as_dict()})
        prepare.finish(folder, data, inputs, seed, started, report)


def digest(sets: list[str], settings: list) -> str:
    """Hash of the settings and of the sets' own manifests."""
    made = [manifest.file_hash(paths.work(name) / prepare.RUN) for name in sets]
    return hashlib.sha256(json.dumps([sets, made, settings]).encode()).hexdigest()[:16]


def load(name: str) -> Part:
    """The tables of a prepared set; UserError for one that is not there or holds bone ages."""
    folder = paths.work(name)
    if (folder / BONE_AGE).is_file():
        raise UserError(
            f"{name} holds bone ages, no damage; leave it out and pretrain on it: stage2_score.pretrain --data {name}"
        )
    return Part(name, {file: schema.read(folder / file) for file, schema in TABLES.items() if (folder / file).is_file()})


def distinct(parts: list[Part], same_people: bool) -> list[Part]:
    """The sets with ids that no two of them share: one that would be shared gets its set's name before it."""
    shared = {"person_id": set() if same_people else _shared([part.patients.person_id for part in parts])}
    shared["patient_id"] = _shared([part.patients.patient_id for part in parts])
    films = [part.tables["films.parquet"] for part in parts]
    of_shared = [table.film_id[table.patient_id.isin(shared["patient_id"])] for table in films]
    shared["film_id"] = _shared([table.film_id for table in films]).union(*of_shared)
    shared["film"] = shared["film_id"] | _shared(
        [part.tables["film_issues.parquet"].film for part in parts if "film_issues.parquet" in part.tables]
    )

    def own(name: str, table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(
            **{
                column: [f"{name}.{value}" if value in shared[column] else value for value in table[column]]
                for column in shared.keys() & set(table)
            }
        )

    return [Part(part.name, {file: own(part.name, table) for file, table in part.tables.items()}) for part in parts]


def _shared(ids: list[pd.Series]) -> set[str]:
    """Ids that more than one of the sets uses."""
    counts = pd.concat([pd.Series(values.dropna().unique(), dtype=object) for values in ids]).value_counts() if ids else {}
    return {id_ for id_, count in counts.items() if count > 1}


def write(parts: list[Part], folder: Path, n_folds: int, seed: int) -> None:
    """Every table of the sets, one below the other, and folds of all training patients."""
    patients = pd.concat([part.patients for part in parts], ignore_index=True)
    for file, schema in TABLES.items():
        tables = [part.tables[file] for part in parts if file in part.tables]
        if not tables or schema is FOLDS:
            continue
        table = pd.concat(tables, ignore_index=True)
        schema.write(filled(table, patients, SCORED[file]) if file in SCORED else table, folder / file)
    of_fold = pd.concat([part.tables["folds.csv"].patient_id for part in parts])
    training = patients[patients.patient_id.isin(of_fold)]
    missing = of_fold[~of_fold.isin(training.patient_id)]  # patients of whom nothing but the folds knows
    training = pd.concat([training, pd.DataFrame({"patient_id": missing, "person_id": missing})])
    total = training.patient_id.map(totals(parts))
    FOLDS.write(folds.make(training[["patient_id", "person_id"]].assign(total=total), n_folds, seed), folder / "folds.csv")


def copy_template(before: list[Part], after: list[Part], folder: Path) -> None:
    """The template of the first set that has one, its patients under the ids that they have now."""
    for old, new in zip(before, after, strict=True):
        template = paths.work(old.name) / TEMPLATE
        if template.is_file():
            now = dict(zip(old.patients.patient_id, new.patients.patient_id, strict=True))
            table = pd.read_csv(template, dtype=str, keep_default_na=False)
            ids = [now.get(i, i) for i in table[ID]]
            if ids == list(table[ID]):
                shutil.copyfile(template, folder / TEMPLATE)
            else:
                table.assign(**{ID: ids}).to_csv(folder / TEMPLATE, index=False)
            return


def filled(table: pd.DataFrame, patients: pd.DataFrame, places: list[str]) -> pd.DataFrame:
    """The table with a row for each patient and place that any patient has; what was not scored is NaN.

    But a total of hands as a whole is its patient's alone: that it is there tells what the patient's film shows.
    """
    alone = (table.site == TOTAL) & (table.part != ALL_PARTS) if "site" in table else pd.Series(False, table.index)
    scored = table[~alone]
    every = patients[PATIENT].merge(scored[places].drop_duplicates(), how="cross")
    value = [column for column in table.columns if column not in (*PATIENT, *places)]
    rows = every.merge(scored[["patient_id", *places, *value]], on=["patient_id", *places], how="left", validate="one_to_one")
    return pd.concat([rows, table[alone]], ignore_index=True)


def totals(parts: list[Part]) -> pd.Series:
    """Each patient's total as given, else the sum of what was scored; for the folds' strata."""
    tables = [part.tables["sites.parquet"] for part in parts if "sites.parquet" in part.tables]
    if not tables:
        return pd.Series(dtype=float)
    rows = pd.concat(tables)
    given = rows[(rows.site == TOTAL) & (rows.finding == TOTAL)].groupby("patient_id").target.max()
    return given.combine_first(rows[rows.site != TOTAL].groupby("patient_id").target.sum(min_count=1))


if __name__ == "__main__":
    cli.main(run)
