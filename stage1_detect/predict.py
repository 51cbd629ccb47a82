"""Boxes for the films of another prepared set, by the detectors that were trained on this one.

    python -m stage1_detect.predict --trained SET --data OTHER [--run yolo]

Every film of OTHER is read by the detectors of all folds of data/work/SET/stage1/<run>, with the settings that they were trained
with; a joint's box is the median of theirs. Writes boxes_{oof,test}.parquet (by the films' split; no detector has seen either)
and quality_{oof,test}.csv into data/work/OTHER/stage1/<run>/.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ra import cli, config, manifest, paths
from ra.config import UserError
from ra.imaging.film import JOINT_VIEW
from ra.tables import BOXES, FILMS
from stage1_detect.config import Detector

SPLITS = {"oof": "train", "test": "test"}


def run() -> None:
    """The verb."""
    parser = config.parser(__doc__)
    parser.add_argument("--trained", required=True, metavar="SET", help="prepared set whose detectors read")
    parser.add_argument("--run", default="yolo", metavar="NAME", help="their run of stage 1 (default %(default)s)")
    args = parser.parse_args()
    if args.data == args.trained:
        raise UserError("--data and --trained are the same set; its boxes were written by stage1_detect.train")
    trained = paths.run_dir(args.trained, 1, args.run)
    manifest.file_hash(trained)  # a UserError when the run is not finished
    settings = config.load(Detector, trained / "config.yaml")
    this = manifest.Run(paths.run_dir(args.data, 1, args.run), settings, [paths.films(args.data), trained], args.force)
    if not this.begin():
        return
    films = FILMS.read(paths.films(args.data))
    films = films[films.view != JOINT_VIEW].reset_index(drop=True)  # a joint's crop holds no joint to be found
    tell_known(films, args.trained)
    boxes, quality = read(films, settings, trained, args.device)
    outputs = []
    for split, of in SPLITS.items():
        own = films.film_id[films.split == of]
        BOXES.write(boxes[boxes.film_id.isin(own)], paths.boxes(args.data, args.run, split))
        quality[quality.film_id.isin(own)].to_csv(this.folder / f"quality_{split}.csv", index=False)
        outputs.append(paths.boxes(args.data, args.run, split))
    metrics = {"films": float(len(films)), "share_from_template": float((boxes.source == "template").mean())}
    this.finish(outputs, metrics, settings.seed, trained=args.trained)
    print(f"{args.run}: {len(films)} films, {metrics['share_from_template']:.2%} of the joints put where they usually lie")


def read(films: pd.DataFrame, settings: Detector, trained: Path, device: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes and quality of films by a finished run's detectors, or by its null model."""
    from stage1_detect import train

    if settings.kind == "template":
        tables = train.null_boxes(films.assign(split="test", fold=-1))
        return tables["test"]
    from stage1_detect import model

    weights = sorted(trained.glob("fold_*/best.safetensors")) or [settings.weights()]  # a set without boxes trained none
    detectors = [model.detector(path, model.device_of(device)) for path in weights]
    return train.reduce_models([train.read_table(films, detector, k) for k, detector in enumerate(detectors)])


def tell_known(films: pd.DataFrame, trained: str) -> None:
    """Say when films that the detectors learned from are among those to be read: figures of them would flatter."""
    learned = FILMS.read(paths.films(trained))
    known = films.sha1.isin(learned.sha1[learned.split == "train"])
    if known.any():
        first = films.film_id[known].iloc[0]
        print(f"{known.sum()} of {len(films)} films are among those that {trained} learned from, such as {first}; they flatter")


if __name__ == "__main__":
    cli.main(run)
