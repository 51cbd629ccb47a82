"""Finetune the detector on your own kind of films: about thirty whose joint boxes a person corrected.

    python -m stage1_detect.annotate --films DIR
    python -m stage1_detect.finetune --films DIR --boxes DIR/joints.coco.json --out my.safetensors

stage1_detect.detect reads films with the result (--weights my.safetensors), and stage1_detect.train starts from it (--set
start=my.safetensors). A prepared set that has boxes does not need this verb: stage1_detect.train finetunes one detector per fold.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from ra import cli, config
from ra.config import UserError
from ra.imaging import dicom, film
from stage1_detect import orientation
from stage1_detect.annotation import marked as marked_films
from stage1_detect.annotation.marked import MarkedFilm
from stage1_detect.config import DetectorConfig

LEAST_LIMBS = 2  # least number of limbs with boxes
VIEW = {"H": "PA", "F": "AP"}


def run() -> None:
    """Finetune on the films of a folder that have boxes, and write the weights."""
    parser = cli.parser(__doc__, "films", "config", "profile", "set", "device", config="configs/joints/detect/yolo.yaml")
    parser.add_argument("--boxes", type=Path, metavar="JSON", help="COCO file to read (default: DIR/joints.coco.json)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights to write, .safetensors")
    args = parser.parse_args()
    if args.out.suffix != ".safetensors":
        raise UserError(f"--out {args.out}: give a name that ends in .safetensors")
    if not args.out.absolute().parent.is_dir():
        raise UserError(f"--out {args.out}: the folder {args.out.absolute().parent} does not exist; make it first")
    ((_, settings),) = config.experiments({"yolo": DetectorConfig}, [args.config], args.profile, args.sets)
    films, boxes = tables(args.films, args.boxes or args.films / "joints.coco.json")
    finetune(films, boxes, settings, args.out, args.device)


def finetune(films: pd.DataFrame, boxes: pd.DataFrame, settings: DetectorConfig, out: Path, device_flag: str) -> None:
    """Train on all films of the tables (see `tables`) and move the weights to `out`."""
    from stage1_detect import dataset, domain_adaptation, model

    start, device = time.time(), model.device_of(device_flag)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.stem}.") as folder:
        pictures = dataset.export(films, boxes, settings.imgsz, Path(folder) / "pictures")
        weights = Path(folder) / out.stem / out.name
        domain_adaptation.fit(films, boxes, settings, pictures, weights, device, None)
        weights.replace(out)
    print(f"{films.path.nunique()} films, {len(boxes)} boxes, {(time.time() - start) / 60:.1f} minutes -> {out}", flush=True)


def tables(folder: Path, boxes: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows like those of the films and boxes tables for the limbs that have boxes; each limb is a frame of its file.

    UserError if fewer than LEAST_LIMBS limbs have boxes on films that can be read.
    """
    marked = marked_films.read(boxes)
    if not folder.is_dir():
        raise UserError(f"--films {folder} is not a folder; give the folder of the films that {boxes} names")
    films, rows = [], []
    for name, marked_film in marked.items():
        try:
            grey = _picture(folder / name, marked_film)
        except film.FilmError as error:
            print(dicom.redacted(f"{error}; left out", dicom.tags(folder / name)), flush=True)
            continue
        limbs = [limb for limb in marked_film.limbs if limb.boxes]
        places = [np.array([box[:2] for box in limb.boxes.values()]) for limb in limbs]
        turns = [orientation.quarter_turns_of_boxes(limb.part, limb.boxes) for limb in limbs]
        frames = orientation.frames(grey, list(zip(places, turns, strict=True)))
        for limb, frame in zip(limbs, frames, strict=True):
            film_id = f"{len(films):05d}-{limb.part}"
            row = {"film_id": film_id, "part": limb.part, "laterality": limb.part[0], "view": VIEW[limb.part[1]]}
            films.append({**row, "path": str((folder / name).absolute()), **vars(frame)})
            rows += _rows(film_id, limb.boxes, frame)
    if len(films) < LEAST_LIMBS:
        raise UserError(f"{boxes} has boxes of {len(films)} limbs on films of {folder}; correct about thirty films first")
    return pd.DataFrame(films), pd.DataFrame(rows)


def _picture(path: Path, marked: MarkedFilm) -> np.ndarray:
    """The upright picture (H, W) of a marked film; FilmError if it cannot be read or its boxes were drawn on another size."""
    grey = film.read(path)
    height, width = grey.shape
    if (width, height) != (marked.width_px, marked.height_px):
        drawn = f"{marked.width_px} x {marked.height_px}"
        raise film.FilmError(f"{path.name} is {width} x {height} px upright, but its boxes were drawn on {drawn}")
    return grey


def _rows(film_id: str, boxes: orientation.Boxes, frame: film.Frame) -> list[dict]:
    """A limb's boxes as rows of the boxes table, in the film's pixels."""
    points = frame.from_file(np.array([box[:2] for box in boxes.values()]))
    rows = []
    for (joint, (_, _, w, h)), (x, y) in zip(boxes.items(), points, strict=True):
        sides = (h, w) if frame.turns % 2 else (w, h)
        rows.append({"film_id": film_id, "joint": joint, "fold": -1, "x_px": x, "y_px": y, "w_px": sides[0], "h_px": sides[1]})
    return [row | {"conf": np.nan, "source": "truth"} for row in rows]


if __name__ == "__main__":
    cli.main(run)
