"""Compute prediction intervals of a finished run; a site that could not be scored gets a state instead of a number.

    python -m stage3_stack.intervals --data SET --run blend

Writes data/work/SET/stage3/RUN/intervals_{oof,test}.parquet (tables.PREDICTION_INTERVALS) and intervals.json, the calibration.
Intervals of 80 and 95 % are conformal (uncertainty/conformal.py): a fold's intervals are calibrated on the residuals of the other
folds, those of the test patients on the residuals of all training patients. uncertainty/scorability.py finds the sites that could
not be scored, uncertainty/prorating.py gives the totals with such sites. A run of kind joint_visits has no intervals.
"""

from __future__ import annotations

from pathlib import Path

from ra import atomic, cli, manifest, paths, tables
from ra.config import UserError
from stage3_stack import config, submission
from stage3_stack.kinds import kind_of
from stage3_stack.uncertainty import prediction_table
from stage3_stack.uncertainty.prediction_table import Predictions

RECORD = "intervals.json"
SPLITS = ("oof", "test")


def run() -> None:
    """Write the intervals of the run that the command line names."""
    p = cli.parser(__doc__, "data", "force")
    p.add_argument("--run", default="blend", metavar="NAME", help="finished run of stage 3 (default %(default)s)")
    args = p.parse_args()
    make(args.data, args.run, args.force)


def make(data: str, run_name: str, force: bool = False) -> None:
    """Write both tables, then the record. Nothing is written if they are current or if the run's kind has no intervals."""
    folder = paths.run_dir(data, 3, run_name)
    experiment = config.saved(folder)
    if not kind_of(experiment).has_intervals:
        print(f"{run_name}: a run of kind {experiment.kind} has no intervals", flush=True)
        return
    record, inputs = folder / RECORD, _inputs(data, folder)
    if not force and manifest.is_current(record, inputs):
        print(f"{run_name}: intervals finished, skipped", flush=True)
        return
    record.unlink(missing_ok=True)  # from here until the end the run has no intervals
    by_split, calibration = prediction_table.make(predictions(data, run_name))
    files = [paths.prediction_intervals(data, run_name, split) for split in SPLITS]
    for split, path in zip(SPLITS, files, strict=True):
        tables.PREDICTION_INTERVALS.write(by_split[split], path)
    manifest.write_record(record, inputs, files, calibration=calibration)
    print(f"{run_name}: {prediction_table.summary(by_split)}", flush=True)


def predictions(data: str, run_name: str) -> Predictions:
    """Predictions of a finished run with everything from which their intervals are computed."""
    folder = paths.run_dir(data, 3, run_name)
    experiment = config.saved(folder)
    return kind_of(experiment).predictions(data, folder, experiment)


def require(data: str, run_name: str) -> str:
    """The hash of a run's intervals; UserError if they are missing, or if the run has changed since they were made."""
    folder = paths.run_dir(data, 3, run_name)
    if not manifest.is_current(folder / RECORD, _inputs(data, folder)):
        raise UserError(f"{folder} has no intervals; run python -m stage3_stack.intervals --data {data} --run {run_name} first")
    return manifest.file_hash(folder / RECORD)


def csv_path(submission_path: Path) -> Path:
    """The path submissions/NAME.intervals.csv for the submission submissions/NAME.csv."""
    return submission_path.with_suffix(".intervals.csv")


def write_csv(path: Path, table_path: Path, patients: list[str], columns: list[str]) -> dict[str, dict[str, list[str]]]:
    """Write the intervals for a submission's patients and columns; return the imputed cells (submission.imputed)."""
    rows = submission.interval_rows(tables.PREDICTION_INTERVALS.read(table_path), patients, columns)
    atomic.write_table(path, rows)
    return submission.imputed(rows)


def _inputs(data: str, folder: Path) -> dict[str, str]:
    """Hashes of the inputs of the intervals: the run, and the tables of films that explain missing sites."""
    films = {name: paths.work(data) / f"{name}.parquet" for name in ("films", "film_issues")}
    hashes = {name: manifest.file_hash(path) for name, path in films.items() if path.is_file()}
    return {"run": manifest.file_hash(folder)} | hashes


if __name__ == "__main__":
    cli.main(run)
