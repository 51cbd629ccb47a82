"""What the headers of DICOM files say, beside what a film was declared to be and what its picture showed."""

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
SCORED_VIEWS = (None, "PA", "AP")  # a header seldom tells these two apart rightly


def read_all(files: Iterable[str]) -> dict[str, Tags]:
    """The tags of those files that are DICOM, by path; headers alone are read."""
    from ra.imaging import dicom

    files = list(dict.fromkeys(files))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return {path: tags for path, tags in zip(files, pool.map(dicom.tags, files), strict=True) if tags}


def identities(headers: dict[str, Tags]) -> set[str]:
    """Every text of the headers that tells who a patient is, to be kept out of all that is printed or written."""
    return {text for tags in headers.values() for text in tags.identity}


def settle(rows: list[dict], headers: dict[str, Tags], gate: Path, trust: bool, report: Report) -> list[dict]:
    """The rows with their pixels' spacing, without the films that their headers refuse; reasons are added to `gate` (FILM_ISSUES)."""
    reasons = [reason for row in rows if row["path"] in headers for reason in doubts(row, headers[row["path"]], trust)]
    if reasons:
        before = FILM_ISSUES.read(gate) if gate.is_file() else None
        told = pd.DataFrame(reasons).assign(film=[report.clean(reason["film"]) for reason in reasons])
        FILM_ISSUES.write(pd.concat([before, told]).drop_duplicates(["film", "reason"]), gate)
    for reason in reasons:
        verdict = "refused" if reason["refused"] else "doubted"
        report.warn(f"{verdict}: {reason['reason']}", f"{reason['film']}: {reason['detail']}")
    refused = {reason["film"] for reason in reasons if reason["refused"]}
    spacing = {path: {"spacing_mm": tags.spacing_mm} for path, tags in headers.items()}
    return [{**spacing.get(row["path"], {}), **row} for row in rows if row["film_id"] not in refused]


def doubts(row: dict, tags: Tags, trust: bool) -> list[dict]:
    """Rows of the gate table: where a film's header contradicts its part or its view.

    A contradicted limb or view refuses the film, unless the picture shows that the header is wrong or the user vouches.
    """
    limb, seen = anatomy.limb(row["part"]), row.get("part_seen")
    sure = trust or (seen is not None and anatomy.limb(seen) == limb)
    found = []
    if tags.limb and tags.limb != limb:
        found.append(("wrong_limb", not sure, f"the DICOM header says {tags.limb}, the film was taken for a {limb}"))
    elif tags.laterality in SIDES and tags.laterality != row["part"][0]:
        text = f"the DICOM header says {SIDES[tags.laterality]}, the film was taken for {row['part']}"
        found.append(("side_differs", False, text))
    if tags.view not in SCORED_VIEWS:
        sure = trust or row.get("view_seen") in SCORED_VIEWS[1:]
        text = f"the DICOM header says {tags.view}"
        found.append(("view_differs", False, text) if sure else ("wrong_view", True, text))
    named = {"film": row["film_id"], "patient_id": row["patient_id"]}
    return [{**named, "reason": reason, "refused": int(no), "detail": text} for reason, no, text in found]
