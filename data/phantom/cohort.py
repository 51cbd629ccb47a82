"""A cohort on disk in the RA2-DREAM layout: films, two readers, truth, boxes, second visits.

    <root>/train/{training.csv, truth.csv, reader2.csv, people.csv, activity.csv, joints.coco.json, <id>-<part>.jpg}
    <root>/test/{template.csv, people.csv, activity.csv, <id>-<part>.jpg}
    <root>/gold/{gold.csv, truth.csv, reader2.csv, joints.coco.json}
    <root>/{train,gold}/{ratingen.csv, ratingen_reader2.csv, ratingen_truth.csv}    percent of every Ratingen joint; reader 1
    <root>/summary.csv    the cohort's statistics compared with the published ones

Only the final scoring reads gold/, and no training uses the truth or the second reader in train/.
"""

from __future__ import annotations

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
from ra import atomic, coco, training_log
from ra.anatomy import COLUMNS_B, ID, OVERALL, PARTS, SITES
from ra.clinical import percent2grade

DAYS_PER_YEAR = 365.25
# EXIF orientation, and how the picture is stored under it
ORIENTATIONS = ((6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270), (3, Image.Transpose.ROTATE_180))


@dataclass(frozen=True)
class Cohort:
    """Settings of a cohort, which is a pure function of them."""

    kind: Literal["cohort"] = "cohort"

    seed: int = 2020
    train: int = 100  # sets of films (one Patient_ID each); a second visit is a separate set; 0: only patients to be scored
    test: int = 50
    shift: float = 1.0  # added to the patients' severity; 0: the published distribution, above 0: enriched with damage
    second_visits: float = 0.12  # fraction of the sets that are a person's second visit
    reader_noise: float = 0.85  # SD of a reader's error in grades; see severity.read
    max_px: int = 0  # maximum height of a film, 0 for the published sizes
    first_id: int = 1  # lowest number of a patient's id
    boneage: int = 0  # number of growing hands for pretraining, written in the RSNA layout


def patients(cohort: Cohort) -> list[sv.Patient]:
    """Every patient of the cohort with severities, truth and the readers' scores."""
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
        np.ceil(severities).astype(int), readers, round(years * DAYS_PER_YEAR),
    )  # fmt: skip


def write_film(folder: Path, max_px: int, job: tuple[sv.Patient, str]) -> coco.Image:
    """Draw and write one film; returns it as an image of a COCO file, with the boxes of its joints."""
    patient, part = job
    person_rng = np.random.default_rng((patient.seed, 7))
    burden = float(np.clip(patient.severity.sum() / 120, 0, 1))
    body = draw_body(person_rng, patient.female, patient.age, burden)
    erosion, narrowing = sv.damage_maps(patient.severity, part)
    if part[1] == "H":
        mcp_narrowing = np.mean([narrowing.get(f"mcp_{k}", 0) for k in (2, 3, 4, 5)])
        drift = max(0.0, float(person_rng.normal(18, 6)) * (mcp_narrowing - 0.6))
    else:
        drift = 6.0 * burden + narrowing.get("mtp_1", 0) * 3
    seed = (patient.seed, patient.visit, PARTS.index(part))
    film = draw_film(part, seed, body, Damage(erosion, narrowing, min(drift, 32.0)), max_px=max_px or None)
    name = f"{patient.patient_id}-{part}.jpg"
    save_jpeg(film.grey, folder / name, np.random.default_rng((*seed, 9)))
    return film.coco_image(name)


def save_jpeg(grey: np.ndarray, path: Path, rng: np.random.Generator) -> None:
    """Write in the formats found in clinics' archives: mostly grey, some RGB, some rotated with an EXIF orientation."""
    image, options = Image.fromarray(grey), {"quality": int(rng.integers(82, 96))}
    if rng.random() < 0.1:
        image = image.convert("RGB")
    if rng.random() < 0.06:
        orientation, rotation = ORIENTATIONS[rng.integers(3)]
        image = image.transpose(rotation)
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
    """Eroded percent of the joint surface and Ratingen grade of every Ratingen joint. percents: per patient, by (part, joint)."""
    rows = [
        {ID: p.patient_id, "part": part, "joint": joint, "percent": round(percent, 1), "grade": percent2grade(percent)}
        for p, row in zip(people, percents, strict=True)
        for (part, joint), percent in row.items()
    ]
    return pd.DataFrame(rows)


def people_table(people: list[sv.Patient]) -> pd.DataFrame:
    """Person, visit, age and sex of each set of films."""
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
    """The simulated components of the DAS28 of each visit, empty if not measured."""
    return pd.DataFrame([{ID: p.patient_id, "days": p.days, **disease_activity.items(p)} for p in people])


def summary_table(people: list[sv.Patient]) -> pd.DataFrame:
    """Statistics of the cohort (reader 1), of an unshifted cohort (plain mode), and the published ones."""
    rng = np.random.default_rng(1)
    plain = np.array([sv.grade_of(sv.latent(rng, sv.patient_level(rng))) for _ in range(600)])
    columns = {
        "this cohort": grade_distribution.summary(np.array([p.readers[0] for p in people])),
        "plain mode": grade_distribution.summary(plain),
        "RA2-DREAM": grade_distribution.PUBLISHED,
    }
    return pd.DataFrame(columns).loc[list(columns["plain mode"])].rename_axis("figure").reset_index()


def write(root: Path, cohort: Cohort) -> None:
    """Write the whole cohort to root, which is replaced only when the cohort is complete."""
    people = patients(cohort)
    with atomic.replacing_folder(root) as folder:
        for split in dict.fromkeys(p.split for p in people):
            (folder / split).mkdir(parents=True)
            split_people = [p for p in people if p.split == split]
            jobs = [(p, part) for p in split_people for part in PARTS]
            draw = partial(write_film, folder / split, cohort.max_px)
            with get_context("spawn").Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:  # a fork hangs OpenCV
                films = list(training_log.progress(pool.imap(draw, jobs, chunksize=4), f"{split} films", len(jobs)))
            _write_tables(folder, split, split_people, films, cohort.reader_noise)
        atomic.write_table(folder / "summary.csv", summary_table(people).round(3))


def _write_tables(root: Path, split: str, people: list[sv.Patient], films: list[coco.Image], noise: float) -> None:
    """Write all tables of one split."""
    scores_folder = root / ("train" if split == "train" else "gold")
    scores = score_table(people, [p.readers[0] for p in people])
    tables = {
        root / split / "people.csv": people_table(people),
        root / split / "activity.csv": activity_table(people),
        scores_folder / ("training.csv" if split == "train" else "gold.csv"): scores,
        scores_folder / "truth.csv": score_table(people, [p.truth for p in people]),
        scores_folder / "reader2.csv": score_table(people, [p.readers[1] for p in people]),
        scores_folder / "ratingen.csv": ratingen_table(people, [sv.read_ratingen(p, 0, noise) for p in people]),
        scores_folder / "ratingen_reader2.csv": ratingen_table(people, [sv.read_ratingen(p, 1, noise) for p in people]),
        scores_folder / "ratingen_truth.csv": ratingen_table(people, [sv.ratingen_percent(p.severity) for p in people]),
    }
    if split == "test":
        template = scores.astype(object)
        template.loc[:, template.columns != ID] = np.nan
        tables[root / "test" / "template.csv"] = template
    for path, table in tables.items():
        atomic.write_table(path, table)
    coco.write(films, scores_folder / "joints.coco.json", digits=1)
