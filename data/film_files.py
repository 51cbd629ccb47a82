"""The film files of a folder: identified by their names, each decoded once to check that it can be read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data import file_cache
from data.issues import Report
from ra import anatomy, film_names, paths
from ra.config import UserError
from ra.imaging import film

VIEWS = {"hand": "PA", "foot": "AP"}


def listing(folder: Path) -> list[Path]:
    """The folder's files with a film's suffix, sorted by name, without hidden ones. UserError when there are none."""
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist; give the folder that holds it (docs/data_formats.md)")
    files = sorted(p for p in folder.iterdir() if film.is_named_film(p))
    if not files:
        raise UserError(f"{folder} holds no film; it must hold <Patient_ID>-LH.jpg and so on ({' '.join(film.SUFFIXES)})")
    return files


def by_part(folder: Path, patient_ids: list[str], report: Report) -> dict[tuple[str, str], Path]:
    """(patient_id, part) -> file, for files named by exactly a patient's id and a part (ra.film_names).

    Reports films without a row, duplicate films, patients without any film, and missing parts.
    """
    files: dict[tuple[str, str], Path] = {}
    known_ids = set(patient_ids)
    for path in listing(folder):
        patient, part = film_names.split(path.stem)
        if part is None or patient not in known_ids:
            report.warn("film without a row", f"{folder.name}/{path.name}")
        elif (patient, part) in files:
            report.warn("duplicate film", f"{folder.name}/{path.name} beside {files[patient, part].name}")
        else:
            files[patient, part] = path
    for patient in patient_ids:
        missing = [part for part in anatomy.PARTS if (patient, part) not in files]
        if len(missing) == len(anatomy.PARTS):
            report.warn("patient without films", f"{folder.name}/{patient}")
        else:
            for part in missing:
                report.warn("missing film", f"{folder.name}/{patient}-{part}")
    return files


def row(patient: dict, part: str | None, path: Path) -> dict:
    """A row of the films table without the columns that need the file's content (sha1, width_px, height_px).

    part None: not declared; data.screening.resolve_limbs replaces the row by one for each limb that the picture shows.
    """
    return {
        "film_id": f"{patient['patient_id']}-{part}" if part else patient["patient_id"],
        **{name: patient[name] for name in ("patient_id", "person_id", "visit", "split")},
        "part": part,
        "view": VIEWS[anatomy.limb(part)] if part else None,
        "laterality": part[0] if part else None,
        "path": str(path.absolute()),
    }


def decode_all(rows: list[dict], cache: Path, report: Report) -> pd.DataFrame:
    """The films table. Every file is fully decoded once, unless the cache has it (data.file_cache).

    A film without a frame is the whole picture of its file. A film that cannot be read is reported and left out.
    """
    facts = file_cache.read_all([row["path"] for row in rows], cache)
    readable = []
    for row in rows:
        fact = facts[row["path"]]
        if isinstance(fact, film.FilmError):
            report.warn("unreadable film", str(fact))
            continue
        size = {"width_px": fact.width_px, "height_px": fact.height_px}
        readable.append({**size, **row, "sha1": fact.sha1, "path": portable(row["path"])})
    return pd.DataFrame(readable)


def portable(path: str) -> str:
    """The path relative to the checkout if it lies inside, so that the checkout can be moved."""
    inside = Path(path).is_relative_to(paths.ROOT)
    return str(Path(path).relative_to(paths.ROOT)) if inside else path
