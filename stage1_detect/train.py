"""Boxes for every film of a prepared set: one detector per fold for the training films, all of them for the test films.

    python -m stage1_detect.train --data phantom-demo --config stage1_detect/configs/demo/yolo.yaml

A set without joint boxes is read by the shipped weights as they are; they have seen none of its films.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ra import config, folds, manifest, paths, track
from ra.tables import BOXES, FILMS
from stage1_detect.experiment import Detector

SHIPPED = Path(__file__).parent / "weights" / "joints.safetensors"


def run() -> None:
    parser = config.parser(__doc__, "stage1_detect/configs/demo/yolo.yaml")
    args = parser.parse_args()
    settings = config.load(Detector, args.config, args.sets)
    name = Path(args.config).stem
    inputs = [paths.films(args.data), paths.folds(args.data), SHIPPED]
    inputs += [paths.truth_boxes(args.data)] if paths.truth_boxes(args.data).is_file() else []
    this = manifest.Run(paths.run_dir(args.data, 1, name), settings, inputs, args.force)
    if not this.begin():
        return
    films = FILMS.read(paths.films(args.data))
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
    manifest.write_json(this.folder / "metrics.json", metrics)
    this.finish(outputs, metrics, settings.seed, folds_hash=folds.digest(paths.folds(args.data)))
    print(f"{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in metrics.items()))


def null_boxes(films: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """The template's boxes for both splits."""
    from stage1_detect.read import by_template, rows

    out = {}
    for split, own in (("oof", films[films.split == "train"]), ("test", films[films.split == "test"])):
        found = [row for f in own.itertuples() for row in rows(by_template(f.part, f.width_px, f.height_px), f.film_id, f.fold)]
        out[split] = pd.DataFrame(found, columns=list(BOXES.columns)), pd.DataFrame({"film_id": own.film_id, "quality": 0.0})
    return out


def detected_boxes(films: pd.DataFrame, settings: Detector, args, name: str) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Boxes of the fold models: a training film by the model that never saw it, a test film by the median of all."""
    from stage1_detect import data, engine, model

    device = model.device_of(args.device)
    shipped, imgsz = model.load(SHIPPED, device)
    training = films[films.split == "train"]
    n_folds = int(training.fold.max()) + 1
    has_boxes = paths.truth_boxes(args.data).is_file()
    if not has_boxes or settings.epochs == 0:
        readings = [(-1, shipped, imgsz)]
    else:
        boxes = BOXES.read(paths.truth_boxes(args.data))
        pictures = data.export(training, boxes, settings.imgsz, paths.work(args.data) / "pictures")
        log = track.Log(paths.run_dir(args.data, 1, name) / "log.csv", args.wandb, f"stage1-{name}", config.as_dict(settings))
        readings = []
        for k in folds.chosen(args.fold, n_folds):
            target = paths.fold_dir(args.data, 1, name, k) / "best.safetensors"
            if not target.is_file():
                others = [pictures[f] for f in training.film_id[training.fold != k] if f in pictures]
                if 0 < settings.max_films < len(others):
                    others = list(np.random.default_rng(settings.seed).choice(others, settings.max_films, replace=False))
                own = [pictures[f] for f in training.film_id[training.fold == k] if f in pictures]
                yaml_file = data.write_yaml(target.parent / "lists", others, own[:8] or others[:8])
                start = None if settings.start == "scratch" else shipped
                engine.train(settings, yaml_file, start, target, device, lambda fold=k, **row: log.row(fold=fold, **row))
            readings.append((k, *model.load(target, device)))
        log.close()
    oof = [read_table(training[training.fold == k] if k >= 0 else training, net, size, k) for k, net, size in readings]
    test = [read_table(films[films.split == "test"], net, size, k) for k, net, size in readings]
    return {
        "oof": (pd.concat([b for b, _ in oof]), pd.concat([q for _, q in oof])),
        "test": reduce_models(test),
    }


def read_table(films: pd.DataFrame, net, imgsz: int, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes and quality of films read by one network; a film in which nothing is found gets the null model's boxes."""
    from stage1_detect.read import by_template, read_all, rows

    jobs = [(paths.ROOT / f.path, f.part) for f in films.itertuples()]
    boxes, quality = [], []
    for film, reading in zip(films.itertuples(), read_all(net, imgsz, jobs, f"boxes, fold {fold}"), strict=True):
        seen = reading
        if reading is None or isinstance(reading, Exception):
            print(
                f"{film.film_id}: no {'hand' if film.part[1] == 'H' else 'foot'} found, its joints are put where they usually lie"
            )
            seen = by_template(film.part, film.width_px, film.height_px)
        boxes += rows(seen, film.film_id, fold)
        quality.append({"film_id": film.film_id, "quality": seen.quality, "from_template": int(np.isnan(seen.conf).sum())})
    return pd.DataFrame(boxes, columns=list(BOXES.columns)), pd.DataFrame(
        quality, columns=["film_id", "quality", "from_template"]
    )


def reduce_models(tables: list[tuple[pd.DataFrame, pd.DataFrame]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One box per film and joint from several models': the median place, the mean confidence; `model` if most saw it."""
    boxes = pd.concat([b for b, _ in tables])
    grouped = boxes.groupby(["film_id", "joint"], sort=False)
    out = grouped[["x_px", "y_px", "w_px", "h_px"]].median()
    out["conf"] = grouped.conf.mean()
    out["source"] = grouped.source.agg(lambda s: "model" if (s == "model").mean() >= 0.5 else "template")
    out.loc[out.source == "template", "conf"] = np.nan
    quality = pd.concat([q for _, q in tables]).groupby("film_id", as_index=False).mean()
    return out.reset_index().assign(fold=-1), quality


def agreement(data: str, name: str, films: pd.DataFrame) -> dict[str, float]:
    """How far out-of-fold boxes lie from the set's own, as fractions of the film's long side; counts of template boxes."""
    oof = BOXES.read(paths.boxes(data, name, "oof"))
    out = {"films": float(oof.film_id.nunique()), "share_from_template": float((oof.source == "template").mean())}
    if not paths.truth_boxes(data).is_file():
        return out
    truth = BOXES.read(paths.truth_boxes(data))
    both = oof.merge(truth, on=["film_id", "joint"], suffixes=("", "_true")).merge(
        films[["film_id", "width_px", "height_px"]], on="film_id"
    )
    error = np.hypot(both.x_px - both.x_px_true, both.y_px - both.y_px_true) / both[["width_px", "height_px"]].max(axis=1)
    return out | {"median_error_frac": float(error.median()), "within_2_percent": float((error < 0.02).mean())}


if __name__ == "__main__":
    config.main(run)
