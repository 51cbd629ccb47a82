"""A tiny prepared set for the tests of stage 2: drawn films with boxes and grades, and how they call its verbs."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pandas as pd
import pytest

from ra import folds, paths, tables
from ra.anatomy import JOINTS, PARTS, SITES, limb
from stage2_score import pictures, scores

CROPS = "kind: crops\nboxes: truth\nout_px: 24\ncanvas_px: 32\n"
QUICK = "weights: [scratch]\noptim: {epochs: 1, batch: 64, precision: fp32}\nembedding: 4\n"
JOINT_KIND = "kind: joints\n"
# Rough left parts, thumb and great toe on the right (shares of width and height).
HAND = [(.85, .50), (.63, .29), (.46, .26), (.31, .31), (.17, .41),
        (.78, .62), (.60, .46), (.47, .46), (.36, .49), (.25, .54)]  # fmt: skip
WRIST = [(.40 + .05 * (i % 4), .78 + .04 * (i // 4)) for i in range(12)]  # fmt: skip
FOOT = [(.71, .21), (.73, .37), (.55, .35), (.44, .37), (.33, .41), (.21, .48)]  # fmt: skip
WIDTH, HEIGHT = 300, 400


def draw(part: str, rng: np.random.Generator) -> tuple[np.ndarray, pd.DataFrame]:
    """A textured film with a bar through every joint, and its boxes."""
    grey = cv2.GaussianBlur(rng.integers(0, 120, (HEIGHT, WIDTH)).astype(np.uint8), (0, 0), 3)
    xy = np.array(HAND + WRIST if limb(part) == "hand" else FOOT) * [WIDTH, HEIGHT] + rng.normal(
        0, 2, (len(JOINTS[limb(part)]), 2)
    )
    for x, y in xy:
        cv2.line(grey, (int(x) - 3, int(y) - 20), (int(x) + 3, int(y) + 20), 230, 5)
    if part[0] == "R":
        grey, xy = np.ascontiguousarray(grey[:, ::-1]), np.column_stack([WIDTH - 1 - xy[:, 0], xy[:, 1]])
    boxes = pd.DataFrame({"joint": JOINTS[limb(part)], "x_px": xy[:, 0], "y_px": xy[:, 1], "w_px": 30.0, "h_px": 30.0})
    return grey, boxes


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Nine training patients (two of one person) and two for test; one film is missing, one is not a picture."""
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    films, boxes, sites = [], [], []
    for i in range(11):
        patient, split = f"p{i:02d}", "train" if i < 9 else "test"
        person = "p00" if i == 1 else patient
        for part in PARTS:
            if (i, part) == (2, "LF"):
                continue
            grey, found = draw(part, rng)
            path = tmp_path / f"{patient}-{part}.png"
            cv2.imwrite(str(path), grey)
            if (i, part) == (9, "RH"):
                path.write_bytes(b"not a film")
            film_id = f"{patient}-{part}"
            films.append(
                {
                    **{"film_id": film_id, "patient_id": patient, "person_id": person, "visit": 1, "part": part, "view": "PA"},
                    **{"laterality": part[0], "path": str(path), "sha1": "0", "split": split},
                    **{"width_px": WIDTH, "height_px": HEIGHT},
                }
            )
            boxes.append(found.assign(film_id=film_id, fold=-1, conf=np.nan, source="truth"))
        for s in SITES:
            grade = float(min(s.max_grade, rng.integers(0, 3) * (i % 4))) if split == "train" else np.nan
            place = {"part": s.part, "joint": s.joint, "site": s.site, "finding": s.finding}
            grade = np.nan if (i, s.site) == (3, "mcp_E__ip") else grade
            sites.append({"patient_id": patient, "person_id": person, "visit": 1, **place, "target": grade, "split": split})
    tables.FILMS.write(pd.DataFrame(films), paths.films("tiny"))
    tables.BOXES.write(pd.concat(boxes), paths.truth_boxes("tiny"))
    table = tables.SITES.write(pd.DataFrame(sites), paths.sites("tiny"))
    train_rows = table[table.split == "train"]
    patients = train_rows.drop_duplicates("patient_id")[["patient_id", "person_id"]]
    totals = scores.gold_totals(train_rows).reindex(patients.patient_id).to_numpy()
    tables.FOLDS.write(folds.make(patients.assign(total=totals), 3, 0), paths.folds("tiny"))
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, module: ModuleType, *arguments: str) -> None:
    """Run a verb on the tiny set."""
    device = [] if module is pictures else ["--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["verb", "--data", "tiny", *device, *arguments])
    module.run()


def write_config(folder: Path, name: str, text: str) -> str:
    """Write an experiment file; returns its path."""
    (folder / f"{name}.yaml").write_text(text)
    return str(folder / f"{name}.yaml")
