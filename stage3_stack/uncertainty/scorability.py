"""Which of a patient's 86 sites could be scored, and why the others could not: tables.STATES, from what is on disk."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import yaml

from ra import paths, tables
from ra.anatomy import PARTS, SITES


def states(data: str, patients: pd.Index, members: tuple[str, ...], seen: np.ndarray) -> np.ndarray:
    """(n, 86) words. seen (n, 86): whether any joint member saw the site.

    A member that reads a joint says more than a table that doubts it: only what nobody saw is asked for its reason.
    """
    films = tables.FILMS.read(paths.films(data)) if paths.films(data).is_file() else None
    if films is None:  # a set without a table of films tells of none that they are missing
        return np.where(seen, "scored", "unread").astype(object)
    why = np.full(seen.shape, "unread", dtype=object)
    why[~_of_parts(films[["patient_id", "part"]], patients)] = "no_film"
    why[_of_parts(_refused(data), patients)] = "refused"
    why[_outside(data, films, patients, members)] = "off_film"
    return np.where(seen, "scored", why)


def _of_parts(rows: pd.DataFrame, patients: pd.Index) -> np.ndarray:
    """(n, 86) whether the site's part is named for the patient."""
    named = set(zip(rows.patient_id, rows.part, strict=True))
    by_part = {part: np.array([(patient, part) in named for patient in patients], dtype=bool) for part in PARTS}
    return np.stack([by_part[s.part] for s in SITES], axis=1)


def _refused(data: str) -> pd.DataFrame:
    """patient_id, part of the films that the gate refused; a film that could not be named tells no part."""
    path = paths.work(data) / "film_issues.parquet"
    gate = tables.FILM_ISSUES.read(path) if path.is_file() else pd.DataFrame(columns=list(tables.FILM_ISSUES.columns))
    gate = gate[(gate.refused == 1) & gate.patient_id.notna()]
    starts = zip(gate.film, gate.patient_id, strict=True)
    return pd.DataFrame(
        [(patient, part) for film, patient in starts for part in PARTS if film.startswith(f"{patient}-{part}")],
        columns=["patient_id", "part"],
    )


def _outside(data: str, films: pd.DataFrame, patients: pd.Index, members: tuple[str, ...]) -> np.ndarray:
    """(n, 86) whether the boxes that the members' crops were cut by lie off the film."""
    out = np.zeros((len(patients), len(SITES)), dtype=bool)
    part = films.set_index("film_id")[["patient_id", "part"]]
    place = {}
    for j, s in enumerate(SITES):
        place.setdefault((s.part, s.joint), []).append(j)
    for path in _box_files(data, members):
        boxes = tables.BOXES.read(path)
        off = boxes[(boxes.source == "outside") & boxes.film_id.isin(part.index)]
        rows = patients.get_indexer(part.patient_id.loc[off.film_id])
        for row, own, joint in zip(rows, part.part.loc[off.film_id], off.joint, strict=True):
            if row >= 0:
                out[row, place.get((own, joint), [])] = True
    return out


def _box_files(data: str, members: tuple[str, ...]) -> list:
    """Of the stage-1 runs that the members' crops name."""
    runs = set()
    for member in members:
        saved = paths.run_dir(data, 2, member) / "config.yaml"
        crops = (yaml.safe_load(saved.read_text()) or {}).get("pictures") if saved.is_file() else None
        record = paths.run_dir(data, 2, crops) / "run.json" if crops else None
        if record and record.is_file():
            runs.add(json.loads(record.read_text()).get("boxes"))
    files = [
        paths.truth_boxes(data) if run == "truth" else paths.boxes(data, run, s) for run in runs - {None} for s in ("oof", "test")
    ]
    return [path for path in dict.fromkeys(files) if path.is_file()]
