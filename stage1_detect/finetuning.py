"""A detector for other films, from one that exists: a little training on films that it reads, more on films of another kind."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from ra import folds, track
from ra.tables import box_error_frac
from stage1_detect import dataset, model, shape_model, shape_shrinkage, trainer
from stage1_detect.config import Detector as Settings
from stage1_detect.film_boxes import jobs_of, read_all, rows
from stage1_detect.inference import Detector

TRIED = 24  # films on which the starting detector is tried


def fold_detectors(
    training: pd.DataFrame, boxes: pd.DataFrame, settings: Settings, folder: Path, fold: str, device_flag: str, log: track.Log
) -> dict[int, Detector]:
    """The chosen folds' detectors, trained where they are not on disk yet. A fold's detector sees the other folds alone.

    Films without boxes are only read. Where the other folds have no boxed film, the starting detector reads the fold.
    """
    device = model.device_of(device_flag)
    boxes = boxes[boxes.source == "truth"]
    pictures = dataset.export(training, boxes, settings.imgsz, folder / "pictures")
    detectors = {}
    for k in folds.chosen(fold, int(training.fold.max()) + 1):
        target = folder / f"fold_{k}" / "best.safetensors"
        others = training[(training.fold != k) & training.film_id.isin(pictures)]
        if others.empty:
            print(f"fold_{k}: no film of the other folds has boxes; {settings.start} weights read it as they are", flush=True)
            detectors[k] = model.detector(settings.weights(), device)
            continue
        if not target.is_file():
            fit(others, boxes, settings, pictures, target, device, lambda fold=k, **row: log.row(fold=fold, **row))
        detectors[k] = model.detector(target, device)
    return detectors


def fit(
    films: pd.DataFrame, boxes: pd.DataFrame, settings: Settings, pictures: dict[str, str], target: Path, device: str, log
) -> None:
    """Train one detector on films, all of which have boxes; where the starting one misreads them, longer and with shapes
    learned from them."""
    start = model.detector(settings.weights(), device)
    share = familiarity(films, boxes, start, settings.seed)
    chosen = [pictures[film_id] for film_id in films.film_id]
    if 0 < settings.max_films < len(chosen):
        chosen = list(np.random.default_rng(settings.seed).choice(chosen, settings.max_films, replace=False))
    epochs, shapes, shown = settings.epochs, start[2], 1
    if share < settings.familiar:
        found = f"{settings.start} weights find {share:.0%} of these films' joints"
        print(f"{target.parent.name}: {found}; training longer", flush=True)
        epochs, shapes = max(settings.epochs, settings.epochs_foreign), learned(films, boxes, start[2])
        shown = math.ceil(settings.steps_foreign * settings.batch / (epochs * len(chosen)))  # times an epoch: steps count
    yaml_file = dataset.write_yaml(target.parent / "lists", chosen * shown, chosen[:8])
    network = None if settings.start == "scratch" else start[0]
    trainer.train(settings, yaml_file, network, target, device, log, epochs=epochs, shapes=shapes)


def learned(films: pd.DataFrame, boxes: pd.DataFrame, shapes: dict[str, shape_model.Shape]) -> dict[str, shape_model.Shape]:
    """Shapes of the limbs that have completely boxed films, each held towards the given one as its films are few."""
    out = {}
    for limb, shape in shapes.items():
        kind = films[films.part.str[1] == limb[0].upper()]
        marked = boxes[boxes.film_id.isin(kind.film_id)]
        complete = int((marked.groupby("film_id").joint.nunique() == len(shape.joints)).sum())
        own = shape_model.from_boxes(kind, marked) if complete > 1 else {}  # one film tells nothing of how limbs vary
        out[limb] = shape_shrinkage.towards(shape, own[limb], complete) if own else shape
    return out


def familiarity(films: pd.DataFrame, boxes: pd.DataFrame, detector: Detector, seed: int) -> float:
    """Share of joints that a detector puts within 2 % of the long side, on a few of the films."""
    some = films.sample(min(TRIED, len(films)), random_state=seed)
    readings = read_all(detector, jobs_of(some), "trying the starting detector")
    both = zip(some.itertuples(), readings, strict=True)
    found = [row for film, reading in both if hasattr(reading, "points") for row in rows(reading, film.film_id, -1)]
    wanted = boxes[boxes.film_id.isin(some.film_id)]
    if not found or wanted.empty:
        return 0.0
    return float((box_error_frac(pd.DataFrame(found), wanted, some) < 0.02).sum() / len(wanted))
