"""Crops of single joints and one CSV with the percent of each joint's surface that is eroded (Ratingen).

    <root>/**/<crop>     anywhere below the root: one joint per picture, bones bright
    <root>/**/<any>.csv  a row per crop; columns are named by arguments (--column ROLE=NAME)

Modelled on the 102,265 crops of the Swiss SCQM registry (Rohrbach et al. 2019, and the thesis behind it); neither the crops nor
their layout are published. Roles: file (with or without folder and suffix), patient, date (2012-03-25 or 25.3.2012), joint
("MCP 2", mcp_2, wrist) with part (LH RH LF RF) or side (L R); percent 0..100, or grade 0..5, or both, empty if not scored; split
(train, val, test). Disease activity, equal in all rows of a patient and date: swollen and tender joints (0..28), esr (mm/h), crp
(mg/L), global (0..100).

A patient's dates become visits 1, 2, ...; patient_id is <patient>-v<visit>. The dates themselves are not stored.
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
LIMB_ROLES, SCORES = ("part", "side"), {"percent": (csv_input.number, 100), "grade": (csv_input.integer, 5)}
COLUMNS = {role: role for role in (*NEEDED, *LIMB_ROLES, *SCORES, "split", *activity.BOUNDS)}
SIDES = {"l": "L", "left": "L", "r": "R", "right": "R"}
SPLITS = {"": "train", "train": "train", "val": "train", "test": "test"}  # val too: each fold has its own validation patients
VISIT = ["patient_id", "person_id", "visit", "split"]


def films(root: Path) -> list[Path]:
    """Every crop below the root."""
    crops = _below(root, film.SUFFIXES)
    if not crops:
        raise UserError(f"{root} holds no picture; put the crops there or in folders below it ({' '.join(film.SUFFIXES)})")
    return crops


def texts(root: Path) -> list[Path]:
    """The CSV files below the root; `read` needs exactly one."""
    return _below(root, (".csv",))


def _below(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    files = (p for p in root.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    return sorted(p for p in files if not any(name.startswith(".") for name in p.relative_to(root).parts))


def read(root: Path, report: Report, columns: dict[str, str]) -> Raw:
    """One film per crop. UserError for faults that make the data untrustworthy; other faults are warnings in the report."""
    csv_files = texts(root)
    if len(csv_files) != 1:
        content = f"{len(csv_files)} CSV files ({', '.join(p.name for p in csv_files[:3])})" if csv_files else "no CSV file"
        raise UserError(f"{root} holds {content}; it needs one, with a row per crop")
    (path,) = csv_files
    rows = csv_input.by_role(path, columns, COLUMNS, NEEDED)
    for roles in (LIMB_ROLES, tuple(SCORES)):
        if not set(roles) & set(rows[0]):
            raise UserError(
                f"{path} has neither a column {columns[roles[0]]!r} nor {columns[roles[1]]!r}; map your column with --column"
            )
    joints = pd.DataFrame(_joint(row, number, f"{path} row {number}", report) for number, row in enumerate(rows, 2))
    _refuse_duplicates(joints, path)
    joints = _with_visits(joints, path, report)
    _refuse_fractions(joints.percent, path)
    joints = joints.assign(path=_paths(rows, films(root), root, path, report))
    scored = joints.groupby("split").percent.count()
    report.counts |= {f"{split} persons": n for split, n in joints.groupby("split").person_id.nunique().items()}
    report.counts |= {f"{split} visits": n for split, n in joints.groupby("split").patient_id.nunique().items()}
    report.counts |= {f"{split} joints scored": n for split, n in scored.items()}
    return Raw(films=_films(joints), patients=_patients(joints), tables=_tables(joints, path, report), vouched=True)


def _joint(row: csv_input.Row, number: int, where: str, report: Report) -> dict:
    """A row's joint, with score and disease activity; `where` names the row in errors."""
    where = f"{where} ({csv_input.shown(row['patient'])} {csv_input.shown(row['joint'])})"
    if not csv_input.SAFE_ID.fullmatch(row["patient"]):
        raise UserError(f"{where}: patient is not a plain id; use letters, digits, '-', '_' and '.'")
    split = row.get("split", "").lower()
    if split not in SPLITS:
        raise UserError(f"{where}: split is {split[:80]!r}; write train, val or test")
    try:
        date = _date(row["date"])
        part, joint = _part_and_joint(row)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    keys = {"number": number, "person_id": row["patient"], "date": date, "part": part, "joint": joint, "split": SPLITS[split]}
    return keys | {"percent": _percent(row, where, report)} | activity.components(row, where)


def _date(cell: str) -> int:
    """The day as an ordinal number; ValueError with the reason."""
    try:
        day = csv_input.day(cell)
    except ValueError:
        day = None
    if day is None:
        why = "is ambiguous: day or month first" if "/" in cell else "is not a date"
        raise ValueError(f"date {cell[:80]!r} {why}; write it as 2012-03-25 (year-month-day) or 25.3.2012")
    return day.toordinal()


def _part_and_joint(row: csv_input.Row) -> tuple[str, str]:
    """(part, joint) of a row; ValueError with the reason."""
    part, side = row.get("part", "").upper(), SIDES.get(row.get("side", "").lower())
    if part and part not in anatomy.PARTS:
        raise ValueError(f"part is {row['part'][:80]!r}; write LH, RH, LF or RF")
    if row.get("side") and not side:
        raise ValueError(f"side is {row['side'][:80]!r}; write L or R")
    if not (part or side) or (part and side and part[0] != side):
        raise ValueError(f"part {part!r} and side {side or ''!r} do not identify the limb; correct them")
    try:
        limb, joint = joint_columns.find(row["joint"], (anatomy.limb(part),) if part else anatomy.LIMBS)
    except ValueError as error:
        raise ValueError(f"joint {row['joint'][:80]!r} {error}") from None
    return part or side + limb[0].upper(), joint


def _percent(row: csv_input.Row, where: str, report: Report) -> float:
    """The row's percent, else the middle of its grade's range, else NaN."""
    values = {}
    for name, (kind, high) in SCORES.items():
        try:
            values[name] = kind(row.get(name, ""), 0, high)
        except ValueError:
            fault = f"{name} is {row[name][:80]!r}, not a {csv_input.KINDS[kind]} from 0 to {high}"
            raise UserError(f"{where}: {fault}; correct it, or empty the cell if it was not scored") from None
    percent, grade = values.values()
    if np.isnan(percent):
        return percent if np.isnan(grade) else float(clinical.GRADE2PERCENT[int(grade)])
    if not np.isnan(grade) and clinical.percent2grade(percent) != grade:
        report.warn("Ratingen grade differs from its percent", f"{where}: {percent:g} % and grade {grade:g}")
    return percent


def _refuse_fractions(percent: pd.Series, path: Path) -> None:
    """UserError for fractions 0..1, which would be taken for percentages and turn all damage into grade 1."""
    if percent.max() <= 1 and (percent % 1 > 0).any():
        raise UserError(f"{path}: no percent is above 1, so they seem to be fractions of the surface; multiply them by 100")


def _refuse_duplicates(joints: pd.DataFrame, path: Path) -> None:
    """UserError for a joint that has two rows for one date."""
    key = ["person_id", "date", "part", "joint"]
    again = joints.duplicated(key)
    if again.any():
        second = joints[again].iloc[0]
        first = joints[(joints[key] == second[key]).all(axis=1)].iloc[0]
        what = f"{second.part} {second.joint} of {second.person_id} at one date"
        raise UserError(f"{path}: rows {first.number} and {second.number} are both {what}; keep one")


def _with_visits(joints: pd.DataFrame, path: Path, report: Report) -> pd.DataFrame:
    """The joints with patient_id, visit and days; UserError for a visit in both splits, a warning for a person in both."""
    person = joints.groupby("person_id").date
    joints = joints.assign(visit=person.rank("dense").astype(int), days=joints.date - person.transform("min"))
    joints = joints.assign(patient_id=joints.person_id + "-v" + joints.visit.astype(str)).drop(columns="date")
    in_both = joints[joints.groupby("patient_id").split.transform("nunique") > 1]
    if len(in_both):
        first, second = in_both[in_both.patient_id == in_both.patient_id.iloc[0]].drop_duplicates("split").number
        fault = f"rows {first} and {second} have one patient and date, but are in train and in test"
        raise UserError(f"{path}: {fault}; give them one split")
    n_splits = joints.groupby("person_id").split.nunique()
    for person_id in n_splits.index[n_splits > 1]:
        report.warn("person in train and test", person_id)
    return joints


def _paths(rows: list[csv_input.Row], files: list[Path], root: Path, path: Path, report: Report) -> list[Path | None]:
    """The picture of each row, None if missing. UserError if a name matches several pictures, or two rows name one picture."""
    by_name: dict[str, list[Path]] = {}
    for file in files:
        whole = file.relative_to(root).as_posix()
        for name in {whole, whole.removesuffix(file.suffix), file.name, file.stem}:
            by_name.setdefault(name, []).append(file)
    row_of: dict[Path, int] = {}
    out: list[Path | None] = []
    for number, row in enumerate(rows, 2):
        matches = by_name.get(row["file"].replace("\\", "/").removeprefix("./"), [])
        if len(matches) > 1:
            raise UserError(
                f"{path} row {number}: {csv_input.shown(row['file'])} matches {len(matches)} pictures; write folder and suffix"
            )
        picture = matches[0] if matches else None
        out.append(picture)
        if picture in row_of:
            raise UserError(f"{path}: rows {row_of[picture]} and {number} name the same picture, {picture.name}; correct one")
        if picture:
            row_of[picture] = number
        else:
            report.warn("row without a film", f"row {number}: {csv_input.shown(row['file'])}")
    if not row_of:
        raise UserError(f"{path}: none of its files is below {root}; the first is {csv_input.shown(rows[0]['file'])}")
    for file in files:
        if file not in row_of:
            report.warn("film without a row", file.relative_to(root).as_posix())
    return out


def _films(joints: pd.DataFrame) -> list[dict]:
    """Rows of the films table: a film per crop."""
    crops = joints[joints.path.notna()]
    columns = zip(crops[VISIT].to_dict("records"), crops.part, crops.path, _film_ids(crops), strict=True)
    return [
        {**film_files.row(visit, part, path), "film_id": film_id, "view": film.JOINT_VIEW}
        for visit, part, path, film_id in columns
    ]


def _patients(joints: pd.DataFrame) -> pd.DataFrame:
    """Training visits; `total`, which stratifies the folds, is the Rau score: independent of how many joints are scored."""
    train = joints[joints.split == "train"]
    if train.empty:
        raise UserError("the split leaves no row to train on; mark some as train")
    grade = train.percent.map(clinical.percent2grade, na_action="ignore")
    visits = train.assign(grade=grade).set_index(["part", "joint"]).groupby(["patient_id", "person_id"], sort=False)
    return visits.grade.agg(lambda grades: clinical.rau(grades.to_dict()).score).rename("total").reset_index()


def _tables(joints: pd.DataFrame, path: Path, report: Report) -> dict:
    """Percentages, with those of test visits in a separate table; a box per crop; disease activity, if any; no SvdH scores."""
    test = joints.split == "test"
    percents = joints[[*VISIT, "part", "joint", "percent"]]
    visits = joints[VISIT].drop_duplicates()
    unscored = {"part": anatomy.ALL_PARTS, "joint": anatomy.TOTAL, "site": anatomy.TOTAL, "finding": "total", "target": np.nan}
    tables = {
        "sites.parquet": (SITES, visits.assign(**unscored)),
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
    """Boxes rows: each crop is the box of its joint."""
    geometry = {
        "x_px": (table.width_px - 1) / 2,
        "y_px": (table.height_px - 1) / 2,
        "w_px": table.width_px,
        "h_px": table.height_px,
    }
    constants = {"joint": table.film_id.map(joint_of), "fold": -1, "conf": np.nan, "source": "truth"}
    return table[["film_id"]].assign(**constants, **geometry)
