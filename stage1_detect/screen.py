"""What pictures show: every limb of every file, where it lies, and whether it can be scored.

    python -m stage1_detect.screen --jobs JOBS.csv --out SCREENING.parquet

JOBS has path and part, what is declared (LH RH LF RF) or nothing. What was seen is kept in a file beside SCREENING as it is seen, a
line per picture: a killed call goes on where it stopped, and a later one looks at what is new.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ra import cli, manifest, quality_reasons
from ra.anatomy import PARTS
from ra.config import UserError
from ra.imaging import film, polarity
from ra.tables import SCREENING

if TYPE_CHECKING:
    from stage1_detect.quality_gate import Verdict

VERSION = 3  # raised when the same picture would be seen differently


def run() -> None:
    """The verb."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--jobs", type=Path, required=True, metavar="CSV", help="path, part: the files and what they are declared"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="PARQUET", help="the table of looks to write")
    parser.add_argument("--facts", type=Path, default=None, metavar="JSONL", help="what was seen before (default: beside --out)")
    parser.add_argument("--weights", type=Path, default=None, help="safetensors of stage 1 (default: those that ship)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default %(default)s)")
    args = parser.parse_args()
    jobs = read_jobs(args.jobs)
    facts = args.facts or args.out.with_suffix(".jsonl")
    SCREENING.write(pd.DataFrame(look_all(jobs, facts, args.weights, args.device), columns=list(SCREENING.columns)), args.out)


def read_jobs(path: Path) -> dict[str, str | None]:
    """File -> the part it is declared, None when nothing or several things are."""
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


def look_all(jobs: dict[str, str | None], facts: Path, weights: Path | None = None, device: str = "auto") -> list[dict]:
    """Rows of SCREENING for every file, in the order of the jobs; only those that are not among the facts are opened."""
    from stage1_detect import model, shape_model

    made_by = hashlib.sha1((weights or model.SHIPPED).read_bytes() + shape_model.FILE.read_bytes()).hexdigest()[:12]
    stamps = {path: [VERSION, made_by, part, *manifest.stamp(path)] for path, part in jobs.items()}
    known = {path: rows for path, stamp, rows in _lines(facts) if stamps.get(path) == stamp}
    rest = [path for path in jobs if path not in known]
    if rest:
        detector = model.detector(weights or model.SHIPPED, model.device_of(device))
        facts.parent.mkdir(parents=True, exist_ok=True)
        with facts.open("a", encoding="utf-8") as stream:
            if facts.stat().st_size:
                stream.write("\n")  # ends the torn line of a killed call; an empty line says nothing
            for path, rows in _seen(detector, [(path, jobs[path]) for path in rest]):
                known[path] = rows
                stream.write(json.dumps({"path": path, "stamp": stamps[path], "rows": rows}) + "\n")
                stream.flush()
    return [{"path": path, **row} for path in jobs for row in known[path]]


def _seen(detector, jobs: list[tuple[str, str | None]]) -> Iterator[tuple[str, list[dict]]]:
    """Path and rows of each job, as they are looked at."""
    from stage1_detect.film_boxes import in_parallel

    rows = in_parallel(detector, jobs, lambda own, job: look(own, *job), "looking at films")
    yield from zip((path for path, _ in jobs), rows, strict=True)


def look(detector, path: str, part: str | None) -> list[dict]:
    """Rows of SCREENING (without the path) for one file. A side that is not sure is the declared one, where one is declared."""
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
                "detail": "; ".join(f"{word}: {text}" for word, text in verdict.reasons.items()) or None,
            }
        )
    return rows


def verdicts(detector, path: str, part: str | None) -> list[Verdict]:
    """What is seen in a file: a verdict per limb, or the one that says why there is none."""
    from stage1_detect import limb_search
    from stage1_detect.quality_gate import Verdict, judge

    try:
        grey = film.read(path)
    except film.FilmError as error:
        return [Verdict(None, None, film.Frame(0, 0, 0, 0), reasons={"unreadable": str(error)})]
    found = judge(grey, limb_search.find(detector, grey, part))
    if film.declares_greys(path) and polarity.looks_inverted(grey):  # other parts of the body often look so: a limb tells
        limb_seen = found[0].part or judge(255 - grey, limb_search.find(detector, 255 - grey, part))[0].part
        dark = {"greys_differ": "the bones look dark"} if limb_seen else {}
        found = [replace(one, reasons=one.reasons | dark) for one in found]
    return found


def _lines(facts: Path) -> Iterator[tuple[str, list, list[dict]]]:
    """Path, stamp and rows of every whole line; the last one of a killed call may be torn."""
    if not facts.is_file():
        return
    with facts.open(encoding="utf-8", errors="replace") as stream:
        for text in stream:
            try:
                line = json.loads(text)
                yield line["path"], line["stamp"], line["rows"]
            except (ValueError, KeyError, TypeError):
                continue


if __name__ == "__main__":
    cli.main(run)
