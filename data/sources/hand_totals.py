"""A folder of films and one CSV of totals: the SvdH total of the hands that a film shows, one film per row.

    <root>/**/<film>     anywhere below the root: both hands on one film, or one hand
    <root>/**/<any>.csv  a row per film; columns are named by arguments (--column ROLE=NAME)

The largest set of this kind (3,818 films; Bo, Coates, Papiez 2024) is not published, nor is its layout. Roles: file (with or
without folder and suffix) and total (0..280, fractions where it is a mean of readers) are needed; there may be erosion
(0..160), narrowing (0..120), patient (who several films may belong to), date (orders a patient's visits), split (train, val,
test; val counts as train), age and sex, which are checked and counted, not learned from. Without a split, a row whose total is
empty is a test row. A DICOM file's header tells patient (as a salted hash) and date where the table does not.

Patient_ID is the film's name without its suffix, with its folder where two films share the name; a patient's identity in it
gives way to the hash. Which hands a film shows is declared by a name in -LH or -RH, else seen in the picture; a row may also
name a pair <name>-LH, <name>-RH. The total of a film that shows one hand is taken for that hand's.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from data import csv_input, dicom_headers, film_files
from data.issues import PATIENT, Report
from data.sources import Raw
from data.sources.film_lookup import Named, plain
from ra import anatomy
from ra.config import UserError
from ra.imaging import film
from ra.tables import SITES

if TYPE_CHECKING:
    from ra.imaging.dicom import Tags

ROLES = ("file", "total", "erosion", "narrowing", "patient", "date", "split", "age", "sex")
COLUMNS = {role: role for role in ROLES}
NEEDED = ROLES[:2]
HANDS = ("LH", "RH")
MAXIMUM = {f: sum(s.max_grade for s in anatomy.SITES if s.part in HANDS and s.finding == f) for f in anatomy.FINDINGS}
MAXIMUM = {anatomy.TOTAL: anatomy.MAX_BOTH_HANDS, **MAXIMUM}
SPLITS = {"train": "train", "training": "train", "val": "train", "valid": "train", "validation": "train", "test": "test"}
SEXES = {"f": "women", "female": "women", "w": "women", "m": "men", "male": "men", "": "of unknown sex"}
MAX_YEARS = 120


def films(root: Path) -> list[Path]:
    """Every film file below the root."""
    found = sorted(p for p in _visible(root) if film.is_named_film(p))
    if not found:
        raise UserError(f"{root} holds no film; put the films there or in folders below it ({' '.join(film.SUFFIXES)})")
    return found


def texts(root: Path) -> list[Path]:
    """The CSV files below the root; `read` wants one."""
    return sorted(p for p in _visible(root) if p.suffix.lower() == ".csv")


def _visible(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.relative_to(root).parts)]


def read(root: Path, report: Report, columns: dict[str, str]) -> Raw:
    """One patient per row; UserError for what cannot be trusted, warnings in the report for what can be gone on from."""
    tables = texts(root)
    if len(tables) != 1:
        found = f"{len(tables)} CSV files ({', '.join(p.name for p in tables[:3])})" if tables else "no CSV file"
        raise UserError(f"{root} holds {found}; it needs one, with a row per film and its total")
    rows = csv_input.by_role(tables[0], columns, COLUMNS, NEEDED)
    totals = _totals(tables[0], rows, report)
    _count_people(tables[0], rows, report)
    shown = _films_of_rows(tables[0], rows, films(root), root, report)
    patients = _patients(tables[0], rows, totals, shown, root)
    for person in sorted(_persons(patients, "train") & _persons(patients, "test")):
        report.warn("person in train and test", person)
    counts = Counter(patient["split"] for patient in patients)
    report.counts |= {f"{split} rows": counts[split] for split in ("train", "test")}
    known = pd.DataFrame(patients)[["patient_id", "person_id"]].assign(total=[t[anatomy.TOTAL] for t in totals])
    made = {"sites.parquet": (SITES, partial(_sites, patients, totals, shown, report))}
    if any(p["split"] == "test" and np.isfinite(t[anatomy.TOTAL]) for p, t in zip(patients, totals, strict=True)):
        made["gold.parquet"] = (SITES, partial(_gold, patients, totals, shown))
    return Raw(
        films=[film_files.row(p, part, path) for p, own in zip(patients, shown, strict=True) for part, path in own],
        patients=known[[p["split"] == "train" for p in patients]],
        tables=made,
    )


def _persons(patients: list[dict], split: str) -> set[str]:
    return {p["person_id"] for p in patients if p["split"] == split}


def _totals(path: Path, rows: list[csv_input.Row], report: Report) -> list[dict[str, float]]:
    """total, and erosion and narrowing where the table has them, of each row; NaN where empty."""
    bounds = {finding: (0, top) for finding, top in MAXIMUM.items() if finding in rows[0]}
    totals = csv_input.numbers(path, rows, "file", bounds, csv_input.number)
    for row, of in zip(rows, totals, strict=True):
        parts = sum(of.get(finding, np.nan) for finding in anatomy.FINDINGS)
        if abs(parts - of[anatomy.TOTAL]) > 1e-6:  # False where one is missing
            text = f"{csv_input.shown(row['file'])} total is {of[anatomy.TOTAL]:g}, its parts {parts:g}"
            report.warn("total differs from its parts", text)
    return totals


def _count_people(path: Path, rows: list[csv_input.Row], report: Report) -> None:
    """Ages and sexes, which nothing learns from: a column that is none tells of a table that was mixed up."""
    if "age" in rows[0]:
        ages = [row["age"] for row in csv_input.numbers(path, rows, "file", {"age": (0, MAX_YEARS)}, csv_input.number)]
        report.counts["rows with an age"] = int(np.isfinite(ages).sum())
    if "sex" in rows[0]:
        cells = ["" if row["sex"].lower() in csv_input.EMPTY else row["sex"].lower() for row in rows]
        odd = next((row for row, cell in zip(rows, cells, strict=True) if cell not in SEXES), None)
        if odd:
            raise UserError(f"{path}: {csv_input.shown(odd['file'])} sex is {odd['sex'][:80]!r}; write f or m, or leave it empty")
        report.counts |= Counter(SEXES[cell] for cell in cells)


Shown = list[tuple[str | None, Path]]  # (declared part, file) of the films of a row


def _films_of_rows(path: Path, rows: list[csv_input.Row], files: list[Path], root: Path, report: Report) -> list[Shown]:
    """The films of each row. UserError for a name that means several films, and for a film of two rows."""
    named = Named(files, root)
    out: list[Shown] = []
    row_of: dict[Path, str] = {}
    for row in rows:
        cell = csv_input.shown(row["file"])
        if not cell:
            raise UserError(f"{path} has a row without a film's name; fill its cell, or delete the row")
        found = _pair(path, row["file"], named)
        for file in found:
            if file in row_of:
                raise UserError(f"{path}: {row_of[file]} and {cell} are the same film, {file.name}; keep one row per film")
            row_of[file] = cell
        declared = [(match["part"].upper() if (match := film_files.NAMED.fullmatch(file.stem)) else None, file) for file in found]
        out.append([(part, file) for part, file in declared if part is None or part in HANDS])
        if not found:
            report.warn("row without a film", cell)
        elif not out[-1]:
            report.warn("film of a foot", cell)
    if not any(out):
        raise UserError(
            f"{path}: no row names a film of a hand, the first names {csv_input.shown(rows[0]['file'])}; correct them"
        )
    for file in files:
        if file not in row_of:
            report.warn("film without a row", file.relative_to(root).as_posix())
    return out


def _pair(path: Path, cell: str, named: Named) -> list[Path]:
    """The film that a cell names, else the pair <cell>-LH, <cell>-RH, else none."""
    try:
        return [named[name] for name in ([cell] if cell in named else [f"{cell}-{hand}" for hand in HANDS]) if name in named]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _patients(path: Path, rows: list[csv_input.Row], totals: list[dict], shown: list[Shown], root: Path) -> list[dict]:
    """patient_id, person_id, visit, split of each row."""
    tags_of = _headers(shown)
    ids = _ids(path, rows, shown, tags_of, root)
    persons, days = [], []
    for row, tags, patient_id in zip(rows, tags_of, ids, strict=True):
        given = row.get("patient", "") if row.get("patient", "").lower() not in csv_input.EMPTY else None
        named = film_files.NAMED.fullmatch(patient_id)
        persons.append(given or (tags and tags.person) or (named["patient"] if named else patient_id))
        days.append(_day(path, row, tags))
    return [
        {"patient_id": i, "person_id": person, "visit": visit, "split": _split(path, row, of[anatomy.TOTAL])}
        for i, person, visit, row, of in zip(ids, persons, _visits(persons, days), rows, totals, strict=True)
    ]


def _ids(path: Path, rows: list[csv_input.Row], shown: list[Shown], tags_of: list[Tags | None], root: Path) -> list[str]:
    """The name of each row's film, with its folder where another film has that name too; letters that no id has become _."""
    places = []
    for row, own in zip(rows, shown, strict=True):
        place = own[0][1].relative_to(root) if own else Path(plain(row["file"]))
        place = place.with_suffix("") if own or place.suffix in film.SUFFIXES else place
        pair = film_files.NAMED.fullmatch(place.name) if len(own) == 2 else None
        places.append(place.with_name(pair["patient"]) if pair else place)
    shared = Counter(place.name for place in places)
    ids = [place.name if shared[place.name] == 1 else "_".join(place.parts) for place in places]
    ids = [_without_identity(name, tags) if tags else name for name, tags in zip(ids, tags_of, strict=True)]
    ids = [re.sub(r"[^A-Za-z0-9_. -]|^[-. ]|^$", "_", name) for name in ids]
    for name, count in Counter(ids).items():
        if count > 1:
            raise UserError(f"{path}: {count} rows have films of the name {name}; it is the row's id, so rename all but one")
    return ids


def _without_identity(name: str, tags: Tags) -> str:
    """The name with the patient's hash in place of what the header says of who the patient is."""
    from ra.imaging import dicom

    return dicom.redacted(name, tags).replace(PATIENT, tags.person or "")


def _headers(shown: list[Shown]) -> list[Tags | None]:
    """What the DICOM header of each row's first film declares; None for other formats."""
    firsts = [str(own[0][1]) if own else None for own in shown]
    found = dicom_headers.read_all(path for path in firsts if path)
    return [found.get(path) for path in firsts]


def _day(path: Path, row: csv_input.Row, tags: Tags | None) -> date:
    """The day that the row gives, else the header; the last of all days where neither does."""
    try:
        return csv_input.day(row.get("date", "")) or csv_input.day(tags.date or "" if tags else "") or date.max
    except ValueError:
        cell = row["date"][:80]
        raise UserError(
            f"{path}: {csv_input.shown(row['file'])} date is {cell!r}; write it as 2012-04-03 or 3.4.2012 (day.month.year)"
        ) from None


def _visits(persons: list[str], days: list[date]) -> list[int]:
    """1, 2 .. by a person's days, the same on the same day; films without a date come last."""
    of: dict[str, set[date]] = {}
    for person, taken in zip(persons, days, strict=True):
        of.setdefault(person, set()).add(taken)
    return [sorted(of[person]).index(taken) + 1 for person, taken in zip(persons, days, strict=True)]


def _split(path: Path, row: csv_input.Row, total: float) -> str:
    """train or test; where the table has no split, a row without a total is a test row."""
    if "split" not in row:
        return "test" if np.isnan(total) else "train"
    if row["split"].lower() not in SPLITS:
        raise UserError(f"{path}: {csv_input.shown(row['file'])} split is {row['split'][:80]!r}; write train, val or test")
    return SPLITS[row["split"].lower()]


def _sites(patients: list[dict], totals: list[dict], shown: list[Shown], report: Report, table: pd.DataFrame) -> pd.DataFrame:
    """Totals of what each row's films show (films table); those of the test rows stay open, as of any test set."""
    for film_id in table.film_id[~table.part.isin(HANDS)]:
        report.warn("film of a foot", film_id)
    parts = _parts(patients, shown, table)
    hands = table[table.part.isin(HANDS)].groupby("patient_id").size()
    for patient, part, of in zip(patients, parts, totals, strict=True):
        above = [finding for finding, value in of.items() if value > _top(part, finding)]
        if above:
            report.warn("total above one hand's maximum", f"{patient['patient_id']} {above[0]} {of[above[0]]:g}")
        if part == anatomy.BOTH_HANDS and hands.get(patient["patient_id"]) == 1:
            report.warn("one of two hands", patient["patient_id"])
    one = sum(part in HANDS for part in parts)
    report.counts |= {"show both hands": int((hands == 2).sum()), "show one hand": one}
    return _rows(patients, parts, [of if p["split"] == "train" else {} for p, of in zip(patients, totals, strict=True)], totals)


def _gold(patients: list[dict], totals: list[dict], shown: list[Shown], table: pd.DataFrame) -> pd.DataFrame:
    """The totals of the test rows, which nothing but the final scoring reads."""
    rows = _rows(patients, _parts(patients, shown, table), totals, totals)
    return rows[rows.split == "test"]


def _parts(patients: list[dict], shown: list[Shown], table: pd.DataFrame) -> list[str]:
    """LH or RH of a row whose film shows that hand alone, else HANDS: also where the other of two hands was refused."""
    seen = dict(list(table.groupby("patient_id")))
    return [
        _alone(own, seen.get(patient["patient_id"], table[:0])) or anatomy.BOTH_HANDS
        for patient, own in zip(patients, shown, strict=True)
    ]


def _alone(own: Shown, seen: pd.DataFrame) -> str | None:
    """The hand that a row's one file shows and no other; a film that is a part of its file has company there."""
    hands = seen[seen.part.isin(HANDS)]
    if len(own) != 1 or len(hands) != 1:
        return None
    (declared, path), hand = own[0], next(hands.itertuples())
    whole = declared or len(seen) > 1 or film.Frame.of(hand).window_px == film.size(path)  # its company may be a foot
    return hand.part if whole else None


def _top(part: str, finding: str) -> float:
    return MAXIMUM[finding] / (1 if part == anatomy.BOTH_HANDS else 2)


def _rows(patients: list[dict], parts: list[str], targets: list[dict], totals: list[dict]) -> pd.DataFrame:
    """Rows of the sites table; a value that one hand cannot have is left out."""
    same = {"joint": "hand", "site": anatomy.TOTAL}
    return pd.DataFrame(
        {**patient, **same, "part": part, "finding": finding, "target": value if value <= _top(part, finding) else np.nan}
        for patient, part, target, of in zip(patients, parts, targets, totals, strict=True)
        for finding in of
        for value in [target.get(finding, np.nan)]
    )
