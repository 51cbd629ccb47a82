"""The check of every prepared set: counts, duplicate films, people under two ids, grades compared with the published ones.

Its findings are warnings in the report; contact.png shows twenty films with their boxes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from data import contact_sheet, file_cache, grade_distribution
from data.file_cache import FileFacts
from data.issues import Report
from ra import anatomy, paths
from ra.imaging import film
from ra.tables import BOXES, FILM_ISSUES, FILMS, SITES

if TYPE_CHECKING:
    from ra.imaging.dicom import Tags

# A film scaled by 0.3 to 1.4, saved at JPEG quality 40 or brightened differs from the original by at most 22 of 256 bits, and
# the correlation of their fine structure is at least 0.96; between 300 generated films it is at most 0.84.
NEAR_BITS = 24
THUMB_PX, COARSE_PX, SAME_CORRELATION = 64, 2.5, 0.93
FRAME = ["left_px", "top_px", "width_px", "height_px"]
BLOCK = 2048  # hashes compared at a time
MAX_PAIRS = 20_000  # near pairs compared in detail; more means many blank pictures


def check(folder: Path, facts: dict[str, FileFacts], headers: dict[str, Tags], report: Report) -> None:
    """Check the set whose tables are in the folder, and add distribution.csv and contact.png.

    facts: the cached facts of the set's files, by path; headers: their DICOM tags, by path.
    """
    films = FILMS.read(folder / "films.parquet")
    sites, boxes = (
        schema.read(folder / name) if (folder / name).is_file() else None
        for schema, name in ((SITES, "sites.parquet"), (BOXES, "boxes.parquet"))
    )
    films["file"] = [str(paths.ROOT / path) for path in films.path]
    count(films, sites, folder / "film_issues.parquet", report)
    same_films(films, facts, report)
    same_people(films, headers, report)
    grade_distribution.compare(folder, sites, report)
    contact_sheet.write(films, boxes, sites, report.redact, folder / "contact.png")


def count(films: pd.DataFrame, sites: pd.DataFrame | None, issues_file: Path, report: Report) -> None:
    """Count films, persons, visits, scored sites per limb and finding, and refused films."""
    report.counts |= {f"{split} films": int(n) for split, n in films.groupby("split").film_id.count().items()}
    people = films if sites is None else pd.concat([films[["person_id", "visit"]], sites[["person_id", "visit"]]])
    report.counts |= {"persons": people.person_id.nunique(), "visits": len(people[["person_id", "visit"]].drop_duplicates())}
    if sites is not None:
        scored = sites[sites.site != anatomy.TOTAL].dropna(subset="target")
        for (limb, finding), rows in scored.groupby([scored.part.map(anatomy.limb), "finding"]):
            report.counts[f"{limb} {finding} sites scored"] = len(rows)
    if issues_file.is_file():
        issues = FILM_ISSUES.read(issues_file)
        report.counts["films refused"] = int(issues[issues.refused == 1].film.nunique())


def same_films(films: pd.DataFrame, facts: dict[str, FileFacts], report: Report) -> None:
    """Report film ids whose files have equal content or show the same picture, even mirrored."""
    for _, copies in films.groupby(["file", *FRAME], sort=False):
        for first, second in itertools.pairwise(range(len(copies))):
            _warn_same(copies.iloc[[first]], copies.iloc[[second]], "one film of one file", report)
    by_file = dict(list(films.groupby("file", sort=False)))
    files_by_content = films.drop_duplicates("file").groupby("sha1", sort=False).file.agg(list)
    for files in files_by_content:
        for first, second in itertools.pairwise(files):
            _warn_same(by_file[first], by_file[second], "the same file", report)
    files = [files[0] for files in files_by_content if files[0] in facts]
    if len(files) < len(files_by_content):
        missing = len(files_by_content) - len(files)
        report.notes.append(f"{missing} films were compared only by the hash of their files; prepare their set again")
    hashes = file_cache.bits(facts[file].picture for file in files)
    for mirrored in (False, True):
        for i, j in same_pictures(files, hashes, mirrored, report):
            if mirrored:
                pair = f"{_names(by_file[files[i]])} and {_names(by_file[files[j]])}"
                report.warn("same film mirrored", f"{pair}: one picture, mirrored")
            else:
                _warn_same(by_file[files[i]], by_file[files[j]], "one picture in two files", report)


def same_pictures(files: list[str], hashes: np.ndarray, mirrored: bool, report: Report) -> Iterator[tuple[int, int]]:
    """Index pairs of files that show the same picture: near by their hashes, and correlated in their fine structure."""
    thumbs: dict[int, np.ndarray | None] = {}
    for number, (i, j) in enumerate(near(hashes, mirrored)):
        if number == MAX_PAIRS:
            report.notes.append(f"more than {MAX_PAIRS} pairs of films show almost no structure; the rest were not compared")
            return
        for k in (i, j):
            if k not in thumbs:
                thumbs[k] = thumb(files[k])
        first, second = thumbs[i], thumbs[j]
        if first is None or second is None:
            continue
        correlation = float((first * (second[:, ::-1] if mirrored else second)).mean())
        if correlation >= SAME_CORRELATION:
            yield i, j


def near(hashes: np.ndarray, mirrored: bool = False) -> Iterator[tuple[int, int]]:
    """Pairs i < j of hashes (n, 16, 16) that differ by at most NEAR_BITS; mirrored: j is mirrored first."""
    n = len(hashes)
    if n < 2:
        return
    signs = hashes.reshape(n, -1).astype(np.float32) * 2 - 1
    others = hashes[:, :, ::-1].reshape(n, -1).astype(np.float32) * 2 - 1 if mirrored else signs
    min_product = signs.shape[1] - 2 * NEAR_BITS  # the product of two hashes is 256 minus twice the bits that differ
    for row, column in itertools.product(range(0, n, BLOCK), range(0, n, BLOCK)):
        if column >= row:
            pairs = np.argwhere(signs[row : row + BLOCK] @ others[column : column + BLOCK].T >= min_product)
            yield from ((int(i) + row, int(j) + column) for i, j in pairs if i + row < j + column)


def thumb(path: str) -> np.ndarray | None:
    """The fine structure of a picture, (THUMB_PX, THUMB_PX) of mean 0 and deviation 1; None for a blank or unreadable picture.

    Structure coarser than COARSE_PX is removed: the outlines of any two hands are similar.
    """
    try:
        grey = film.read(path)
    except film.FilmError:
        return None
    step = max(1, min(grey.shape) // (4 * THUMB_PX))
    small = cv2.resize(np.ascontiguousarray(grey[::step, ::step]), (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA)
    fine = small - cv2.GaussianBlur(small.astype(np.float32), (0, 0), COARSE_PX)
    return (fine - fine.mean()) / fine.std() if fine.std() > 0.5 else None


def _names(films: pd.DataFrame) -> str:
    return " + ".join(films.film_id)


def _warn_same(first: pd.DataFrame, second: pd.DataFrame, how: str, report: Report) -> None:
    """Warn of two groups of films that share a file or a picture."""
    pair = f"{_names(first)} and {_names(second)}"
    crosses = set(first.split) != set(second.split)
    report.warn("same film in train and test" if crosses else "same film twice", f"{pair}: {how}")
    persons = sorted(set(first.person_id) | set(second.person_id))
    if len(persons) > 1:
        report.warn("one person under two ids", f"{' and '.join(persons)} share a film ({pair})")


def same_people(films: pd.DataFrame, headers: dict[str, Tags], report: Report) -> None:
    """Report a header's person under two ids, two persons under one id, visits that contradict dates, and nearly equal ids."""
    header_person = [headers[file].person if file in headers else None for file in films.file]
    with_header = films.assign(header=header_person).dropna(subset="header")
    for _, persons in with_header.groupby("header").person_id.unique().items():
        if len(persons) > 1:
            report.warn("one person under two ids", f"{' and '.join(sorted(persons))}: their DICOM headers name one person")
    for person, count in with_header.groupby("person_id").header.nunique().items():
        if count > 1:
            report.warn("one id for two persons", f"{person}: its DICOM headers name {count} persons")
    dates = pd.Series([headers[file].date if file in headers else None for file in films.file], films.index, dtype=object)
    first_day = films.assign(date=dates).dropna(subset="date").groupby(["person_id", "visit"]).date.min()
    for person, days in first_day.groupby("person_id"):
        if not days.is_monotonic_increasing:
            report.warn("visits out of order", f"{person}: the dates in the DICOM headers contradict the order of the visits")
    for ids in similar_ids(films.person_id.unique()):
        report.warn("ids that look alike", " and ".join(ids))


def similar_ids(ids: Iterable[str]) -> list[list[str]]:
    """Groups of ids that are equal but for case, punctuation and leading zeros: A-01, a_1."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for id_ in sorted(ids):
        words = re.findall(r"[a-z]+|[0-9]+", id_.lower())
        groups.setdefault(tuple(word.lstrip("0") or "0" for word in words), []).append(id_)
    return [group for group in groups.values() if len(group) > 1]
