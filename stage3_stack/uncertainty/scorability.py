"""Which of a patient's 86 sites could be scored, and why the others could not: tables.STATES, from the files on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from ra import paths, tables
from ra.anatomy import PARTS, SITES


def states(data: str, patients: pd.Index, members: tuple[str, ...], seen: np.ndarray) -> np.ndarray:
    """(n, 86) states. seen (n, 86): whether any joint member has a prediction for the site.

    A site with a prediction is `scored`, even if a table lists a fault of the film; a reason is looked up for the others only.
    """
    films = tables.FILMS.read(paths.films(data)) if paths.films(data).is_file() else None
    if films is None:  # without a table of films we cannot know which films are missing
        return np.where(seen, "scored", "unread").astype(object)
    reason = np.full(seen.shape, "unread", dtype=object)
    reason[~_in_parts(films[["patient_id", "part"]], patients)] = "no_film"
    reason[_in_parts(_refused_parts(data), patients)] = "refused"
    reason[_off_film(data, films, patients, members)] = "off_film"
    return np.where(seen, "scored", reason)


def _in_parts(rows: pd.DataFrame, patients: pd.Index) -> np.ndarray:
    """(n, 86) whether the rows (patient_id, part) contain the site's part of the patient."""
    listed = set(zip(rows.patient_id, rows.part, strict=True))
    by_part = {part: np.array([(patient, part) in listed for patient in patients], dtype=bool) for part in PARTS}
    return np.stack([by_part[s.part] for s in SITES], axis=1)


def _refused_parts(data: str) -> pd.DataFrame:
    """patient_id and part of the refused films; films whose name gives no part are left out."""
    path = paths.work(data) / "film_issues.parquet"
    issues = tables.FILM_ISSUES.read(path) if path.is_file() else pd.DataFrame(columns=list(tables.FILM_ISSUES.columns))
    issues = issues[(issues.refused == 1) & issues.patient_id.notna()]
    rows = [
        (patient, part)
        for film, patient in zip(issues.film, issues.patient_id, strict=True)
        for part in PARTS
        if film.startswith(f"{patient}-{part}")
    ]
    return pd.DataFrame(rows, columns=["patient_id", "part"])


def _off_film(data: str, films: pd.DataFrame, patients: pd.Index, members: tuple[str, ...]) -> np.ndarray:
    """(n, 86) whether a box from which the members' pictures were cut lies off the film."""
    out = np.zeros((len(patients), len(SITES)), dtype=bool)
    film = films.set_index("film_id")[["patient_id", "part"]]
    joint_sites: dict[tuple[str, str], list[int]] = {}
    for j, s in enumerate(SITES):
        joint_sites.setdefault((s.part, s.joint), []).append(j)
    for path in _box_tables(data, members):
        boxes = tables.BOXES.read(path)
        outside = boxes[(boxes.source == "outside") & boxes.film_id.isin(film.index)]
        rows = patients.get_indexer(film.patient_id.loc[outside.film_id])
        for row, part, joint in zip(rows, film.part.loc[outside.film_id], outside.joint, strict=True):
            if row >= 0:
                out[row, joint_sites.get((part, joint), [])] = True
    return out


def _box_tables(data: str, members: tuple[str, ...]) -> list[Path]:
    """Tables of the boxes from which the members' pictures were cut. They are the inputs of the members' picture runs."""
    boxes: dict[Path, None] = {}  # keeps the order and drops repetitions
    for member in members:
        for pictures in _inputs(paths.run_dir(data, 2, member)):
            files = [path for path in _inputs(pictures) if path.name.startswith("boxes") and path.is_file()]
            boxes |= dict.fromkeys(files)
    return list(boxes)


def _inputs(folder: Path) -> list[Path]:
    """Inputs of a finished run, by its run.json; [] for anything else."""
    record = folder / "run.json"
    inputs = json.loads(record.read_text()).get("inputs", {}) if record.is_file() else {}
    return [Path(os.path.normpath(folder / name)) for name in inputs]
