"""Screen film files: which limbs each picture shows, where they lie, and whether they can be scored.

    python -m stage1_detect.screen --jobs JOBS.csv --out SCREENING.parquet

JOBS has the columns path and part: the declared part (LH RH LF RF), or empty. Each result is appended at once to a cache next to
SCREENING, one line per picture: a killed call resumes, and a later call opens only new or changed pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ra import cli, json_lines, manifest, quality_reasons
from ra.anatomy import PARTS
from ra.config import UserError
from ra.imaging import film, polarity
from ra.tables import SCREENING

if TYPE_CHECKING:
    from stage1_detect.model import Detector
    from stage1_detect.quality_gate import Verdict

VERSION = 4  # raise it if the same picture gets another result


def run() -> None:
    """Screen the files and write the table."""
    parser = cli.parser(__doc__, "weights", "device")
    parser.add_argument("--jobs", type=Path, required=True, metavar="CSV", help="path, part: the files and their declared parts")
    parser.add_argument("--out", type=Path, required=True, metavar="PARQUET", help="table of screening results to write")
    parser.add_argument("--cache", type=Path, metavar="JSONL", help="cache of earlier results (default: next to --out)")
    args = parser.parse_args()
    jobs = read_jobs(args.jobs)
    rows = screen_all(jobs, args.cache or args.out.with_suffix(".jsonl"), args.weights, args.device)
    SCREENING.write(pd.DataFrame(rows, columns=list(SCREENING.columns)), args.out)


def read_jobs(path: Path) -> dict[str, str | None]:
    """File -> its declared part, None if none or several are declared."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"--jobs {path} cannot be read ({error}); give a CSV with the columns path and part") from error
    if not {"path", "part"} <= set(table.columns):
        raise UserError(f"--jobs {path} has the columns {', '.join(table.columns)}; it needs path and part")
    wrong = table[~table.part.isin(["", *PARTS])]
    if len(wrong):
        raise UserError(f"--jobs {path}: part {wrong.part.iloc[0]!r} is not one of {', '.join(PARTS)}, or empty")
    declared = table.groupby("path", sort=False).part.agg(set)
    return {path: (parts.pop() or None) if len(parts) == 1 else None for path, parts in declared.items()}


def screen_all(jobs: dict[str, str | None], cache: Path, weights: Path | None = None, device: str = "auto") -> list[dict]:
    """Rows of SCREENING for every file, in the order of the jobs; only files without a valid cache line are opened."""
    from stage1_detect import model, shape_model

    detector_id = hashlib.sha1((weights or model.SHIPPED).read_bytes() + shape_model.FILE.read_bytes()).hexdigest()[:12]
    stamps = {path: [VERSION, detector_id, part, *manifest.stamp(path)] for path, part in jobs.items()}
    results = {path: rows for path, stamp, rows in _cached(cache) if stamps.get(path) == stamp}
    new = [(path, part) for path, part in jobs.items() if path not in results]
    if new:
        detector = model.load(weights or model.SHIPPED, model.device_of(device))
        cache.parent.mkdir(parents=True, exist_ok=True)
        with cache.open("a", encoding="utf-8") as stream:
            if cache.stat().st_size:
                stream.write("\n")  # ends the truncated line of a killed call; empty lines are ignored
            for path, rows in _results(detector, new):
                results[path] = rows
                stream.write(json.dumps({"path": path, "stamp": stamps[path], "rows": rows}) + "\n")
                stream.flush()
    return [{"path": path, **row} for path in jobs for row in results[path]]


def _results(detector: Detector, jobs: list[tuple[str, str | None]]) -> Iterator[tuple[str, list[dict]]]:
    """Path and rows of each job, as soon as they are ready."""
    from stage1_detect.film_tables import in_parallel

    rows = in_parallel(detector, jobs, lambda detector, job: screen_film(detector, *job), "screening films")
    yield from zip((path for path, _ in jobs), rows, strict=True)


def screen_film(detector: Detector, path: str, part: str | None) -> list[dict]:
    """Rows of SCREENING (without the path) for one file. An unsure side is replaced by the declared one, if there is one."""
    rows = []
    for verdict in verdicts(detector, path, part):
        assert set(verdict.reasons) <= set(quality_reasons.REASONS), verdict.reasons
        sure = verdict.sure or verdict.part is None or part is None or part[1] != verdict.part[1]
        rows.append(
            {
                "limb": len(rows) if verdict.part else -1,
                "part_seen": verdict.part if sure else part,
                "view_seen": verdict.view,
                **vars(verdict.frame),
                "quality": round(min(verdict.quality, 1.0), 4),
                "reasons": " ".join(verdict.reasons) or None,
                "detail": "; ".join(f"{reason}: {evidence}" for reason, evidence in verdict.reasons.items()) or None,
            }
        )
    return rows


def verdicts(detector: Detector, path: str, part: str | None) -> list[Verdict]:
    """A verdict on every limb of a file, or the one that explains why there is none."""
    from stage1_detect import limb_search
    from stage1_detect.quality_gate import Verdict, judge

    try:
        grey = film.read(path)
    except film.FilmError as error:
        return [Verdict(None, None, film.Frame(0, 0, 0, 0), reasons={"unreadable": str(error)})]
    judged = judge(grey, limb_search.find(detector, grey, part))
    if film.declares_greys(path) and polarity.looks_inverted(grey):
        # Other parts of the body often look inverted, so this counts only if a limb is detected in one of the two polarities.
        shows_limb = judged[0].part or judge(255 - grey, limb_search.find(detector, 255 - grey, part))[0].part
        if shows_limb:
            judged = [replace(v, reasons=v.reasons | {"greys_differ": "the bones look dark"}) for v in judged]
    return judged


def _cached(cache: Path) -> Iterator[tuple[str, list, list[dict]]]:
    """Path, stamp and rows of every line of the cache that has them."""
    for line in json_lines.read(cache):
        if {"path", "stamp", "rows"} <= line.keys():
            yield line["path"], line["stamp"], line["rows"]


if __name__ == "__main__":
    cli.main(run)
