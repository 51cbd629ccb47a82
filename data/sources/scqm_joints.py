"""Crops of single joints and one CSV with the percent of each joint's surface that is eroded (Ratingen).

    <root>/**/<crop>     anywhere below the root: one joint per picture, bones bright
    <root>/**/<any>.csv  a row per crop; the columns' names are arguments (--column ROLE=NAME)

After the 102,265 crops of the Swiss SCQM registry (Rohrbach et al. 2019; the thesis behind it), which are not published, nor is
their layout. Roles: file (with or without its folder and suffix), patient, date (2012-03-25 or 25.3.2012), joint ("MCP 2",
mcp_2, wrist) with part (LH RH LF RF) or side (L R); percent 0..100, or grade 0..5, or both, empty where nothing was scored;
split (train, val, test). Of disease activity, alike in all rows of a patient and date: swollen and tender joints (0..28), esr
(mm/h), crp (mg/L), global (0..100).

A patient's dates are visits 1, 2, ...; patient_id is <patient>-v<visit>. The dates themselves are not kept.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from data import csv_input, film_files
from data.issues import Report
from data.sources import Raw, activity, joint_columns
from ra import anatomy, clinical
from ra.config import UserError
from ra.imaging import film
from ra.tables import ACTIVITY, BOXES, RATINGEN, SITES

NEEDED = ("file", "patient", "date", "joint")
PLACES, SCORES = ("part", "side"), {"percent": (csv_input.number, 100), "grade": (csv_input.integer, 5)}
COLUMNS = {role: role for role in (*NEEDED, *PLACES, *SCORES, "split", *activity.BOUNDS)}
SIDES = {"l": "L", "left": "L", "r": "R", "right": "R"}
SPLITS = {"": "train", "train": "train", "val": "train", "test": "test"}  # folds hold back their own patients to validate
VISIT = ["patient_id", "person_id", "visit", "split"]


def films(root: Path) -> list[Path]:
    """Every crop below the root."""
    found = _below(root, film.SUFFIXES)
    if not found:
        raise UserError(f"{root} holds no picture; put the crops there or in folders below it ({' '.join(film.SUFFIXES)})")
    return found


def texts(root: Path) -> list[Path]:
    """The CSV files below the root; `read` wants one."""
    return _below(root, (".csv",))


def _below(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    found = (p for p in root.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    return sorted(p for p in found if not any(name.startswith(".") for name in p.relative_to(root).parts))


def read(root: Path, report: Report, columns: dict[str, str]) -> Raw:
    """One film per crop; UserError for what cannot be trusted, warnings in the report for what can be gone on from."""
    sheets = texts(root)
    if len(sheets) != 1:
        found = f"{len(sheets)} CSV files ({', '.join(p.name for p in sheets[:3])})" if sheets else "no CSV file"
        raise UserError(f"{root} holds {found}; it needs one, with a row per crop")
    (path,) = sheets
    rows = csv_input.by_role(path, columns, COLUMNS, NEEDED)
    for roles in (PLACES, tuple(SCORES)):
        if not set(roles) & set(rows[0]):
            raise UserError(f"{path} has neither a column {columns[roles[0]]!r} nor {columns[roles[1]]!r}; --column names yours")
    joints = pd.DataFrame(_joint(row, number, f"{path} row {number}", report) for number, row in enumerate(rows, 2))
    joints = _visits(_once(joints, path), path, report)
    _refuse_shares(joints.percent, path)
    joints = joints.assign(path=_paths(rows, films(root), root, path, report))
    scored = joints.groupby("split").percent.count()
    report.counts |= {f"{split} persons": n for split, n in joints.groupby("split").person_id.nunique().items()}
    report.counts |= {f"{split} visits": n for split, n in joints.groupby("split").patient_id.nunique().items()}
    report.counts |= {f"{split} joints scored": n for split, n in scored.items()}
    return Raw(films=_films(joints), patients=_patients(joints), tables=_tables(joints, path, report), vouched=True)


def _joint(row: csv_input.Row, number: int, where: str, report: Report) -> dict:
    """What a row says of its joint; `where` names it in errors."""
    where = f"{where} ({csv_input.shown(row['patient'])} {csv_input.shown(row['joint'])})"
    if not csv_input.SAFE_ID.fullmatch(row["patient"]):
        raise UserError(f"{where}: patient is no plain id; use letters, digits, '-', '_' and '.'")
    split = row.get("split", "").lower()
    if split not in SPLITS:
        raise UserError(f"{where}: split is {split[:80]!r}; write train, val or test")
    try:
        date = _date(row["date"])
        part, joint = _place(row)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    same = {"number": number, "person_id": row["patient"], "date": date, "part": part, "joint": joint, "split": SPLITS[split]}
    return same | {"percent": _percent(row, where, report)} | activity.items(row, where)


def _date(cell: str) -> int:
    """Number of the day; ValueError in words."""
    try:
        found = csv_input.day(cell)
    except ValueError:
        found = None
    if found is None:
        why = "does not say which number is the month" if "/" in cell else "is no day"
        raise ValueError(f"date {cell[:80]!r} {why}; write it as 2012-03-25 (year-month-day) or 25.3.2012")
    return found.toordinal()


def _place(row: csv_input.Row) -> tuple[str, str]:
    """(part, joint) of a row; ValueError in words."""
    part, side = row.get("part", "").upper(), SIDES.get(row.get("side", "").lower())
    if part and part not in anatomy.PARTS:
        raise ValueError(f"part is {row['part'][:80]!r}; write LH, RH, LF or RF")
    if row.get("side") and not side:
        raise ValueError(f"side is {row['side'][:80]!r}; write L or R")
    if not (part or side) or (part and side and part[0] != side):
        raise ValueError(f"part {part!r} and side {side or ''!r} do not say which limb it is; correct them")
    try:
        limb, joint = joint_columns.find(row["joint"], (anatomy.limb(part),) if part else anatomy.LIMBS)
    except ValueError as error:
        raise ValueError(f"joint {row['joint'][:80]!r} {error}") from None
    return part or side + limb[0].upper(), joint


def _percent(row: csv_input.Row, where: str, report: Report) -> float:
    """The row's percent, else the middle of its grade's step, else NaN."""
    found = {}
    for name, (kind, high) in SCORES.items():
        try:
            found[name] = kind(row.get(name, ""), 0, high)
        except ValueError:
            fault = f"{name} is {row[name][:80]!r}, not a {csv_input.KINDS[kind]} from 0 to {high}"
            raise UserError(f"{where}: {fault}; correct it, or empty the cell if it was not scored") from None
    percent, grade = found.values()
    if np.isnan(percent):
        return percent if np.isnan(grade) else float(clinical.GRADE2PERCENT[int(grade)])
    if not np.isnan(grade) and clinical.percent2grade(percent) != grade:
        report.warn("Ratingen grade differs from its percent", f"{where}: {percent:g} % and grade {grade:g}")
    return percent


def _refuse_shares(percent: pd.Series, path: Path) -> None:
    """Shares 0..1 would pass for percentages, and all damage for grade 1."""
    if percent.max() <= 1 and (percent % 1 > 0).any():
        raise UserError(f"{path}: no percent is above 1, as if they were shares of the surface; multiply them by 100")


def _once(joints: pd.DataFrame, path: Path) -> pd.DataFrame:
    """UserError where a joint has two rows of one date."""
    key = ["person_id", "date", "part", "joint"]
    again = joints.duplicated(key)
    if again.any():
        second = joints[again].iloc[0]
        first = joints[(joints[key] == second[key]).all(axis=1)].iloc[0]
        what = f"{second.part} {second.joint} of {second.person_id} at one date"
        raise UserError(f"{path}: rows {first.number} and {second.number} are both {what}; keep one")
    return joints


def _visits(joints: pd.DataFrame, path: Path, report: Report) -> pd.DataFrame:
    """With patient_id, visit and days; UserError for a visit in both splits, a warning for a person in both."""
    person = joints.groupby("person_id").date
    joints = joints.assign(visit=person.rank("dense").astype(int), days=joints.date - person.transform("min"))
    joints = joints.assign(patient_id=joints.person_id + "-v" + joints.visit.astype(str)).drop(columns="date")
    torn = joints[joints.groupby("patient_id").split.transform("nunique") > 1]
    if len(torn):
        one, two = torn[torn.patient_id == torn.patient_id.iloc[0]].drop_duplicates("split").number
        raise UserError(f"{path}: rows {one} and {two} are of one patient and date, in train and in test; give them one split")
    both = joints.groupby("person_id").split.nunique()
    for person_id in both.index[both > 1]:
        report.warn("person in train and test", person_id)
    return joints


def _paths(rows: list[csv_input.Row], files: list[Path], root: Path, path: Path, report: Report) -> list[Path | None]:
    """The picture of each row, None where there is none. UserError for a name of several pictures, and a picture of two rows."""
    named: dict[str, list[Path]] = {}
    for file in files:
        whole = file.relative_to(root).as_posix()
        for name in {whole, whole.removesuffix(file.suffix), file.name, file.stem}:
            named.setdefault(name, []).append(file)
    row_of: dict[Path, int] = {}
    out: list[Path | None] = []
    for number, row in enumerate(rows, 2):
        found = named.get(row["file"].replace("\\", "/").removeprefix("./"), [])
        if len(found) > 1:
            raise UserError(
                f"{path} row {number}: {csv_input.shown(row['file'])} is {len(found)} pictures; write folder and suffix"
            )
        if found and found[0] in row_of:
            raise UserError(f"{path}: rows {row_of[found[0]]} and {number} name the same picture, {found[0].name}; correct one")
        row_of |= dict.fromkeys(found, number)
        out.append(found[0] if found else None)
        if not found:
            report.warn("row without a film", f"row {number}: {csv_input.shown(row['file'])}")
    if not row_of:
        raise UserError(f"{path}: none of its files is below {root}; the first is {csv_input.shown(rows[0]['file'])}")
    for file in files:
        if file not in row_of:
            report.warn("film without a row", file.relative_to(root).as_posix())
    return out


def _films(joints: pd.DataFrame) -> list[dict]:
    """Rows of the films table: a film per crop."""
    known = joints[joints.path.notna()]
    rows = zip(known[VISIT].to_dict("records"), known.part, known.path, _film_ids(known), strict=True)
    own = [{**film_files.row(visit, part, path), "film_id": film_id} for visit, part, path, film_id in rows]
    return [{**row, "view": film.JOINT_VIEW} for row in own]


def _patients(joints: pd.DataFrame) -> pd.DataFrame:
    """Training visits; `total`, by which folds are stratified, is the Rau score: it does not grow with the joints scored."""
    train = joints[joints.split == "train"]
    if train.empty:
        raise UserError("the split leaves no row to train on; mark some as train")
    grade = train.percent.map(clinical.percent2grade, na_action="ignore")
    visits = train.assign(grade=grade).set_index(["part", "joint"]).groupby(["patient_id", "person_id"], sort=False)
    return visits.grade.agg(lambda own: clinical.rau(own.to_dict()).score).rename("total").reset_index()


def _tables(joints: pd.DataFrame, path: Path, report: Report) -> dict:
    """Percentages, those of test visits apart; a box per crop; activity where there is any; no SvdH score."""
    test = joints.split == "test"
    percents = joints[[*VISIT, "part", "joint", "percent"]]
    visits = joints[VISIT].drop_duplicates()
    nothing = {"part": anatomy.ALL_PARTS, "joint": anatomy.TOTAL, "site": anatomy.TOTAL, "finding": "total", "target": np.nan}
    tables = {
        "sites.parquet": (SITES, visits.assign(**nothing)),
        "ratingen.parquet": (RATINGEN, percents.assign(percent=percents.percent.mask(test))),
        "boxes.parquet": (BOXES, partial(_boxes, dict(zip(_film_ids(joints), joints.joint, strict=True)))),
    }
    if percents.percent[test].notna().any():
        tables["ratingen_gold.parquet"] = (RATINGEN, percents[test])
    if joints[list(activity.BOUNDS)].notna().any(axis=None):
        tables["activity.parquet"] = (ACTIVITY, activity.table(joints, str(path), report))
    return tables


def _film_ids(joints: pd.DataFrame) -> pd.Series:
    return joints.patient_id + "-" + joints.part + "-" + joints.joint


def _boxes(joint_of: dict[str, str], table: pd.DataFrame) -> pd.DataFrame:
    """Each crop is its joint's box."""
    whole = {"x_px": (table.width_px - 1) / 2, "y_px": (table.height_px - 1) / 2, "w_px": table.width_px, "h_px": table.height_px}
    same = {"joint": table.film_id.map(joint_of), "fold": -1, "conf": np.nan, "source": "truth"}
    return table[["film_id"]].assign(**same, **whole)
