"""Joint boxes for a folder of films that nobody has seen before.

    python -m stage1_detect.predict --films DIR --out joints.csv [--weights W.safetensors]

writes file,part,joint,x_px,y_px,w_px,h_px,conf,source in each film's own upright pixels (x_px, y_px the box's centre).
Part and side are taken from a name that ends in -LH, -RH, -LF or -RF, else from the picture.
"""

from __future__ import annotations

import argparse
import os
import re
from functools import partial
from pathlib import Path

import pandas as pd

from ra import config, film
from ra.config import UserError

COLUMNS = ["file", "part", "joint", "x_px", "y_px", "w_px", "h_px", "conf", "source"]
FILMS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".dcm")
NAME = re.compile(r"(?:^|[-_ ])(LH|RH|LF|RF)$")


def part_of(path: Path) -> str | None:
    """The part that a file's name tells, None when it does not."""
    found = NAME.search(path.stem)
    return found.group(1) if found else None


def run() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--films", type=Path, required=True, metavar="DIR", help="folder of films, or one film")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV")
    parser.add_argument("--weights", type=Path, default=None, help="safetensors of stage 1 (default: those that ship)")
    parser.add_argument("--quality", type=Path, default=None, metavar="CSV", help="also write each film's quality figure")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default %(default)s)")
    args = parser.parse_args()
    if not args.films.exists():
        raise UserError(f"--films {args.films} does not exist; give a folder of films")
    if not args.out.absolute().parent.is_dir():
        raise UserError(f"--out {args.out}: the folder {args.out.absolute().parent} does not exist; make it first")
    candidates = [args.films] if args.films.is_file() else sorted(args.films.iterdir())
    films = [p for p in candidates if p.suffix.lower() in FILMS and not p.name.startswith(".")]
    if not films:
        raise UserError(f"--films {args.films} holds no films; wanted files ending in {' '.join(FILMS)}")

    from stage1_detect import model
    from stage1_detect.read import read_all, rows

    detector = model.detector(args.weights or model.SHIPPED, model.device_of(args.device))
    found, quality, faults = [], [], 0
    jobs = [(partial(film.read, path), part_of(path)) for path in films]
    for path, reading in zip(films, read_all(detector, jobs, "films"), strict=True):
        if reading is None or isinstance(reading, Exception):
            faults += 1
            print(f"{path.name}: {reading or 'neither a hand nor a foot was found; no boxes written'}")
            quality.append({"file": path.name, "part": None, "quality": 0.0})
            continue
        found += [{"file": path.name, "part": reading.part} | row for row in rows(reading, path.stem, -1)]
        quality.append({"file": path.name, "part": reading.part, "quality": round(reading.quality, 4)})
    table = pd.DataFrame(found, columns=["file", "part", *(c for c in COLUMNS[2:])])
    temporary = args.out.with_name(f".{args.out.name}.{os.getpid()}.tmp")
    table[COLUMNS].round(2).to_csv(temporary, index=False)
    temporary.replace(args.out)
    if args.quality:
        pd.DataFrame(quality).to_csv(args.quality, index=False)
    print(f"{len(films) - faults} of {len(films)} films read -> {args.out}")
    if faults == len(films):
        raise UserError(f"no film of {args.films} could be read")


if __name__ == "__main__":
    config.main(run)
