"""A folder of films and one CSV of totals: the SvdH total of the hands that a film shows, one row per film.

    <root>/**/<film>     anywhere below the root: both hands on one film, or one hand
    <root>/**/<any>.csv  a row per film; columns are named by arguments (--column ROLE=NAME)

The largest set of this kind (3,818 films; Bo, Coates, Papiez 2024) is not published, nor is its layout. Roles: file (with or
without folder and suffix) and total (0..280, fractions if it is a mean of readers) are needed; optional are erosion (0..160),
narrowing (0..120), patient (may have several films), date (orders a patient's visits), split (train, val, test; val counts as
train), and age and sex, which are checked and counted but not learned from. Without a split, a row with an empty total is a test
row. If the table has no patient or date, they are taken from a DICOM file's header (the patient as a salted hash).

Patient_ID is the film's name without its suffix, with its folder if two films share the name; a patient's identity in it is
replaced by the hash. Which hands a film shows is declared by its name (<name>-LH, <name>-RH; ra.film_names), else found in the
picture; a row may also name such a pair by <name>. The total of a film that shows one hand is the total of that hand.
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
from data.sources.film_lookup import FilmLookup, plain
from ra import anatomy, film_names
from ra.config import UserError
from ra.imaging import film
from ra.tables import SITES

if TYPE_CHECKING:
    from ra.imaging.dicom import Tags

ROLES = ("file", "total", "erosion", "narrowing", "patient", "date", "split", "age", "sex")
COLUMNS = {role: role for role in ROLES}
NEEDED = ROLES[:2]
HANDS = ("LH", "RH")
MAX_FINDING = {f: sum(s.max_grade for s in anatomy.SITES if s.part in HANDS and s.finding == f) for f in anatomy.FINDINGS}
MAX_TOTAL = {anatomy.TOTAL: anatomy.MAX_BOTH_HANDS, **MAX_FINDING}  # of both hands
SPLITS = {"train": "train", "training": "train", "val": "train", "valid": "train", "validation": "train", "test": "test"}
SEXES = {"f": "women", "female": "women", "w": "women", "m": "men", "male": "men", "": "of unknown sex"}
MAX_YEARS = 120


def films(root: Path) -> list[Path]:
    """Every film file below the root."""
    files = sorted(p for p in _visible(root) if film.is_named_film(p))
    if not files:
        raise UserError(f"{root} holds no film; put the films there or in folders below it ({' '.join(film.SUFFIXES)})")
    return files


def texts(root: Path) -> list[Path]:
    """The CSV files below the root; `read` needs exactly one."""
    return sorted(p for p in _visible(root) if p.suffix.lower() == ".csv")


def _visible(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.relative_to(root).parts)]


def read(root: Path, report: Report, columns: dict[str, str]) -> Raw:
    """One patient per row. UserError for faults that make the data untrustworthy; other faults are warnings in the report."""
    csv_files = texts(root)
    if len(csv_files) != 1:
        content = f"{len(csv_files)} CSV files ({', '.join(p.name for p in csv_files[:3])})" if csv_files else "no CSV file"
        raise UserError(f"{root} holds {content}; it needs one, with a row per film and its total")
    rows = csv_input.by_role(csv_files[0], columns, COLUMNS, NEEDED)
    totals = _totals(csv_files[0], rows, report)
    _count_people(csv_files[0], rows, report)
    films_by_row = _films_of_rows(csv_files[0], rows, films(root), root, report)
    patients = _patients(csv_files[0], rows, totals, films_by_row, root)
    for person in sorted(_persons(patients, "train") & _persons(patients, "test")):
        report.warn("person in train and test", person)
    counts = Counter(patient["split"] for patient in patients)
    report.counts |= {f"{split} rows": counts[split] for split in ("train", "test")}
    with_totals = pd.DataFrame(patients)[["patient_id", "person_id"]].assign(total=[t[anatomy.TOTAL] for t in totals])
    tables = {"sites.parquet": (SITES, partial(_sites, patients, totals, films_by_row, report))}
    if any(p["split"] == "test" and np.isfinite(t[anatomy.TOTAL]) for p, t in zip(patients, totals, strict=True)):
        tables["gold.parquet"] = (SITES, partial(_gold, patients, totals, films_by_row))
    return Raw(
        films=[
            film_files.row(p, part, path) for p, row_films in zip(patients, films_by_row, strict=True) for part, path in row_films
        ],
        patients=with_totals[[p["split"] == "train" for p in patients]],
        tables=tables,
    )


def _persons(patients: list[dict], split: str) -> set[str]:
    return {p["person_id"] for p in patients if p["split"] == split}


def _totals(path: Path, rows: list[csv_input.Row], report: Report) -> list[dict[str, float]]:
    """total, and erosion and narrowing where the table has them, of each row; NaN where empty."""
    bounds = {finding: (0, maximum) for finding, maximum in MAX_TOTAL.items() if finding in rows[0]}
    totals = csv_input.numbers(path, rows, "file", bounds, csv_input.number)
    for row, values in zip(rows, totals, strict=True):
        parts = sum(values.get(finding, np.nan) for finding in anatomy.FINDINGS)
        if abs(parts - values[anatomy.TOTAL]) > 1e-6:  # False if one is missing
            text = f"{csv_input.shown(row['file'])} total is {values[anatomy.TOTAL]:g}, its parts {parts:g}"
            report.warn("total differs from its parts", text)
    return totals


def _count_people(path: Path, rows: list[csv_input.Row], report: Report) -> None:
    """Count ages and sexes. Nothing learns from them, but invalid ones show that the table's columns are mixed up."""
    if "age" in rows[0]:
        ages = [row["age"] for row in csv_input.numbers(path, rows, "file", {"age": (0, MAX_YEARS)}, csv_input.number)]
        report.counts["rows with an age"] = int(np.isfinite(ages).sum())
    if "sex" in rows[0]:
        cells = ["" if row["sex"].lower() in csv_input.EMPTY else row["sex"].lower() for row in rows]
        invalid = next((row for row, cell in zip(rows, cells, strict=True) if cell not in SEXES), None)
        if invalid:
            raise UserError(
                f"{path}: {csv_input.shown(invalid['file'])} sex is {invalid['sex'][:80]!r}; write f or m, or leave it empty"
            )
        report.counts |= Counter(SEXES[cell] for cell in cells)


RowFilms = list[tuple[str | None, Path]]  # (declared part, file) of the films of a row


def _films_of_rows(path: Path, rows: list[csv_input.Row], files: list[Path], root: Path, report: Report) -> list[RowFilms]:
    """The films of each row. UserError for a name that matches several films, and for a film in two rows."""
    lookup = FilmLookup(files, root)
    out: list[RowFilms] = []
    row_of: dict[Path, str] = {}
    for row in rows:
        cell = csv_input.shown(row["file"])
        if not cell:
            raise UserError(f"{path} has a row without a film's name; fill its cell, or delete the row")
        named = _film_or_pair(path, row["file"], lookup)
        for file in named:
            if file in row_of:
                raise UserError(f"{path}: {row_of[file]} and {cell} are the same film, {file.name}; keep one row per film")
            row_of[file] = cell
        declared = [(film_names.part_of(file.stem), file) for file in named]
        out.append([(part, file) for part, file in declared if part is None or part in HANDS])
        if not named:
            report.warn("row without a film", cell)
        elif not out[-1]:
            report.warn("film of a foot", cell)
    if not any(out):
        raise UserError(
            f"{path}: no row names a film of a hand, the first names {csv_input.shown(rows[0]['file'])}; correct the names"
        )
    for file in files:
        if file not in row_of:
            report.warn("film without a row", file.relative_to(root).as_posix())
    return out


def _film_or_pair(path: Path, cell: str, lookup: FilmLookup) -> list[Path]:
    """The film that a cell names, else those of the pair <cell>-LH, <cell>-RH that exist."""
    try:
        film_file = lookup.find(cell)
        files = [film_file] if film_file else [lookup.find_part(cell, hand) for hand in HANDS]
        return [file for file in files if file]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _patients(path: Path, rows: list[csv_input.Row], totals: list[dict], films_by_row: list[RowFilms], root: Path) -> list[dict]:
    """patient_id, person_id, visit, split of each row."""
    tags_of = _headers(films_by_row)
    ids = _ids(path, rows, films_by_row, tags_of, root)
    persons, days = [], []
    for row, tags, patient_id in zip(rows, tags_of, ids, strict=True):
        given = row.get("patient", "") if row.get("patient", "").lower() not in csv_input.EMPTY else None
        without_part, _ = film_names.split(patient_id)
        persons.append(given or (tags and tags.person) or without_part or patient_id)
        days.append(_day(path, row, tags))
    return [
        {"patient_id": i, "person_id": person, "visit": visit, "split": _split(path, row, values[anatomy.TOTAL])}
        for i, person, visit, row, values in zip(ids, persons, _visits(persons, days), rows, totals, strict=True)
    ]


def _ids(
    path: Path, rows: list[csv_input.Row], films_by_row: list[RowFilms], tags_of: list[Tags | None], root: Path
) -> list[str]:
    """The name of each row's film, with its folder if another film has the same name; characters not allowed in ids become _."""
    locations = []
    for row, row_films in zip(rows, films_by_row, strict=True):
        location = row_films[0][1].relative_to(root) if row_films else Path(plain(row["file"]))
        location = location.with_suffix("") if row_films or location.suffix in film.SUFFIXES else location
        without_part, _ = film_names.split(location.name)
        is_pair = len(row_films) == 2 and without_part
        locations.append(location.with_name(without_part) if is_pair else location)
    shared = Counter(location.name for location in locations)
    ids = [location.name if shared[location.name] == 1 else "_".join(location.parts) for location in locations]
    ids = [_without_identity(name, tags) if tags else name for name, tags in zip(ids, tags_of, strict=True)]
    ids = [re.sub(r"[^A-Za-z0-9_. -]|^[-. ]|^$", "_", name) for name in ids]
    for name, count in Counter(ids).items():
        if count > 1:
            raise UserError(f"{path}: {count} rows have films of the name {name}; it is the row's id, so rename all but one")
    return ids


def _without_identity(name: str, tags: Tags) -> str:
    """The name with the patient's hash wherever the header's identity of the patient occurs in it."""
    from ra.imaging import dicom

    return dicom.redacted(name, tags).replace(PATIENT, tags.person or "")


def _headers(films_by_row: list[RowFilms]) -> list[Tags | None]:
    """Tags of the DICOM header of each row's first film; None for other formats."""
    firsts = [str(row_films[0][1]) if row_films else None for row_films in films_by_row]
    tags_by_path = dicom_headers.read_all(path for path in firsts if path)
    return [tags_by_path.get(path) for path in firsts]


def _day(path: Path, row: csv_input.Row, tags: Tags | None) -> date:
    """The date in the row, else in the header, else date.max, which sorts last."""
    try:
        return csv_input.day(row.get("date", "")) or csv_input.day(tags.date or "" if tags else "") or date.max
    except ValueError:
        cell = row["date"][:80]
        raise UserError(
            f"{path}: {csv_input.shown(row['file'])} date is {cell!r}; write it as 2012-04-03 or 3.4.2012 (day.month.year)"
        ) from None


def _visits(persons: list[str], days: list[date]) -> list[int]:
    """1, 2, ... by a person's dates, equal for equal dates; films without a date come last."""
    days_of: dict[str, set[date]] = {}
    for person, day in zip(persons, days, strict=True):
        days_of.setdefault(person, set()).add(day)
    return [sorted(days_of[person]).index(day) + 1 for person, day in zip(persons, days, strict=True)]


def _split(path: Path, row: csv_input.Row, total: float) -> str:
    """train or test; if the table has no split, a row without a total is a test row."""
    if "split" not in row:
        return "test" if np.isnan(total) else "train"
    if row["split"].lower() not in SPLITS:
        raise UserError(f"{path}: {csv_input.shown(row['file'])} split is {row['split'][:80]!r}; write train, val or test")
    return SPLITS[row["split"].lower()]


def _sites(
    patients: list[dict], totals: list[dict], films_by_row: list[RowFilms], report: Report, films_table: pd.DataFrame
) -> pd.DataFrame:
    """Sites rows: the total of the hands that each row's films show; NaN for test rows, as in any test set."""
    for film_id in films_table.film_id[~films_table.part.isin(HANDS)]:
        report.warn("film of a foot", film_id)
    parts = _parts(patients, films_by_row, films_table)
    hands = films_table[films_table.part.isin(HANDS)].groupby("patient_id").size()
    for patient, part, values in zip(patients, parts, totals, strict=True):
        too_high = [finding for finding, value in values.items() if value > _maximum(part, finding)]
        if too_high:
            report.warn("total above one hand's maximum", f"{patient['patient_id']} {too_high[0]} {values[too_high[0]]:g}")
        if part == anatomy.BOTH_HANDS and hands.get(patient["patient_id"]) == 1:
            report.warn("one of two hands", patient["patient_id"])
    report.counts |= {"show both hands": int((hands == 2).sum()), "show one hand": sum(part in HANDS for part in parts)}
    targets = [values if p["split"] == "train" else {} for p, values in zip(patients, totals, strict=True)]
    return _rows(patients, parts, targets, totals)


def _gold(patients: list[dict], totals: list[dict], films_by_row: list[RowFilms], films_table: pd.DataFrame) -> pd.DataFrame:
    """Sites rows with the totals of the test rows; only the final scoring reads them."""
    rows = _rows(patients, _parts(patients, films_by_row, films_table), totals, totals)
    return rows[rows.split == "test"]


def _parts(patients: list[dict], films_by_row: list[RowFilms], films_table: pd.DataFrame) -> list[str]:
    """LH or RH for a row whose film shows only that hand, else BOTH_HANDS (also when the other of two hands was refused)."""
    films_of = dict(list(films_table.groupby("patient_id")))
    return [
        _only_hand(row_films, films_of.get(patient["patient_id"], films_table[:0])) or anatomy.BOTH_HANDS
        for patient, row_films in zip(patients, films_by_row, strict=True)
    ]


def _only_hand(row_films: RowFilms, seen: pd.DataFrame) -> str | None:
    """The hand that a row's single file shows if it shows no other hand, else None. seen: the row's films.

    If the film is only a window of its file, the rest of the file may show a refused hand; not if a foot was found there.
    """
    hands = seen[seen.part.isin(HANDS)]
    if len(row_films) != 1 or len(hands) != 1:
        return None
    (declared, path), hand = row_films[0], next(hands.itertuples())
    is_alone = declared or len(seen) > 1 or film.Frame.of(hand).window_px == film.size(path)
    return hand.part if is_alone else None


def _maximum(part: str, finding: str) -> float:
    return MAX_TOTAL[finding] / (1 if part == anatomy.BOTH_HANDS else 2)


def _rows(patients: list[dict], parts: list[str], targets: list[dict], totals: list[dict]) -> pd.DataFrame:
    """Rows of the sites table, one per value of a row's totals; a target above the part's maximum is NaN."""
    out = []
    for patient, part, target, values in zip(patients, parts, targets, totals, strict=True):
        for finding in values:
            value = target.get(finding, np.nan)
            value = value if value <= _maximum(part, finding) else np.nan
            total = {"joint": "hand", "site": anatomy.TOTAL, "part": part, "finding": finding, "target": value}
            out.append({**patient, **total})
    return pd.DataFrame(out)
