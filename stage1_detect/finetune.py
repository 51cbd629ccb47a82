"""A detector for your own kind of films, from some thirty whose joint boxes a person corrected.

    python -m stage1_detect.annotate --films DIR
    python -m stage1_detect.finetune --films DIR --boxes DIR/joints.coco.json --out my.safetensors

The file is read by `python -m stage1_detect.detect --weights my.safetensors` and `python -m stage1_detect.train --set
start=my.safetensors`. A prepared set that has boxes needs none of this: stage1_detect.train finetunes one detector per fold.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from ra import cli, config, paths
from ra.config import UserError
from ra.imaging import dicom, film
from stage1_detect import orientation
from stage1_detect.annotation import coco_file as coco
from stage1_detect.config import Detector

CONFIG = "stage1_detect/configs/demo/yolo.yaml"
LEAST = 2  # limbs with boxes
VIEW = {"H": "PA", "F": "AP"}


def run() -> None:
    """The verb."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--films", type=Path, required=True, metavar="DIR", help="folder of films")
    parser.add_argument("--boxes", type=Path, default=None, metavar="JSON", help="COCO (default: DIR/joints.coco.json)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights to write, .safetensors")
    parser.add_argument("--config", default=paths.ROOT / CONFIG, metavar="YAML", help=f"experiment (default {CONFIG})")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="override one config value")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default %(default)s)")
    args = parser.parse_args()
    if args.out.suffix != ".safetensors":
        raise UserError(f"--out {args.out}: give a name that ends in .safetensors")
    if not args.out.absolute().parent.is_dir():
        raise UserError(f"--out {args.out}: the folder {args.out.absolute().parent} does not exist; make it first")
    settings = config.load(Detector, args.config, args.sets)
    films, boxes = tables(args.films, args.boxes or args.films / "joints.coco.json")
    finetune(films, boxes, settings, args.out, args.device)


def finetune(films: pd.DataFrame, boxes: pd.DataFrame, settings: Detector, out: Path, device_flag: str) -> None:
    """Train on all films of the tables (as of `tables`) and put the weights in place."""
    from stage1_detect import dataset, finetuning, model

    start, device = time.time(), model.device_of(device_flag)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.stem}.") as folder:
        pictures = dataset.export(films, boxes, settings.imgsz, Path(folder) / "pictures")
        made = Path(folder) / out.stem / out.name
        finetuning.fit(films, boxes, settings, pictures, made, device, None)
        made.replace(out)
    n = films.path.nunique()
    print(f"{n} films, {len(boxes)} boxes, {(time.time() - start) / 60:.1f} minutes -> {out}", flush=True)


def tables(folder: Path, boxes: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows like those of the films and boxes tables for the limbs that have boxes; each limb is a frame of its file.

    UserError when fewer than LEAST limbs have boxes on films that can be read.
    """
    marked = coco.read(boxes)
    if not folder.is_dir():
        raise UserError(f"--films {folder} is no folder; give the folder of the films that {boxes} is about")
    films, rows = [], []
    for name, one in marked.items():
        fault = _fault(folder / name, one)
        if fault:
            print(dicom.redacted(f"{fault}; left out", dicom.tags(folder / name)), flush=True)
            continue
        limbs = [limb for limb in one.limbs if limb.boxes]
        frames = orientation.frames([(limb.part, limb.boxes) for limb in limbs], one.width_px, one.height_px)
        for limb, frame in zip(limbs, frames, strict=True):
            film_id = f"{len(films):05d}-{limb.part}"
            told = {"film_id": film_id, "part": limb.part, "laterality": limb.part[0], "view": VIEW[limb.part[1]]}
            films.append({**told, "path": str((folder / name).absolute()), **vars(frame)})
            rows += _rows(film_id, limb.boxes, frame)
    if len(films) < LEAST:
        raise UserError(f"{boxes} has boxes of {len(films)} limbs on films of {folder}; correct some thirty films first")
    return pd.DataFrame(films), pd.DataFrame(rows)


def _fault(path: Path, one: coco.Film) -> str | None:
    """Why the film cannot be learned from, if so."""
    try:
        height, width = film.read(path).shape
    except film.FilmError as error:
        return str(error)
    if (width, height) != (one.width_px, one.height_px):
        return f"{path.name} is {width} x {height} px upright, where its boxes were drawn {one.width_px} x {one.height_px}"
    return None


def _rows(film_id: str, boxes: orientation.Boxes, frame: film.Frame) -> list[dict]:
    """A limb's boxes as rows of the boxes table, in the film's own pixels."""
    points = frame.from_file(np.array([box[:2] for box in boxes.values()]))
    common = {"film_id": film_id, "fold": -1, "conf": np.nan, "source": "truth"}
    return [
        {"joint": joint, "x_px": x, "y_px": y, "w_px": h if frame.turns % 2 else w, "h_px": w if frame.turns % 2 else h, **common}
        for (joint, (_, _, w, h)), (x, y) in zip(boxes.items(), points, strict=True)
    ]


if __name__ == "__main__":
    cli.main(run)
