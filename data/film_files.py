"""The film files of a folder: found by name, each decoded once to see that it can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from data import file_cache
from data.issues import Report
from ra import anatomy, paths
from ra.config import UserError
from ra.imaging import film

VIEWS = {"hand": "PA", "foot": "AP"}
NAMED = re.compile(r"(?P<patient>.+)-(?P<part>LH|RH|LF|RF)", re.IGNORECASE)


def listing(folder: Path) -> list[Path]:
    """Files of the folder with a film's suffix, by name, without hidden ones. UserError when there are none."""
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist; give the folder that holds it (README, your own films)")
    found = sorted(p for p in folder.iterdir() if film.is_named_film(p))
    if not found:
        raise UserError(f"{folder} holds no film; it must hold <Patient_ID>-LH.jpg and so on ({' '.join(film.SUFFIXES)})")
    return found


def by_part(folder: Path, patient_ids: list[str], report: Report) -> dict[tuple[str, str], Path]:
    """(patient_id, part) -> file. Reports films without a row, films twice, patients without any, and missing parts."""
    found: dict[tuple[str, str], Path] = {}
    known = set(patient_ids)
    for path in listing(folder):
        match = NAMED.fullmatch(path.stem)
        if not match or match["patient"] not in known:
            report.warn("film without a row", f"{folder.name}/{path.name}")
        elif (key := (match["patient"], match["part"].upper())) in found:
            report.warn("duplicate film", f"{folder.name}/{path.name} beside {found[key].name}")
        else:
            found[key] = path
    for patient in patient_ids:
        missing = [part for part in anatomy.PARTS if (patient, part) not in found]
        if len(missing) == len(anatomy.PARTS):
            report.warn("patient without films", f"{folder.name}/{patient}")
        else:
            for part in missing:
                report.warn("missing film", f"{folder.name}/{patient}-{part}")
    return found


def row(patient: dict, part: str | None, path: Path) -> dict:
    """A row of the films table but for what only the file tells (sha1, width_px, height_px).

    part None: nothing declares it; data.screening.settle makes a row of each limb that the picture shows.
    """
    return {
        "film_id": f"{patient['patient_id']}-{part}" if part else patient["patient_id"],
        **{name: patient[name] for name in ("patient_id", "person_id", "visit", "split")},
        "part": part,
        "view": VIEWS[anatomy.limb(part)] if part else None,
        "laterality": part[0] if part else None,
        "path": str(path.absolute()),
    }


def decode_all(rows: list[dict], kept: Path, report: Report) -> pd.DataFrame:
    """The films table. Every file is decoded whole once, unless `kept` knows it (data.file_cache).

    A film without a frame is its file's whole picture. One that cannot be read is reported and left out.
    """
    found = file_cache.gather([row["path"] for row in rows], kept)
    good = []
    for row in rows:
        fact = found[row["path"]]
        if isinstance(fact, film.FilmError):
            report.warn("unreadable film", str(fact))
            continue
        whole = {"width_px": fact.width_px, "height_px": fact.height_px}
        good.append({**whole, **row, "sha1": fact.sha1, "path": portable(row["path"])})
    return pd.DataFrame(good)


def portable(path: str) -> str:
    """Relative to the checkout where it lies inside, so that the checkout can be moved."""
    inside = Path(path).is_relative_to(paths.ROOT)
    return str(Path(path).relative_to(paths.ROOT)) if inside else path
