"""Predict boxes for every film of a prepared set: training films by the detector trained on the other folds, test films by all.

    python -m stage1_detect.train configs/joints/detect --data phantom-demo

A run is named after its experiment's file. Films of a set without joint boxes are read with the starting weights, without
finetuning; nothing leaks, because these were not trained on its films. They are the shipped weights, or those of another set:
--set start=data/work/SET/stage1/yolo/fold_0/best.safetensors
"""

from __future__ import annotations

import argparse

import pandas as pd

from ra import atomic, boxes, cli, config, folds, manifest, paths, training_log
from ra.imaging.film import JOINT_VIEW
from ra.tables import BOXES, FILMS
from stage1_detect.config import CONFIGS, KINDS, DetectorConfig

Tables = tuple[pd.DataFrame, pd.DataFrame]  # boxes, and the films' quality


def run() -> None:
    """Train every experiment and write its boxes."""
    parser = cli.parser(__doc__, "data", "profile", "set", "run", "fold", "device", "force", "wandb")
    help_text = "experiment files, or folders of them (default: configs/joints/detect)"
    parser.add_argument("experiments", nargs="*", default=[CONFIGS], metavar="YAML", help=help_text)
    args = parser.parse_args()
    for name, settings in config.experiments(KINDS, args.experiments, args.profile, args.sets, args.run):
        train(name, settings, args)


def train(name: str, settings: DetectorConfig, args: argparse.Namespace) -> None:
    """Make one run: write boxes_{oof,test}.parquet, quality_{oof,test}.csv, metrics.json and run.json into its folder."""
    inputs = [paths.films(args.data), paths.folds(args.data), settings.weights()]
    inputs += [paths.truth_boxes(args.data)] if paths.truth_boxes(args.data).is_file() else []
    this = manifest.Run(paths.run_dir(args.data, 1, name), settings, inputs, args.force)
    if not this.begin():
        return
    films = FILMS.read(paths.films(args.data))
    films = films[films.view != JOINT_VIEW].reset_index(drop=True)  # a crop of one joint shows no limb
    films["fold"] = films.patient_id.map(folds.load(args.data)).fillna(-1).astype(int)
    tables = template_boxes(films) if settings.kind == "template" else detected_boxes(films, settings, args, name)
    if args.fold != "all":
        print(f"fold {args.fold} is trained; run with --fold all for the boxes")
        return
    outputs = []
    for split, (rows, quality) in tables.items():
        path = paths.boxes(args.data, name, split)
        BOXES.write(rows, path)
        atomic.write_table(this.folder / f"quality_{split}.csv", quality)
        outputs.append(path)
    metrics = summary(args.data, name, films)
    atomic.write_json(this.folder / "metrics.json", metrics)
    this.finish(outputs, metrics, settings.seed, folds_hash=folds.digest(paths.folds(args.data)))
    print(f"{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in metrics.items()))


def template_boxes(films: pd.DataFrame) -> dict[str, Tables]:
    """Boxes of both splits by the null model."""
    from stage1_detect.film_tables import template_table

    parts = (("oof", "train"), ("test", "test"))
    return {split: template_table(films[films.split == name]) for split, name in parts}


def detected_boxes(films: pd.DataFrame, settings: DetectorConfig, args: argparse.Namespace, name: str) -> dict[str, Tables]:
    """Boxes of both splits: a training film by the fold model that was not trained on it, a test film by all (median)."""
    from stage1_detect import domain_adaptation, model
    from stage1_detect.film_tables import film_table, pooled_table

    training = films[films.split == "train"]
    if not paths.truth_boxes(args.data).is_file() or settings.epochs == 0:
        detectors = {-1: model.load(settings.weights(), model.device_of(args.device))}
    else:
        folder = paths.run_dir(args.data, 1, name)
        log = training_log.Log(folder / "log.csv", args.wandb, f"stage1-{name}", config.as_dict(settings))
        truth = BOXES.read(paths.truth_boxes(args.data))
        detectors = domain_adaptation.fold_detectors(training, truth, settings, folder, args.fold, args.device, log)
        log.close()
    oof, test = [], []
    for k, detector in detectors.items():
        held_out = training if k < 0 else training[training.fold == k]
        oof.append(film_table(held_out, detector, k))
    for k, detector in detectors.items():
        test.append(film_table(films[films.split == "test"], detector, k))
    return {"oof": (pd.concat([b for b, _ in oof]), pd.concat([q for _, q in oof])), "test": pooled_table(test)}


def summary(data: str, name: str, films: pd.DataFrame) -> dict[str, float]:
    """Metrics of the out-of-fold boxes: films, share placed by the template and, if the set has boxes, their error."""
    oof = BOXES.read(paths.boxes(data, name, "oof"))
    out = {"films": float(oof.film_id.nunique()), "share_from_template": float((oof.source == "template").mean())}
    if not paths.truth_boxes(data).is_file():
        return out
    return out | boxes.error_summary(oof, BOXES.read(paths.truth_boxes(data)), films)


if __name__ == "__main__":
    cli.main(run)
