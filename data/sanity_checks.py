"""One check for every prepared set: counts, films that are the same, people who may be, grades beside the published ones.

What it finds are warnings of the report; contact.png shows twenty films with their boxes.
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
from data.file_cache import Fact
from data.issues import Report
from ra import anatomy, paths
from ra.imaging import film
from ra.tables import BOXES, FILM_ISSUES, FILMS, SITES

if TYPE_CHECKING:
    from ra.imaging.dicom import Tags

# A film that was scaled by 0.3 to 1.4, saved at quality 40 or lit otherwise differs from itself by 22 of 256 bits at most, and
# its fine structure correlates by 0.96 at least; that of 300 generated films with one another by 0.84 at most.
NEAR_BITS = 24
THUMB_PX, COARSE_PX, ALIKE = 64, 2.5, 0.93
FRAME = ["left_px", "top_px", "width_px", "height_px"]
BLOCK = 2048  # hashes compared at a time
MOST_PAIRS = 20_000  # near hashes looked at; more are blank pictures


def check(folder: Path, known: dict[str, Fact], headers: dict[str, Tags], report: Report) -> None:
    """Check the set whose tables are in the folder; adds distribution.csv and contact.png to them.

    known: facts of its files by path, where there are any; headers: their DICOM tags.
    """
    films = FILMS.read(folder / "films.parquet")
    sites, boxes = (
        schema.read(folder / name) if (folder / name).is_file() else None
        for schema, name in ((SITES, "sites.parquet"), (BOXES, "boxes.parquet"))
    )
    films["file"] = [str(paths.ROOT / path) for path in films.path]
    count(films, sites, folder / "film_issues.parquet", report)
    same_films(films, known, report)
    same_people(films, headers, report)
    grade_distribution.compare(folder, sites, report)
    contact_sheet.write(films, boxes, sites, report.clean, folder / "contact.png")


def count(films: pd.DataFrame, sites: pd.DataFrame | None, gate: Path, report: Report) -> None:
    """Films, persons, visits, scored sites per limb and finding, refused films."""
    report.counts |= {f"{split} films": int(n) for split, n in films.groupby("split").film_id.count().items()}
    people = films if sites is None else pd.concat([films[["person_id", "visit"]], sites[["person_id", "visit"]]])
    report.counts |= {"persons": people.person_id.nunique(), "visits": len(people[["person_id", "visit"]].drop_duplicates())}
    if sites is not None:
        scored = sites[sites.site != anatomy.TOTAL].dropna(subset="target")
        for (limb, finding), rows in scored.groupby([scored.part.map(anatomy.limb), "finding"]):
            report.counts[f"{limb} {finding} sites scored"] = len(rows)
    if gate.is_file():
        reasons = FILM_ISSUES.read(gate)
        report.counts["films refused"] = int(reasons[reasons.refused == 1].film.nunique())


def same_films(films: pd.DataFrame, known: dict[str, Fact], report: Report) -> None:
    """Files with one content or one picture, as they are or mirrored, under two film ids."""
    for _, copies in films.groupby(["file", *FRAME], sort=False):
        for first, second in itertools.pairwise(range(len(copies))):
            _tell_same(copies.iloc[[first]], copies.iloc[[second]], "one film of one file", report)
    by_file = dict(list(films.groupby("file", sort=False)))
    of_content = films.drop_duplicates("file").groupby("sha1", sort=False).file.agg(list)
    for files in of_content:
        for first, second in itertools.pairwise(files):
            _tell_same(by_file[first], by_file[second], "the same file", report)
    files = [files[0] for files in of_content if files[0] in known]
    if len(files) < len(of_content):
        report.notes.append(f"{len(of_content) - len(files)} films are compared by their files alone; prepare their set again")
    hashes = file_cache.bits(known[file].picture for file in files)
    for mirrored in (False, True):
        for i, j in same_pictures(files, hashes, mirrored, report):
            if mirrored:
                pair = f"{_names(by_file[files[i]])} and {_names(by_file[files[j]])}"
                report.warn("same film mirrored", f"{pair}: one picture, mirrored")
            else:
                _tell_same(by_file[files[i]], by_file[files[j]], "one picture in two files", report)


def same_pictures(files: list[str], hashes: np.ndarray, mirrored: bool, report: Report) -> Iterator[tuple[int, int]]:
    """Indices of files that show one picture: near by their hashes, and alike when they are laid on one another."""
    thumbs: dict[int, np.ndarray | None] = {}
    for number, (i, j) in enumerate(near(hashes, mirrored)):
        if number == MOST_PAIRS:
            report.notes.append(f"more than {MOST_PAIRS} films have hardly any structure; the rest was not compared")
            return
        for k in (i, j):
            if k not in thumbs:
                thumbs[k] = thumb(files[k])
        one, other = thumbs[i], thumbs[j]
        if one is not None and other is not None and float((one * (other[:, ::-1] if mirrored else other)).mean()) >= ALIKE:
            yield i, j


def near(hashes: np.ndarray, mirrored: bool = False) -> Iterator[tuple[int, int]]:
    """Pairs i < j of hashes (n, 16, 16) that differ by NEAR_BITS at most, the second mirrored if so asked."""
    n = len(hashes)
    if n < 2:
        return
    signs = hashes.reshape(n, -1).astype(np.float32) * 2 - 1
    others = hashes[:, :, ::-1].reshape(n, -1).astype(np.float32) * 2 - 1 if mirrored else signs
    least = signs.shape[1] - 2 * NEAR_BITS  # the product of two hashes is 256 less twice the bits that differ
    for start, begin in itertools.product(range(0, n, BLOCK), range(0, n, BLOCK)):
        if begin >= start:
            found = np.argwhere(signs[start : start + BLOCK] @ others[begin : begin + BLOCK].T >= least)
            yield from ((int(i) + start, int(j) + begin) for i, j in found if i + start < j + begin)


def thumb(path: str) -> np.ndarray | None:
    """The fine structure of a picture, THUMB_PX x THUMB_PX of mean 0 and deviation 1; None when it has none or is not readable.

    What is coarser than COARSE_PX is taken away: the outlines of two hands are much alike.
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


def _tell_same(first: pd.DataFrame, second: pd.DataFrame, how: str, report: Report) -> None:
    pair = f"{_names(first)} and {_names(second)}"
    crosses = set(first.split) != set(second.split)
    report.warn("same film in train and test" if crosses else "same film twice", f"{pair}: {how}")
    persons = sorted(set(first.person_id) | set(second.person_id))
    if len(persons) > 1:
        report.warn("one person under two ids", f"{' and '.join(persons)} share a film ({pair})")


def same_people(films: pd.DataFrame, headers: dict[str, Tags], report: Report) -> None:
    """One header's person under two ids, two under one, visits against their dates, ids that differ by punctuation alone."""
    seen = [headers[file].person if file in headers else None for file in films.file]
    told = films.assign(header=seen).dropna(subset="header")
    for _, persons in told.groupby("header").person_id.unique().items():
        if len(persons) > 1:
            report.warn("one person under two ids", f"{' and '.join(sorted(persons))}: their DICOM headers name one person")
    for person, found in told.groupby("person_id").header.nunique().items():
        if found > 1:
            report.warn("one id for two persons", f"{person}: its DICOM headers name {found} persons")
    dates = pd.Series([headers[file].date if file in headers else None for file in films.file], films.index, dtype=object)
    first_day = films.assign(date=dates).dropna(subset="date").groupby(["person_id", "visit"]).date.min()
    for person, days in first_day.groupby("person_id"):
        if not days.is_monotonic_increasing:
            report.warn("visits out of order", f"{person}: the dates in the DICOM headers run against the visits' numbers")
    for ids in alike(films.person_id.unique()):
        report.warn("ids that look alike", " and ".join(ids))


def alike(ids: Iterable[str]) -> list[list[str]]:
    """Ids that are one when case, punctuation and leading zeros are left aside: A-01, a_1."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for id_ in sorted(ids):
        words = re.findall(r"[a-z]+|[0-9]+", id_.lower())
        groups.setdefault(tuple(word.lstrip("0") or "0" for word in words), []).append(id_)
    return [group for group in groups.values() if len(group) > 1]
