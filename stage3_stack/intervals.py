"""Give every grade and total of a run its interval, and what could not be scored its state instead of a number.

    python -m stage3_stack.intervals --data SET --config stage3_stack/configs/demo/blend.yaml
    python -m stage3_stack.intervals --data SET --run totals          a set of hand totals

Reads a finished run of stage3_stack.train (or of stage3_stack.hands with a set of hand totals) and what its members left;
writes data/work/SET/stage3/RUN/intervals_{oof,test}.parquet (tables.PREDICTION_INTERVALS) and intervals.json, the calibration. Intervals are
conformal (evidence/conformal.py), of 80 and 95 %: a fold's rest on the other folds' residuals, the test patients' on all
training patients'. What was not scored, and the totals of it: evidence/unscorable.py, evidence/prorate.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ra import atomic, cli, manifest, paths
from ra.config import UserError
from stage3_stack import config as recipes

RECORD = "intervals.json"


def run() -> None:
    args = recipes.parser(__doc__).parse_args()
    make(args.data, recipes.run_name(args), args.force)


def make(data: str, run_name: str, force: bool = False) -> None:
    """Skip when the intervals on disk are those of this very run; else write both tables, the record last."""
    folder = paths.run_dir(data, 3, run_name)
    record, inputs = folder / RECORD, _inputs(data, folder)
    if not force and stands(data, run_name):
        print(f"{folder.name}: intervals finished, skipped", flush=True)
        return
    record.unlink(missing_ok=True)  # from here until the end the run has no intervals
    from stage3_stack.uncertainty import prediction_table as reading

    tables, calibration = reading.make(data, folder)
    for split, table in tables.items():
        reading.write(table, paths.prediction_intervals(data, run_name, split))
    atomic.write_json(record, {"inputs": inputs, "calibration": calibration})
    print(f"{folder.name}: {reading.summary(tables)}", flush=True)


def stands(data: str, run_name: str) -> bool:
    """Whether the run has intervals, and they are of what it is now."""
    folder = paths.run_dir(data, 3, run_name)
    record, files = folder / RECORD, [paths.prediction_intervals(data, run_name, split) for split in ("oof", "test")]
    if not (record.is_file() and all(file.is_file() for file in files)):
        return False
    return json.loads(record.read_text())["inputs"] == _inputs(data, folder)


def required(data: str, run_name: str) -> str:
    """The hash of a run's intervals; UserError when it has none of its own."""
    folder = paths.run_dir(data, 3, run_name)
    if not stands(data, run_name):
        raise UserError(f"{folder} has no intervals; run python -m stage3_stack.intervals --data {data} --run {run_name} first")
    return manifest.file_hash(folder / RECORD)


def beside_path(submission: Path) -> Path:
    """submissions/NAME.intervals.csv of submissions/NAME.csv."""
    return submission.with_suffix(".intervals.csv")


def beside(out: Path, reading: Path, patients: list[str], columns: list[str]) -> dict:
    """The intervals of a submission in place beside it; what its manifest says of them."""
    from ra import tables
    from stage3_stack import submission

    rows = submission.with_intervals(tables.PREDICTION_INTERVALS.read(reading), patients, columns)
    path = beside_path(out)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    rows.to_csv(temporary, index=False)
    temporary.replace(path)
    return {"intervals": path.name, "intervals_sha256": manifest.file_hash(path), "imputed": submission.imputed(rows)}


def _inputs(data: str, folder: Path) -> dict[str, str]:
    """What the intervals are made of: the run, and the films that were there to be read."""
    more = {name: paths.work(data) / f"{name}.parquet" for name in ("films", "film_issues")}
    return {"run": manifest.file_hash(folder)} | {name: manifest.file_hash(p) for name, p in more.items() if p.is_file()}


if __name__ == "__main__":
    cli.main(run)
