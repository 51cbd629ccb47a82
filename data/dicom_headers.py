"""Headers of DICOM files, compared with what a film was declared to be and with what its picture shows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from data.issues import Report
from ra import anatomy
from ra.tables import FILM_ISSUES

if TYPE_CHECKING:
    from ra.imaging.dicom import Tags

SIDES = {"L": "left", "R": "right"}
SCORED_VIEWS = (None, "PA", "AP")  # headers often confuse PA and AP


def read_all(files: Iterable[str]) -> dict[str, Tags]:
    """The tags of those files that are DICOM, by path; only headers are read."""
    from ra.imaging import dicom

    files = list(dict.fromkeys(files))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return {path: tags for path, tags in zip(files, pool.map(dicom.tags, files), strict=True) if tags}


def identities(headers: dict[str, Tags]) -> set[str]:
    """All texts of the headers that identify a patient, to be kept out of everything printed or written."""
    return {text for tags in headers.values() for text in tags.identity}


def apply_headers(rows: list[dict], headers: dict[str, Tags], issues_file: Path, trust: bool, report: Report) -> list[dict]:
    """The rows with their pixel spacing, without the films that are refused because of their headers.

    The contradictions are added to `issues_file` (FILM_ISSUES) and to the report.
    """
    issues = [issue for row in rows if row["path"] in headers for issue in contradictions(row, headers[row["path"]], trust)]
    if issues:
        before = FILM_ISSUES.read(issues_file) if issues_file.is_file() else None
        added = pd.DataFrame(issues).assign(film=[report.redact(issue["film"]) for issue in issues])
        FILM_ISSUES.write(pd.concat([before, added]).drop_duplicates(["film", "reason"]), issues_file)
    for issue in issues:
        verdict = "refused" if issue["refused"] else "doubted"
        report.warn(f"{verdict}: {issue['reason']}", f"{issue['film']}: {issue['detail']}")
    refused = {issue["film"] for issue in issues if issue["refused"]}
    spacing = {path: {"spacing_mm": tags.spacing_mm} for path, tags in headers.items()}
    return [{**spacing.get(row["path"], {}), **row} for row in rows if row["film_id"] not in refused]


def contradictions(row: dict, tags: Tags, trust: bool) -> list[dict]:
    """Rows of FILM_ISSUES: where a film's header contradicts its part or its view.

    A film whose limb or view is contradicted is refused, unless its picture shows that the header is wrong. trust: the films are
    known to show what was declared, so none is refused.
    """
    limb, seen = anatomy.limb(row["part"]), row.get("part_seen")
    limb_is_certain = trust or (seen is not None and anatomy.limb(seen) == limb)
    issues = []
    if tags.limb and tags.limb != limb:
        text = f"the DICOM header says {tags.limb}, the film was taken for a {limb}"
        issues.append(("wrong_limb", not limb_is_certain, text))
    elif tags.laterality in SIDES and tags.laterality != row["part"][0]:
        text = f"the DICOM header says {SIDES[tags.laterality]}, the film was taken for {row['part']}"
        issues.append(("side_differs", False, text))
    if tags.view not in SCORED_VIEWS:
        view_is_certain = trust or row.get("view_seen") in SCORED_VIEWS[1:]
        text = f"the DICOM header says {tags.view}"
        issues.append(("view_differs", False, text) if view_is_certain else ("wrong_view", True, text))
    film = {"film": row["film_id"], "patient_id": row["patient_id"]}
    return [{**film, "reason": reason, "refused": int(refuses), "detail": text} for reason, refuses, text in issues]
