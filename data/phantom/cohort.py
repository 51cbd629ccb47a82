"""A cohort on disk: films, two readers, truth, boxes, two visits, in the RA2-DREAM layout.

    <root>/train/{training.csv, truth.csv, reader2.csv, people.csv, activity.csv, joints.coco.json, <id>-<part>.jpg}
    <root>/test/{template.csv, people.csv, activity.csv, <id>-<part>.jpg}
    <root>/gold/{gold.csv, truth.csv, reader2.csv, joints.coco.json}
    <root>/{train,gold}/{ratingen.csv, ratingen_reader2.csv, ratingen_truth.csv}    percent of every Ratingen joint; reader 1
    <root>/summary.csv    the cohort's statistics beside the published ones

Nothing but the final scoring reads gold/, and nothing trains on the truth or the second reader in train/.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from data import grade_distribution
from data.phantom import disease_activity
from data.phantom import severity as sv
from data.phantom.damage import Damage
from data.phantom.film import draw_film
from data.phantom.skeleton import draw_body
from ra import coco, track
from ra.anatomy import COLUMNS_B, ID, OVERALL, PARTS, SITES
from ra.clinical import percent2grade

DAYS = 365.25  # of a year


@dataclass(frozen=True)
class Cohort:
    """What a cohort holds; a pure function of these values."""

    kind: Literal["cohort"] = "cohort"

    seed: int = 2020
    train: int = 100  # sets of films, as RA2's Patient_ID; second visits are sets of their own; 0: only patients to be scored
    test: int = 50
    shift: float = 1.0  # added to the patients' severity; 0 gives the published distribution, above it the enriched mode
    second_visits: float = 0.12  # share of the sets that are somebody's second visit
    reader_noise: float = 0.85  # grades; see severity.read
    max_px: int = 0  # films at most this high, 0 for the published sizes
    first_id: int = 1  # from which the patients' ids go up
    boneage: int = 0  # growing hands for pretraining, written in the RSNA layout


def patients(cohort: Cohort) -> list[sv.Patient]:
    """Every patient of the cohort, severities, truth and readings drawn."""
    rng = np.random.default_rng(cohort.seed)
    out: list[sv.Patient] = []
    numbers = iter(rng.permutation(999)[: cohort.train + cohort.test + 1] + cohort.first_id)
    for split, count in (("train", cohort.train), ("test", cohort.test)):
        people: list[sv.Patient] = []
        firsts = count - round(cohort.second_visits * count)
        for _ in range(firsts):
            people.append(_first_visit(f"UAB{next(numbers):03d}", split, cohort, rng))
        for first in rng.permutation(np.array(people, dtype=object))[: count - firsts]:
            people.append(_second_visit(first, f"UAB{next(numbers):03d}", cohort, rng))
        out += people
    return out


def _first_visit(patient_id: str, split: str, cohort: Cohort, rng: np.random.Generator) -> sv.Patient:
    grades = sv.grade_of(sv.latent(rng, sv.patient_level(rng, cohort.shift)))
    if rng.random() < sv.HEALTHY:
        grades = np.zeros_like(grades)
    severities = sv.severity_of(grades, rng)
    readers = np.stack([sv.read(severities, rng, cohort.reader_noise) for _ in range(2)])
    return sv.Patient(
        patient_id, f"P{patient_id[3:]}", 1, split, bool(rng.random() < 0.76), float(np.clip(rng.normal(57, 13), 19, 88)),
        int(rng.integers(2**31)), severities, grades, readers,
    )  # fmt: skip


def _second_visit(first: sv.Patient, patient_id: str, cohort: Cohort, rng: np.random.Generator) -> sv.Patient:
    severities = sv.progress(first.severity, rng)
    readers = np.stack([sv.read(severities, rng, cohort.reader_noise) for _ in range(2)])
    years = float(rng.uniform(1, 5))
    return sv.Patient(
        patient_id, first.person_id, 2, first.split, first.female, first.age + years, first.seed, severities,
        np.ceil(severities).astype(int), readers, round(years * DAYS),
    )  # fmt: skip


def write_film(folder: Path, max_px: int, job: tuple[sv.Patient, str]) -> coco.Image:
    """Draw and write one film; its image of the COCO file."""
    patient, part = job
    person = np.random.default_rng((patient.seed, 7))
    burden = float(np.clip(patient.severity.sum() / 120, 0, 1))
    body = draw_body(person, patient.female, patient.age, burden)
    erosion, narrowing = sv.damage_maps(patient.severity, part)
    drift = max(0.0, float(person.normal(18, 6)) * (np.mean([narrowing.get(f"mcp_{k}", 0) for k in (2, 3, 4,
    5)]) - 0.6)) if part[1] == "H" else (
        6.0 * burden + narrowing.get("mtp_1", 0) * 3)  # fmt: skip
    seed = (patient.seed, patient.visit, PARTS.index(part))
    film = draw_film(part, seed, body, Damage(erosion, narrowing, min(drift, 32.0)), max_px=max_px or None)
    name = f"{patient.patient_id}-{part}.jpg"
    save_jpeg(film.grey, folder / name, np.random.default_rng((*seed, 9)))
    return film.coco_image(name)


def save_jpeg(grey: np.ndarray, path: Path, rng: np.random.Generator) -> None:
    """Write as clinics' archives do: most files plain grey, some RGB, some stored turned with an EXIF orientation."""
    image, options = Image.fromarray(grey), {"quality": int(rng.integers(82, 96))}
    if rng.random() < 0.1:
        image = image.convert("RGB")
    if rng.random() < 0.06:
        orientation, turn = ((6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270), (3, Image.Transpose.ROTATE_180))[
            rng.integers(3)
        ]
        image = image.transpose(turn)
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    image.save(path, **options)


def score_table(people: list[sv.Patient], grades: list[np.ndarray]) -> pd.DataFrame:
    """Grades in RA2's columns (order B), totals summed."""
    table = pd.DataFrame([{s.column: int(g) for s, g in zip(SITES, row, strict=True)} for row in grades])
    for finding in ("erosion", "narrowing"):
        table[OVERALL[finding]] = table[[s.column for s in SITES if s.finding == finding]].sum(axis=1)
    table[OVERALL["total"]] = table[OVERALL["erosion"]] + table[OVERALL["narrowing"]]
    table[ID] = [p.patient_id for p in people]
    return table[list(COLUMNS_B)].sort_values(ID, ignore_index=True)


def ratingen_table(people: list[sv.Patient], percents: list[dict[tuple[str, str], float]]) -> pd.DataFrame:
    """Percent of joint surface eroded and Ratingen grade of every Ratingen joint; percents are by (part, joint), per patient."""
    rows = [
        {ID: p.patient_id, "part": part, "joint": joint, "percent": round(percent, 1), "grade": percent2grade(percent)}
        for p, row in zip(people, percents, strict=True)
        for (part, joint), percent in row.items()
    ]
    return pd.DataFrame(rows)


def people_table(people: list[sv.Patient]) -> pd.DataFrame:
    """Who is who: several sets of films may be one person's."""
    return pd.DataFrame(
        [
            {
                ID: p.patient_id,
                "person_id": p.person_id,
                "visit": p.visit,
                "age": round(p.age, 1),
                "sex": "F" if p.female else "M",
            }
            for p in people
        ]
    )


def activity_table(people: list[sv.Patient]) -> pd.DataFrame:
    """The simulated items of the DAS28 of each visit, empty where not measured."""
    return pd.DataFrame([{ID: p.patient_id, "days": p.days, **disease_activity.items(p)} for p in people])


def summary_table(people: list[sv.Patient]) -> pd.DataFrame:
    """The cohort's statistics (reader 1, as in its CSV) and the plain mode's beside the published ones."""
    rng = np.random.default_rng(1)
    plain = np.array([sv.grade_of(sv.latent(rng, sv.patient_level(rng))) for _ in range(600)])
    columns = {
        "this cohort": grade_distribution.summary(np.array([p.readers[0] for p in people])),
        "plain mode": grade_distribution.summary(plain),
        "RA2-DREAM": grade_distribution.PUBLISHED,
    }
    return pd.DataFrame(columns).loc[list(columns["plain mode"])].rename_axis("figure").reset_index()


def write(root: Path, cohort: Cohort) -> None:
    """The whole cohort under root; made beside it and moved into place, so that a killed run leaves nothing half-made."""
    people = patients(cohort)
    root = Path(root)
    temporary = root.with_name(f".{root.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for split in dict.fromkeys(p.split for p in people):
            (temporary / split).mkdir(parents=True)
            own = [p for p in people if p.split == split]
            jobs = [(p, part) for p in own for part in PARTS]
            draw = partial(write_film, temporary / split, cohort.max_px)
            with get_context("spawn").Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:  # a fork hangs OpenCV
                films = list(track.progress(pool.imap(draw, jobs, chunksize=4), f"{split} films", len(jobs)))
            _write_tables(temporary, split, own, films, cohort.reader_noise)
        summary_table(people).round(3).to_csv(temporary / "summary.csv", index=False)
        shutil.rmtree(root, ignore_errors=True)
        temporary.replace(root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_tables(root: Path, split: str, own: list[sv.Patient], films: list[coco.Image], noise: float) -> None:
    truth = root / ("train" if split == "train" else "gold")
    truth.mkdir(exist_ok=True)
    own_table = score_table(own, [p.readers[0] for p in own])
    if split == "train":
        own_table.to_csv(root / "train" / "training.csv", index=False)
    else:
        own_table.to_csv(truth / "gold.csv", index=False)
        empty = own_table.astype(object)
        empty.loc[:, empty.columns != ID] = np.nan
        empty.to_csv(root / "test" / "template.csv", index=False)
    score_table(own, [p.truth for p in own]).to_csv(truth / "truth.csv", index=False)
    score_table(own, [p.readers[1] for p in own]).to_csv(truth / "reader2.csv", index=False)
    ratingen = {
        "ratingen.csv": [sv.read_ratingen(p, 0, noise) for p in own],
        "ratingen_reader2.csv": [sv.read_ratingen(p, 1, noise) for p in own],
        "ratingen_truth.csv": [sv.ratingen_percent(p.severity) for p in own],
    }
    for name, percents in ratingen.items():
        ratingen_table(own, percents).to_csv(truth / name, index=False)
    people_table(own).to_csv(root / split / "people.csv", index=False)
    activity_table(own).to_csv(root / split / "activity.csv", index=False)
    coco.write(films, truth / "joints.coco.json", digits=1)
