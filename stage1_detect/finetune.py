"""One detector per fold, from the shipped one: a little training on films like the generator's, more on films of another kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ra import folds, track
from ra.tables import box_error_frac
from stage1_detect import data, engine, model, template
from stage1_detect.detect import Detector
from stage1_detect.experiment import Detector as Settings
from stage1_detect.read import jobs_of, read_all, rows

LEAST_SHAPES = 20  # completely boxed films of a limb from which a fold's own shape is learned
TRIED = 24  # films on which the shipped detector is tried


def fold_detectors(
    training: pd.DataFrame, boxes: pd.DataFrame, settings: Settings, folder: Path, fold: str, device_flag: str, log: track.Log
) -> dict[int, Detector]:
    """The chosen folds' detectors, trained where they are not on disk yet. A fold's detector sees the other folds alone."""
    device = model.device_of(device_flag)
    pictures = data.export(training, boxes, settings.imgsz, folder / "pictures")
    detectors = {}
    for k in folds.chosen(fold, int(training.fold.max()) + 1):
        target = folder / f"fold_{k}" / "best.safetensors"
        if not target.is_file():
            others = training[(training.fold != k) & training.film_id.isin(pictures)]
            fit(others, boxes, settings, pictures, target, device, lambda fold=k, **row: log.row(fold=fold, **row))
        own = target.with_name("template.json")
        shapes = template.load() | (template.load(own) if own.is_file() else {})
        detectors[k] = *model.load(target, device), shapes
    return detectors


def fit(
    films: pd.DataFrame, boxes: pd.DataFrame, settings: Settings, pictures: dict[str, str], target: Path, device: str, log
) -> None:
    """Train one detector on films; when the shipped one misreads them, longer and with shapes learned from them."""
    shipped = model.shipped(device)
    share = familiarity(films, boxes, shipped, settings.seed)
    if share < settings.familiar:
        print(f"{target.parent.name}: the shipped detector finds {share:.0%} of these films' joints; training longer", flush=True)
        settings = replace(settings, epochs=settings.epochs_foreign)
        own = template.from_boxes(films, boxes[boxes.film_id.isin(films.film_id)], LEAST_SHAPES)
        template.save(own, target.with_name("template.json"))
    chosen = [pictures[film_id] for film_id in films.film_id]
    if 0 < settings.max_films < len(chosen):
        chosen = list(np.random.default_rng(settings.seed).choice(chosen, settings.max_films, replace=False))
    yaml_file = data.write_yaml(target.parent / "lists", chosen, chosen[:8])
    engine.train(settings, yaml_file, None if settings.start == "scratch" else shipped[0], target, device, log)


def familiarity(films: pd.DataFrame, boxes: pd.DataFrame, detector: Detector, seed: int) -> float:
    """Share of joints that a detector puts within 2 % of the long side, on a few of the films."""
    some = films.sample(min(TRIED, len(films)), random_state=seed)
    readings = read_all(detector, jobs_of(some), "trying the shipped detector")
    both = zip(some.itertuples(), readings, strict=True)
    found = [row for film, reading in both if hasattr(reading, "points") for row in rows(reading, film.film_id, -1)]
    wanted = boxes[boxes.film_id.isin(some.film_id)]
    if not found or wanted.empty:
        return 0.0
    return float((box_error_frac(pd.DataFrame(found), wanted, some) < 0.02).sum() / len(wanted))
