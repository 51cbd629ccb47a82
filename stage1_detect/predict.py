"""Predict boxes for the films of another prepared set with the detectors of a trained run.

    python -m stage1_detect.predict --trained SET --data OTHER [--run yolo]

Every film of OTHER is read by the detectors of all folds of data/work/SET/stage1/<run>, with the settings that they were trained
with; a joint's box is the median of theirs. Writes boxes_{oof,test}.parquet and quality_{oof,test}.csv into
data/work/OTHER/stage1/<run>/, split as OTHER's films are (no detector has seen either split).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ra import atomic, cli, config, manifest, paths
from ra.config import UserError
from ra.imaging.film import JOINT_VIEW
from ra.tables import BOXES, FILMS
from stage1_detect.config import DetectorConfig

SPLITS = {"oof": "train", "test": "test"}


def run() -> None:
    """Apply the trained run and write its boxes."""
    parser = cli.parser(__doc__, "data", "trained", "device", "force")
    parser.add_argument("--run", default="yolo", metavar="NAME", help="trained run of stage 1 to apply (default %(default)s)")
    args = parser.parse_args()
    if args.data == args.trained:
        raise UserError("--data and --trained are the same set; its boxes were written by stage1_detect.train")
    trained = paths.run_dir(args.trained, 1, args.run)
    manifest.file_hash(trained)  # a UserError if the run is not finished
    settings = config.load(DetectorConfig, trained / "config.yaml")
    this = manifest.Run(paths.run_dir(args.data, 1, args.run), settings, [paths.films(args.data), trained], args.force)
    if not this.begin():
        return
    films = FILMS.read(paths.films(args.data))
    films = films[films.view != JOINT_VIEW].reset_index(drop=True)  # a crop of one joint shows no limb
    warn_of_training_films(films, args.trained)
    boxes, quality = film_tables(films, settings, trained, args.device)
    outputs = []
    for split, name in SPLITS.items():
        film_ids = films.film_id[films.split == name]
        path = paths.boxes(args.data, args.run, split)
        BOXES.write(boxes[boxes.film_id.isin(film_ids)], path)
        atomic.write_table(this.folder / f"quality_{split}.csv", quality[quality.film_id.isin(film_ids)])
        outputs.append(path)
    metrics = {"films": float(len(films)), "share_from_template": float((boxes.source == "template").mean())}
    this.finish(outputs, metrics, settings.seed, trained=args.trained)
    print(f"{args.run}: {len(films)} films, {metrics['share_from_template']:.2%} of the joints placed by the template")


def film_tables(films: pd.DataFrame, settings: DetectorConfig, trained: Path, device: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes and quality of films by the detectors of a finished run, or by its null model."""
    from stage1_detect import model
    from stage1_detect.film_tables import film_table, pooled_table, template_table

    if settings.kind == "template":
        return template_table(films.assign(fold=-1))
    weights = sorted(trained.glob("fold_*/best.safetensors"))
    if not weights:  # the set had no boxes, so nothing was trained
        weights = [settings.weights()]
    detectors = [model.load(path, model.device_of(device)) for path in weights]
    return pooled_table([film_table(films, detector, k) for k, detector in enumerate(detectors)])


def warn_of_training_films(films: pd.DataFrame, trained: str) -> None:
    """Warn if films to be read were in the training data of the detectors."""
    training = FILMS.read(paths.films(trained))
    repeated = films.sha1.isin(training.sha1[training.split == "train"])
    if repeated.any():
        first = films.film_id[repeated].iloc[0]
        print(
            f"warning: {repeated.sum()} of {len(films)} films were in the training data of {trained} (e.g. {first}); "
            "results on them are optimistic"
        )


if __name__ == "__main__":
    cli.main(run)
