"""Joint boxes for a folder of new films.

    python -m stage1_detect.detect --films DIR --out joints.csv [--issues issues.csv] [--weights W.safetensors]

writes file,part,joint,x_center_px,y_center_px,w_px,h_px,conf,source in each file's own pixels (EXIF rotation applied). Part and
side are taken from a name that ends in -LH, -RH, -LF or -RF, else from the picture, which may show two hands or feet. A refused
film gets no boxes but a line with the reason; a joint beyond the film's edges has the source `outside`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ra import atomic, cli, film_names
from ra.config import UserError
from ra.imaging import dicom, film
from ra.quality_reasons import REASONS

if TYPE_CHECKING:
    from stage1_detect.quality_gate import Verdict

COLUMNS = ["file", "part", "joint", "x_center_px", "y_center_px", "w_px", "h_px", "conf", "source"]
ISSUE_COLUMNS = ["file", "part", "reason", "refused", "detail"]
QUALITY_COLUMNS = ["file", "part", "quality"]


def run() -> None:
    """Read every film, write the tables and print the issues."""
    args = parse()
    films = film_files(args.films)
    if not args.out.absolute().parent.is_dir():
        raise UserError(f"--out {args.out}: the folder {args.out.absolute().parent} does not exist; make it first")

    from stage1_detect import model, screen
    from stage1_detect.film_tables import in_parallel

    detector = model.load(args.weights or model.SHIPPED, model.device_of(args.device))
    jobs = [(str(path), film_names.part_of(path.stem)) for path in films]
    results = in_parallel(detector, jobs, lambda detector, job: screen.verdicts(detector, *job), "films")
    boxes, issues, quality, n_read = [], [], [], 0
    for path, verdicts in zip(films, results, strict=True):
        accepted = 0
        for verdict in relevant(verdicts, film_names.part_of(path.stem)):
            film_issues = issues_of(path, verdict)
            for issue in film_issues:
                print(message(path, issue))
            issues += film_issues
            quality.append({"file": path.name, "part": verdict.part, "quality": round(verdict.quality, 4)})
            if not any(issue["refused"] for issue in film_issues):
                boxes += boxes_of(path, verdict)
                accepted += 1
        n_read += accepted > 0
    write_csv(args.out, pd.DataFrame(boxes, columns=COLUMNS).round(2))
    if args.quality:
        write_csv(args.quality, pd.DataFrame(quality, columns=QUALITY_COLUMNS))
    if args.issues:
        write_csv(args.issues, pd.DataFrame(issues, columns=ISSUE_COLUMNS))
    print(f"{n_read} of {len(films)} films read -> {args.out}")
    if not n_read:
        raise UserError(f"no film of {args.films} could be read")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = cli.parser(__doc__, "films", "weights", "device")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="table of boxes to write")
    parser.add_argument("--issues", type=Path, metavar="CSV", help="also write why films were refused or doubted")
    parser.add_argument("--quality", type=Path, metavar="CSV", help="also write each limb's quality")
    return parser.parse_args()


def film_files(films: Path) -> list[Path]:
    """The films of a folder, or the one film; UserError if there are none."""
    if not films.exists():
        raise UserError(f"--films {films} does not exist; give a folder of films")
    files = [films] if films.is_file() else sorted(films.iterdir())
    files = [path for path in files if film.is_named_film(path)]
    if not files:
        raise UserError(f"--films {films} holds no films; give files ending in {' '.join(film.SUFFIXES)}")
    return files


def relevant(verdicts: list[Verdict], part: str | None) -> list[Verdict]:
    """The verdict on the declared part, else one on its kind of limb, else all verdicts; all if no part is declared."""
    if part is None:
        return verdicts
    same_limb = [verdict for verdict in verdicts if verdict.part and verdict.part[1] == part[1]]
    same_side = [verdict for verdict in same_limb if verdict.part == part]
    return same_side[:1] or same_limb[:1] or verdicts


def issues_of(path: Path, verdict: Verdict) -> list[dict]:
    """The verdict's reasons as rows, and further ones if the limb contradicts the declared part."""
    part, reasons = film_names.part_of(path.stem), dict(verdict.reasons)
    if part and verdict.part and verdict.part[1] != part[1]:
        reasons = {"wrong_limb": f"{verdict.part} is seen, {part} is declared"} | reasons
    elif part and verdict.part and verdict.part != part and verdict.sure:
        reasons["side_differs"] = f"{verdict.part} is seen, {part} is declared"
    return [
        {"file": path.name, "part": verdict.part, "reason": reason, "refused": int(REASONS[reason].refuses), "detail": detail}
        for reason, detail in reasons.items()
    ]


def message(path: Path, issue: dict) -> str:
    """An issue as a sentence with its cure, without the patient's identity that a DICOM file's name may contain."""
    outcome = "refused" if issue["refused"] else "read, but"
    detail, cure = issue["detail"], REASONS[issue["reason"]].cure
    text = f"{path.name}: {outcome} {issue['reason']}: {detail}" + ("" if cure in detail else f" ({cure})")
    return dicom.redacted(text, dicom.tags(path))


def boxes_of(path: Path, verdict: Verdict) -> list[dict]:
    """The joints of a limb as rows in the file's pixels."""
    from stage1_detect.joint_detections import box_rows

    rows = box_rows(verdict.reading, path.stem, -1, (verdict.frame.width_px, verdict.frame.height_px))
    centres = verdict.frame.to_file(verdict.reading.points)
    common = {"file": path.name, "part": film_names.part_of(path.stem) or verdict.part}
    return [
        {**row, **common, "x_center_px": x, "y_center_px": y} for row, (x, y) in zip(rows, centres, strict=True)
    ]  # fmt: skip


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whatever the file's suffix."""
    with atomic.replacing(path) as temporary:
        table.to_csv(temporary, index=False)


if __name__ == "__main__":
    cli.main(run)
