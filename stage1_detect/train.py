"""Boxes for every film of a prepared set: one detector per fold for the training films, all of them for the test films.

    python -m stage1_detect.train --data phantom-demo --config stage1_detect/configs/demo/yolo.yaml

A set without joint boxes is read by the starting weights as they are; they have seen none of its films. Those that ship, or
another set's: --set start=data/work/SET/stage1/yolo/fold_0/best.safetensors
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ra import atomic, cli, config, folds, manifest, paths, track
from ra.imaging.film import JOINT_VIEW
from ra.tables import BOXES, FILMS, box_error_frac
from stage1_detect.config import Detector


def run() -> None:
    parser = config.parser(__doc__, "stage1_detect/configs/demo/yolo.yaml")
    args = parser.parse_args()
    settings = config.load(Detector, args.config, args.sets)
    name = Path(args.config).stem
    inputs = [paths.films(args.data), paths.folds(args.data), settings.weights()]
    inputs += [paths.truth_boxes(args.data)] if paths.truth_boxes(args.data).is_file() else []
    this = manifest.Run(paths.run_dir(args.data, 1, name), settings, inputs, args.force)
    if not this.begin():
        return
    films = FILMS.read(paths.films(args.data))
    films = films[films.view != JOINT_VIEW].reset_index(drop=True)  # a joint's crop holds no joint to be found
    fold_of = folds.load(args.data)
    films["fold"] = films.patient_id.map(fold_of).fillna(-1).astype(int)
    tables = null_boxes(films) if settings.kind == "template" else detected_boxes(films, settings, args, name)
    if args.fold != "all":
        print(f"fold {args.fold} is trained; run with --fold all for the boxes")
        return
    outputs = []
    for split in ("oof", "test"):
        boxes, quality = tables[split]
        BOXES.write(boxes, paths.boxes(args.data, name, split))
        quality.to_csv(this.folder / f"quality_{split}.csv", index=False)
        outputs.append(paths.boxes(args.data, name, split))
    metrics = agreement(args.data, name, films)
    atomic.write_json(this.folder / "metrics.json", metrics)
    this.finish(outputs, metrics, settings.seed, folds_hash=folds.digest(paths.folds(args.data)))
    print(f"{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in metrics.items()))


def null_boxes(films: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """The template's boxes for both splits."""
    from stage1_detect.film_boxes import by_template, rows

    out = {}
    for split, own in (("oof", films[films.split == "train"]), ("test", films[films.split == "test"])):
        usual = ((f, by_template(f.laterality + f.part[1], f.width_px, f.height_px)) for f in own.itertuples())
        found = [row for f, reading in usual for row in rows(reading, f.film_id, f.fold)]
        out[split] = pd.DataFrame(found, columns=list(BOXES.columns)), pd.DataFrame({"film_id": own.film_id, "quality": 0.0})
    return out


def detected_boxes(films: pd.DataFrame, settings: Detector, args, name: str) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Boxes of the fold models: a training film by the model that never saw it, a test film by the median of all."""
    from stage1_detect import finetuning, model

    training = films[films.split == "train"]
    if not paths.truth_boxes(args.data).is_file() or settings.epochs == 0:
        detectors = {-1: model.detector(settings.weights(), model.device_of(args.device))}
    else:
        boxes = BOXES.read(paths.truth_boxes(args.data))
        folder = paths.run_dir(args.data, 1, name)
        log = track.Log(folder / "log.csv", args.wandb, f"stage1-{name}", config.as_dict(settings))
        detectors = finetuning.fold_detectors(training, boxes, settings, folder, args.fold, args.device, log)
        log.close()
    oof = [read_table(training[training.fold == k] if k >= 0 else training, detector, k) for k, detector in detectors.items()]
    test = [read_table(films[films.split == "test"], detector, k) for k, detector in detectors.items()]
    return {
        "oof": (pd.concat([b for b, _ in oof]), pd.concat([q for _, q in oof])),
        "test": reduce_models(test),
    }


def read_table(films: pd.DataFrame, detector, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes and quality of films read by one detector; a film in which nothing is found gets the null model's boxes."""
    from stage1_detect.film_boxes import by_template, jobs_of, read_all, rows

    boxes, quality = [], []
    for film, reading in zip(films.itertuples(), read_all(detector, jobs_of(films), f"boxes, fold {fold}"), strict=True):
        seen = reading
        if reading is None or isinstance(reading, Exception):
            limb = "hand" if film.part[1] == "H" else "foot"
            print(f"{film.film_id}: no {limb} found, its joints are put where they usually lie")
            seen = by_template(film.laterality + film.part[1], film.width_px, film.height_px)
        boxes += rows(seen, film.film_id, fold, (film.width_px, film.height_px))
        quality.append({"film_id": film.film_id, "quality": seen.quality, "from_template": int(np.isnan(seen.conf).sum())})
    return pd.DataFrame(boxes, columns=list(BOXES.columns)), pd.DataFrame(
        quality, columns=["film_id", "quality", "from_template"]
    )


def reduce_models(tables: list[tuple[pd.DataFrame, pd.DataFrame]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One box per film and joint from several models': the median place, the mean confidence, what most say of its source."""
    boxes = pd.concat([b for b, _ in tables])
    grouped = boxes.groupby(["film_id", "joint"], sort=False)
    out = grouped[["x_px", "y_px", "w_px", "h_px"]].median()
    out["conf"] = grouped.conf.mean()
    out["source"] = grouped.source.agg(_source_of_most)
    out.loc[out.source != "model", "conf"] = np.nan
    quality = pd.concat([q for _, q in tables]).groupby("film_id", as_index=False).mean()
    return out.reset_index().assign(fold=-1), quality


def _source_of_most(sources: pd.Series) -> str:
    """`model` if at least half saw the joint, else what most others say."""
    return "model" if (sources == "model").mean() >= 0.5 else sources[sources != "model"].mode().iloc[-1]


def agreement(data: str, name: str, films: pd.DataFrame) -> dict[str, float]:
    """How far out-of-fold boxes lie from the set's own, as fractions of the film's long side; counts of template boxes."""
    oof = BOXES.read(paths.boxes(data, name, "oof"))
    out = {"films": float(oof.film_id.nunique()), "share_from_template": float((oof.source == "template").mean())}
    if not paths.truth_boxes(data).is_file():
        return out
    error = box_error_frac(oof, BOXES.read(paths.truth_boxes(data)), films)
    return out | {"median_error_frac": float(error.median()), "within_2_percent": float((error < 0.02).mean())}


if __name__ == "__main__":
    cli.main(run)
