"""RA2-DREAM: train/training.csv, train/<id>-<part>.jpg, test/template.csv, test/<id>-<part>.jpg; the rest is optional.

A folder with only test/ holds patients to be scored by a system trained on another set. If it has no template.csv, every patient
with a film there is scored.

Joint boxes, in one format: train/joints.coco.json (COCO), train/labels/<film>.txt (YOLO) or train/<film>.json (labelme).

{train,test}/people.csv: Patient_ID, person_id, visit, if a person has several sets of films.

train/ratingen.csv: Patient_ID, part, joint (anatomy.RATINGEN_JOINTS; the wrist is one), percent or grade or both; a missing
percent is replaced by the middle of the grade's range (0, 10, 30, 50, 70, 90).

{train,test}/activity.csv: disease activity, which no film shows. Patient_ID, days since the person's first visit, and the
components of the DAS28: tender and swollen joints (0..28), esr (mm/h), crp (mg/L) and global (0..100), empty if not measured.

Scores for evaluation, which become separate tables and are never used for training. In the columns of training.csv:
gold/gold.csv (test patients, scored by the reader of the training targets), {train,gold}/reader2.csv (a second reader) and
{train,gold}/truth.csv (the generator's truth); in the columns of train/ratingen.csv: gold/ratingen.csv. No other file in the
root is read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from data import csv_input, film_files
from data.annotations import boxes
from data.issues import Report
from data.sources import Raw, activity
from ra import anatomy, clinical, film_names
from ra.config import UserError
from ra.table_validation import Schema
from ra.tables import ACTIVITY, RATINGEN, SITES, challenge

READERS = {"gold": ("gold",), "reader2": ("train", "gold"), "truth": ("train", "gold")}  # name of the CSV -> its folders
TABLES = {"train": "training.csv", "test": "template.csv"}
RATINGEN_CSV, ACTIVITY_CSV = "ratingen.csv", "activity.csv"
BOUNDS = {
    **{site.column: (0, site.max_grade) for site in anatomy.SITES},
    **{column: (0, anatomy.MAX_TOTAL[finding]) for finding, column in anatomy.OVERALL.items()},
}


def splits(root: Path) -> list[str]:
    """The splits of the folder: both, or only test if there is no train/."""
    return ["test"] if (root / "test").is_dir() and not (root / "train").exists() else list(TABLES)


def films(root: Path) -> list[Path]:
    """Every film file of both splits."""
    return [path for split in splits(root) for path in film_files.listing(root / split)]


def texts(root: Path) -> list[Path]:
    """The CSV and JSON files that `read` reads, if they exist."""
    wanted = [root / split / name for split, table in TABLES.items() for name in (table, "people.csv", ACTIVITY_CSV)]
    wanted += [*_percent_files(root).values(), *(path for name in READERS for path in _reader_files(root, name))]
    return [path for path in wanted if path.is_file()] + list(boxes.find(root / "train"))


def read(root: Path, report: Report) -> Raw:
    """Both splits. UserError for faults that make the data untrustworthy; other faults are warnings in the report."""
    cells = {split: _cells(root, split) if split in splits(root) else [] for split in TABLES}
    ids = {split: csv_input.check_ids(root / split / TABLES[split], rows, anatomy.ID) for split, rows in cells.items()}
    both = sorted(set(ids["train"]) & set(ids["test"]))
    if both:
        raise UserError(f"{both[0]} is in train/training.csv and in test/template.csv; a patient belongs to one of them")
    grades = csv_input.numbers(root / "train" / TABLES["train"], cells["train"], anatomy.ID, BOUNDS)
    _compare_totals(ids["train"], grades, report)
    for patient_id, row in zip(ids["test"], cells["test"], strict=True):
        if any(row.get(column, "").lower() not in csv_input.EMPTY for column in BOUNDS):
            report.warn("grade in the template", patient_id)

    patients = {split: _people(root / split, ids[split], split, report) for split in TABLES}
    shared = {p["person_id"] for p in patients["train"]} & {p["person_id"] for p in patients["test"]}
    for person in sorted(shared):
        report.warn("person in train and test", person)

    empty = [dict.fromkeys(BOUNDS, np.nan) for _ in ids["test"]]
    tables = {"sites.parquet": (SITES, pd.DataFrame(site_rows(patients["train"], grades) + site_rows(patients["test"], empty)))}
    train_percents, test_percents = _percent_files(root).values()
    if train_percents.is_file():
        percents = _percents(train_percents, ids["train"], report)
        tables["ratingen.parquet"] = (RATINGEN, _ratingen(patients["train"] + patients["test"], percents))
        report.counts |= {"Ratingen joints scored": int(np.isfinite(list(percents.values())).sum())}
    if test_percents.is_file():
        percents = _percents(test_percents, ids["test"], report)
        tables["ratingen_gold.parquet"] = (RATINGEN, _ratingen(patients["test"], percents))
    tables |= _activity(root, patients, report)
    tables |= _readers(root, [*ids["train"], *ids["test"]], report)
    film_of = {split: film_files.by_part(root / split, ids[split], report) for split in splits(root)}
    training = pd.DataFrame(patients["train"], columns=["patient_id", "person_id"])
    report.counts |= {f"{split} patients": len(ids[split]) for split in splits(root)}
    report.counts |= {"cells not scored": int(sum(np.isnan(v) for row in grades for v in row.values()))}
    return Raw(
        films=[
            film_files.row(patient, part, film_of[split][patient["patient_id"], part])
            for split in splits(root)
            for patient in patients[split]
            for part in anatomy.PARTS
            if (patient["patient_id"], part) in film_of[split]
        ],
        patients=training.assign(total=[row[anatomy.OVERALL["total"]] for row in grades]),
        tables=tables,
        boxes=boxes.find(root / "train"),
        copies={path.name: path for path in [root / "test" / TABLES["test"]] if path.is_file()},
    )


def _cells(root: Path, split: str) -> list[csv_input.Row]:
    """The rows of a split's table; if a folder with only test/ has no table, a row for each patient with a film."""
    path = root / split / TABLES[split]
    if path.is_file() or "train" in splits(root):
        return csv_input.read(path, anatomy.COLUMNS_A)
    names = [film_names.split(film.stem) for film in film_files.listing(path.parent)]
    patients = sorted({patient for patient, part in names if part and patient})
    if not patients:
        raise UserError(f"{path.parent} holds no film named <Patient_ID>-<LH|RH|LF|RF>, and no {path.name} that lists patients")
    return [{anatomy.ID: patient} for patient in patients]


def _activity(root: Path, patients: dict[str, list[dict]], report: Report) -> dict[str, tuple[Schema, pd.DataFrame]]:
    """Disease activity of both splits, if anything was measured."""
    paths = {split: path for split in TABLES if (path := root / split / ACTIVITY_CSV).is_file()}
    tables = [activity.read_sets(path, patients[split], report) for split, path in paths.items()]
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if rows.empty or rows[list(activity.BOUNDS)].isna().all(axis=None):
        return {}
    activity.check_order(rows)
    report.counts |= {"visits with disease activity": len(rows)}
    return {"activity.parquet": (ACTIVITY, activity.table(rows, ACTIVITY_CSV, report))}


def _reader_files(root: Path, name: str) -> list[Path]:
    """Paths of a reader's CSVs, which may not exist."""
    return [root / folder / f"{name}.csv" for folder in READERS[name]]


def _readers(root: Path, ids: list[str], report: Report) -> dict[str, tuple[Schema, pd.DataFrame]]:
    """Table name -> schema and rows of every other reader's scores in the root."""
    columns, out = list(anatomy.COLUMNS_A[1:]), {}
    for name in READERS:
        rows: dict[str, dict[str, float]] = {}
        for path in (path for path in _reader_files(root, name) if path.is_file()):
            cells = csv_input.read(path, anatomy.COLUMNS_A)
            listed = csv_input.check_ids(path, cells, anatomy.ID)
            for patient_id, row in zip(listed, csv_input.numbers(path, cells, anatomy.ID, BOUNDS), strict=True):
                if patient_id in ids:
                    rows[patient_id] = row
                else:
                    report.warn(f"unknown patient in {path.name}", f"{path.parent.name}/{patient_id}")
        if rows:
            table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(anatomy.ID).reset_index()
            out[f"{name}.csv"] = (challenge(columns), table)
    return out


def _people(folder: Path, ids: list[str], split: str, report: Report) -> list[dict]:
    """patient_id, person_id, visit, split of each id. people.csv assigns several ids to one person."""
    person_and_visit: dict[str, tuple[str, int]] = {}
    path = folder / "people.csv"
    if path.is_file():
        rows = csv_input.read(path, (anatomy.ID, "person_id", "visit"), strict=False)
        listed = csv_input.check_ids(path, rows, anatomy.ID)
        visits = csv_input.numbers(path, rows, anatomy.ID, {"visit": (1, 10_000)})
        for patient_id, row, visit in zip(listed, rows, visits, strict=True):
            if patient_id not in ids:
                report.warn("unknown patient in people.csv", f"{split}/{patient_id}")
            person_and_visit[patient_id] = (
                row["person_id"] or patient_id,
                1 if np.isnan(visit["visit"]) else int(visit["visit"]),
            )
    out = []
    for patient_id in ids:
        person_id, visit = person_and_visit.get(patient_id, (patient_id, 1))
        out.append({"patient_id": patient_id, "person_id": person_id, "visit": visit, "split": split})
    return out


def site_rows(patients: list[dict], grades: list[dict[str, float]]) -> list[dict]:
    """89 rows of the sites table per patient: 86 sites and the three totals."""
    out = []
    for patient, row in zip(patients, grades, strict=True):
        for site in anatomy.SITES:
            keys = {"part": site.part, "joint": site.joint, "site": site.site, "finding": site.finding}
            out.append({**patient, **keys, "target": row[site.column]})
        for finding, column in anatomy.OVERALL.items():
            keys = {"part": anatomy.ALL_PARTS, "joint": anatomy.TOTAL, "site": anatomy.TOTAL, "finding": finding}
            out.append({**patient, **keys, "target": row[column]})
    return out


def _percent_files(root: Path) -> dict[str, Path]:
    """Paths of the Ratingen scores by split; they may not exist."""
    return {"train": root / "train" / RATINGEN_CSV, "test": root / "gold" / RATINGEN_CSV}


def _percents(path: Path, ids: list[str], report: Report) -> dict[tuple[str, str, str], float]:
    """Percent 0..100 by (patient_id, part, joint) of ratingen.csv; NaN if neither percent nor grade is given."""
    rows = csv_input.read(path, (anatomy.ID, "part", "joint"), strict=False)
    if not {"percent", "grade"} & set(rows[0]):
        raise UserError(f"{path} lacks column percent; add it, or grade, with empty cells where nothing was scored")
    out: dict[tuple[str, str, str], float] = {}
    for number, row in enumerate(rows, 2):
        where = f"{path} row {number} ({' '.join(csv_input.shown(row[name]) for name in (anatomy.ID, 'part', 'joint'))})"
        key = (row[anatomy.ID], row["part"], row["joint"])
        if key[1] not in anatomy.PARTS:
            raise UserError(f"{where}: part {csv_input.shown(key[1])!r} is not one of {', '.join(anatomy.PARTS)}; correct it")
        joints = anatomy.RATINGEN_JOINTS[anatomy.limb(key[1])]
        if key[2] not in joints:
            raise UserError(
                f"{where}: joint {csv_input.shown(key[2])!r} of part {key[1]} is not one of {', '.join(joints)}; correct it"
            )
        if key in out:
            raise UserError(f"{where} scores its joint a second time; keep one row per patient, part and joint")
        out[key] = _percent(row, where, report)
    unknown = sorted({key[0] for key in out} - set(ids))
    for patient_id in unknown:
        report.warn("unknown patient in ratingen.csv", f"{path.parent.name}/{patient_id}")
    return {key: percent for key, percent in out.items() if key[0] not in unknown}


def _percent(row: csv_input.Row, where: str, report: Report) -> float:
    """The row's percent, else the middle of its grade's range, else NaN."""
    percent, grade = (
        _number(row.get(name, ""), high, f"{where}: {name}", whole)
        for name, high, whole in (("percent", 100, False), ("grade", 5, True))
    )
    if np.isnan(percent):
        return percent if np.isnan(grade) else float(clinical.GRADE2PERCENT[int(grade)])
    if not np.isnan(grade) and clinical.percent2grade(percent) != grade:
        report.warn("Ratingen grade differs from its percent", f"{where}: {percent:g} % and grade {grade:g}")
    return percent


def _number(text: str, high: int, where: str, whole: bool) -> float:
    """The cell as a number from 0 to high, NaN if empty; `where` names it in the error."""
    kind = csv_input.integer if whole else csv_input.number
    try:
        return kind(text, 0, high)
    except ValueError:
        wanted = f"{csv_input.KINDS[kind]} from 0 to {high}"
        raise UserError(
            f"{where} is {csv_input.shown(text)!r}, not a {wanted}; correct it, or empty the cell if it was not scored"
        ) from None


def _ratingen(patients: list[dict], percents: dict[tuple[str, str, str], float]) -> pd.DataFrame:
    """34 rows of the Ratingen table per patient; NaN for a joint without a percent."""
    return pd.DataFrame(
        {**patient, "part": part, "joint": joint, "percent": percents.get((patient["patient_id"], part, joint), np.nan)}
        for patient in patients
        for part in anatomy.PARTS
        for joint in anatomy.RATINGEN_JOINTS[anatomy.limb(part)]
    )


def _compare_totals(ids: list[str], grades: list[dict[str, float]], report: Report) -> None:
    """Warn if all sites of a patient are scored and an Overall column is not their sum."""
    for patient_id, row in zip(ids, grades, strict=True):
        sums = {f: sum(row[s.column] for s in anatomy.SITES if s.finding == f) for f in anatomy.FINDINGS}
        sums["total"] = sum(sums.values())
        for finding, column in anatomy.OVERALL.items():
            if abs(row[column] - sums[finding]) > 0:  # False where either is NaN
                report.warn(
                    "total differs from its parts", f"{patient_id} {column} is {row[column]:g}, its parts {sums[finding]:g}"
                )
