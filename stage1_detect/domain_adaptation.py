"""Finetune a detector: briefly on films that it already reads well, longer on films of another kind (out of domain)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ra import folds, training_log
from ra.boxes import error_frac
from stage1_detect import dataset, model, shape_model, trainer
from stage1_detect.config import DetectorConfig
from stage1_detect.film_tables import jobs_of, read_all
from stage1_detect.joint_detections import JointDetections, box_rows
from stage1_detect.model import Detector

MEASURED = 24  # films on which the starting detector is measured


def fold_detectors(
    training: pd.DataFrame,
    boxes: pd.DataFrame,
    settings: DetectorConfig,
    folder: Path,
    fold: str,
    device_flag: str,
    log: training_log.Log | None,
) -> dict[int, Detector]:
    """Detectors of the folds that --fold names, each trained on the other folds only; those on disk are loaded.

    training: films with a column fold; films without boxes are not trained on. A fold uses the starting detector if no film of
    the other folds has boxes.
    """
    device = model.device_of(device_flag)
    boxes = boxes[boxes.source == "truth"]
    pictures = dataset.export(training, boxes, settings.imgsz, folder / "pictures")
    detectors = {}
    for k in folds.chosen(fold, int(training.fold.max()) + 1):
        target = folder / f"fold_{k}" / "best.safetensors"
        others = training[(training.fold != k) & training.film_id.isin(pictures)]
        if others.empty:
            print(f"fold_{k}: no film of the other folds has boxes; using the {settings.start} weights", flush=True)
            detectors[k] = model.load(settings.weights(), device)
            continue
        if not target.is_file():
            fit(others, boxes, settings, pictures, target, device, partial(log.row, fold=k) if log else None)
        detectors[k] = model.load(target, device)
    return detectors


def fit(
    films: pd.DataFrame,
    boxes: pd.DataFrame,
    settings: DetectorConfig,
    pictures: dict[str, str],
    target: Path,
    device: str,
    log: Callable[..., None] | None,
) -> None:
    """Train one detector on films, all of which have boxes.

    If the starting detector locates too few of their joints, training is longer and the shapes are learned from the films too.
    """
    start = model.load(settings.weights(), device)
    located = fraction_located(films, boxes, start, settings.seed)
    chosen = [pictures[film_id] for film_id in films.film_id]
    if 0 < settings.max_films < len(chosen):
        chosen = list(np.random.default_rng(settings.seed).choice(chosen, settings.max_films, replace=False))
    epochs, shapes, repeats = settings.epochs, start.shapes, 1
    if located < settings.min_fraction_located:
        name = target.parent.name
        print(f"{name}: the {settings.start} weights locate {located:.0%} of these films' joints; training longer", flush=True)
        epochs, shapes = max(settings.epochs, settings.epochs_out_of_domain), learned_shapes(films, boxes, start.shapes)
        # If there are few films, each is shown several times per epoch, because the number of steps is what counts.
        repeats = math.ceil(settings.steps_out_of_domain * settings.batch / (epochs * len(chosen)))
    yaml_file = dataset.write_yaml(target.parent / "lists", chosen * repeats, chosen[:8])
    network = None if settings.start == "scratch" else start.network
    trainer.train(settings, yaml_file, network, target, device, log, epochs=epochs, shapes=shapes)


def learned_shapes(
    films: pd.DataFrame, boxes: pd.DataFrame, shapes: dict[str, shape_model.Shape]
) -> dict[str, shape_model.Shape]:
    """Shapes by limb, learned from the completely boxed films and shrunk towards the given ones.

    A limb with fewer than two such films keeps the given shape.
    """
    out = {}
    for limb, shape in shapes.items():
        of_limb = films[films.part.str[1] == limb[0].upper()]
        marked = boxes[boxes.film_id.isin(of_limb.film_id)]
        complete = int((marked.groupby("film_id").joint.nunique() == len(shape.joints)).sum())
        learned = shape_model.from_boxes(of_limb, marked) if complete > 1 else {}  # one film does not show how limbs vary
        out[limb] = shape_model.shrink_towards(shape, learned[limb], complete) if learned else shape
    return out


def fraction_located(films: pd.DataFrame, boxes: pd.DataFrame, detector: Detector, seed: int) -> float:
    """Fraction of joints that a detector places within 2 % of the film's long side, on a sample of the films."""
    sample = films.sample(min(MEASURED, len(films)), random_state=seed)
    rows = []
    for row, reading in zip(
        sample.itertuples(), read_all(detector, jobs_of(sample), "measuring the starting detector"), strict=True
    ):
        if isinstance(reading, JointDetections):
            rows += box_rows(reading, row.film_id, -1)
    wanted = boxes[boxes.film_id.isin(sample.film_id)]
    if not rows or wanted.empty:
        return 0.0
    return float((error_frac(pd.DataFrame(rows), wanted, sample) < 0.02).sum() / len(wanted))
