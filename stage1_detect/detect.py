"""Joint boxes for a folder of films that nobody has seen before.

    python -m stage1_detect.detect --films DIR --out joints.csv [--gate reasons.csv] [--weights W.safetensors]

writes file,part,joint,x_px,y_px,w_px,h_px,conf,source in each file's own upright pixels (x_px, y_px the box's centre). Part and
side are taken from a name that ends in -LH, -RH, -LF or -RF, else from the picture, which may show two hands or feet. A film that
is refused gets no boxes but a line that says why; a joint beyond the film's edges has the source `outside`.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ra import cli
from ra.config import UserError
from ra.imaging import dicom, film
from ra.quality_reasons import REASONS

if TYPE_CHECKING:
    from stage1_detect.quality_gate import Verdict

COLUMNS = ["file", "part", "joint", "x_px", "y_px", "w_px", "h_px", "conf", "source"]
GATE_COLUMNS = ["file", "part", "reason", "refused", "detail"]
NAME = re.compile(r"(?:^|[-_ ])(LH|RH|LF|RF)$")


def part_of(path: Path) -> str | None:
    """The part that a file's name tells, None when it does not."""
    found = NAME.search(path.stem)
    return found.group(1) if found else None


def run() -> None:
    """The verb."""
    args = parse()
    films = listing(args.films)
    if not args.out.absolute().parent.is_dir():
        raise UserError(f"--out {args.out}: the folder {args.out.absolute().parent} does not exist; make it first")

    from stage1_detect import model, screen
    from stage1_detect.film_boxes import in_parallel

    detector = model.detector(args.weights or model.SHIPPED, model.device_of(args.device))
    jobs = [(str(path), part_of(path)) for path in films]
    boxes, reasons, quality = [], [], []
    for path, verdicts in zip(
        films, in_parallel(detector, jobs, lambda own, job: screen.verdicts(own, *job), "films"), strict=True
    ):
        for verdict in chosen(verdicts, part_of(path)):
            told = told_of(path, verdict)
            for reason in told:
                print(line(path, reason))
            reasons += told
            refused = any(reason["refused"] for reason in told)
            boxes += [] if refused else box_rows(path, verdict)
            quality.append({"file": path.name, "part": verdict.part, "quality": round(verdict.quality, 4), "read": not refused})
    _write(pd.DataFrame(boxes, columns=COLUMNS).round(2), args.out)
    for rows, columns, out in ((quality, ["file", "part", "quality"], args.quality), (reasons, GATE_COLUMNS, args.gate)):
        if out:
            _write(pd.DataFrame(rows, columns=columns), out)
    read = {row["file"] for row in quality if row["read"]}
    print(f"{len(read)} of {len(films)} films read -> {args.out}")
    if not read:
        raise UserError(f"no film of {args.films} could be read")


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--films", type=Path, required=True, metavar="DIR", help="folder of films, or one film")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV")
    parser.add_argument("--gate", type=Path, default=None, metavar="CSV", help="also write why films were refused or doubted")
    parser.add_argument("--weights", type=Path, default=None, help="safetensors of stage 1 (default: those that ship)")
    parser.add_argument("--quality", type=Path, default=None, metavar="CSV", help="also write each limb's quality figure")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default %(default)s)")
    return parser.parse_args()


def listing(films: Path) -> list[Path]:
    """The films of a folder, or the one film; UserError when there are none."""
    if not films.exists():
        raise UserError(f"--films {films} does not exist; give a folder of films")
    found = [films] if films.is_file() else sorted(films.iterdir())
    found = [path for path in found if film.is_named_film(path)]
    if not found:
        raise UserError(f"--films {films} holds no films; wanted files ending in {' '.join(film.SUFFIXES)}")
    return found


def chosen(verdicts: list[Verdict], part: str | None) -> list[Verdict]:
    """The verdicts that a declared part is about: its side, else its limb, else all; all when nothing is declared."""
    if part is None:
        return verdicts
    same = [verdict for verdict in verdicts if verdict.part and verdict.part[1] == part[1]]
    return [verdict for verdict in same if verdict.part == part][:1] or same[:1] or verdicts


def told_of(path: Path, verdict: Verdict) -> list[dict]:
    """The verdict's reasons as rows, with those that the declared part adds."""
    part, reasons = part_of(path), dict(verdict.reasons)
    if part and verdict.part and verdict.part[1] != part[1]:
        reasons = {"wrong_limb": f"{verdict.part} is seen, {part} is declared"} | reasons
    elif part and verdict.part and verdict.part != part and verdict.sure:
        reasons["side_differs"] = f"{verdict.part} is seen, {part} is declared"
    same = {"file": path.name, "part": verdict.part}
    return [{**same, "reason": word, "refused": int(REASONS[word].refuses), "detail": text} for word, text in reasons.items()]


def line(path: Path, reason: dict) -> str:
    """A reason as a person reads it, without a patient's identity that a DICOM file's name may hold."""
    what = "refused" if reason["refused"] else "read, but"
    detail, cure = reason["detail"], REASONS[reason["reason"]].cure
    text = f"{path.name}: {what} {reason['reason']}: {detail}" + ("" if cure in detail else f" ({cure})")
    return dicom.redacted(text, dicom.tags(path))


def box_rows(path: Path, verdict: Verdict) -> list[dict]:
    """The joints of a limb as rows, in the file's pixels."""
    from stage1_detect.film_boxes import rows

    found = rows(verdict.reading, path.stem, -1, (verdict.frame.width_px, verdict.frame.height_px))
    places = verdict.frame.to_file(verdict.reading.points)
    same = {"file": path.name, "part": part_of(path) or verdict.part}
    return [{**row, **same, "x_px": x, "y_px": y} for row, (x, y) in zip(found, places, strict=True)]


def _write(table: pd.DataFrame, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    table.to_csv(temporary, index=False)
    temporary.replace(path)


if __name__ == "__main__":
    cli.main(run)
