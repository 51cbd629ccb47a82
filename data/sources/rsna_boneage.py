"""RSNA Bone Age (2017): boneage-training-dataset.csv (id, boneage in months, male) and <id>.png, left hands of children."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from data import csv_input, film_files
from data.annotations.boxes import COCO
from data.issues import Report
from data.sources import Raw
from ra.config import UserError
from ra.tables import BONE_AGE

TABLE = "boneage-training-dataset.csv"
FOLDER = "boneage-training-dataset"  # the archive has it once, or twice nested
MAX_MONTHS = 300
SEX = {"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0}


def films(root: Path) -> list[Path]:
    """Every film file."""
    return film_files.listing(_folder(root))


def texts(root: Path) -> list[Path]:
    """The CSV and JSON files that `read` reads, if they exist."""
    return [path for path in (root / TABLE, root / COCO) if path.is_file()]


def read(root: Path, report: Report) -> Raw:
    """All children as training patients, part LH. UserError for an age out of range or an unknown sex."""
    path = root / TABLE
    rows = csv_input.read(path, ("id", "boneage", "male"))
    ids = csv_input.check_ids(path, rows, "id")
    ages = csv_input.numbers(path, rows, "id", {"boneage": (0, MAX_MONTHS)})
    film_of = {file.stem: file for file in films(root)}
    patients, bone_age = [], []
    for id_, row, age in zip(ids, rows, ages, strict=True):
        if row["male"].lower() not in SEX:
            raise UserError(f"{path}: {id_} male is {row['male']!r}; write True or False")
        patients.append({"patient_id": id_, "person_id": id_, "visit": 1, "split": "train"})
        bone_age.append({"film_id": f"{id_}-LH", "bone_age_months": age["boneage"], "male": SEX[row["male"].lower()]})
        if id_ not in film_of:
            report.warn("missing film", f"{id_}.png")
    for stem in sorted(set(film_of) - set(ids)):
        report.warn("film without a row", film_of[stem].name)
    report.counts |= {"children": len(ids)}
    table = pd.DataFrame(bone_age).dropna(subset="bone_age_months")
    coco = root / COCO
    return Raw(
        films=[film_files.row(p, "LH", film_of[p["patient_id"]]) for p in patients if p["patient_id"] in film_of],
        patients=pd.DataFrame(patients)[["patient_id", "person_id"]].assign(total=np.nan),
        tables={"bone_age.parquet": (BONE_AGE, table)},
        boxes=(coco,) if coco.is_file() else (),
        vouched=True,
    )


def _folder(root: Path) -> Path:
    """The folder of the pictures: the innermost of the archive's folders, or the root."""
    return next((f for f in (root / FOLDER / FOLDER, root / FOLDER) if f.is_dir()), root)
