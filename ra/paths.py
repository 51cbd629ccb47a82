"""Every path of the project. The path of a file shows its set, stage, run, fold and split."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def data_root() -> Path:
    """`data/` of the checkout, or the environment variable RA_DATA (for tests, or a bigger disk)."""
    return Path(os.environ.get("RA_DATA", ROOT / "data"))


def submissions() -> Path:
    """`submissions/` of the checkout, or the environment variable RA_SUBMISSIONS."""
    return Path(os.environ.get("RA_SUBMISSIONS", ROOT / "submissions"))


def raw(name: str) -> Path:
    """data/raw/<name>: a set as downloaded or generated."""
    return data_root() / "raw" / name


def work(data: str) -> Path:
    """data/work/<set>: a prepared set and everything made from it."""
    return data_root() / "work" / data


def films(data: str) -> Path:
    """Films table of a set."""
    return work(data) / "films.parquet"


def sites(data: str) -> Path:
    """Sites table of a set: its scores."""
    return work(data) / "sites.parquet"


def ratingen(data: str) -> Path:
    """Ratingen percentages of a set; the file is absent when it has none."""
    return work(data) / "ratingen.parquet"


def ratingen_gold(data: str) -> Path:
    """Ratingen percentages of a set's test patients, read by the evaluation only; absent when they are not known."""
    return work(data) / "ratingen_gold.parquet"


def activity(data: str) -> Path:
    """Disease activity of a set's patients; absent when it has none."""
    return work(data) / "activity.parquet"


def reader(data: str, name: str) -> Path:
    """Scores of a set by a further reader, in the challenge's columns; absent when there are none.

    name: gold (test patients, scored by the reader of the training targets), reader2, truth (the simulated truth of a synthetic
    set). They are used for evaluation only, never for training.
    """
    return work(data) / f"{name}.csv"


def truth_boxes(data: str) -> Path:
    """Boxes that came with a set (`source=truth`); absent when it has none."""
    return work(data) / "boxes.parquet"


def folds(data: str) -> Path:
    """Folds of a set's training patients."""
    return work(data) / "folds.csv"


def run_dir(data: str, stage: int, run: str) -> Path:
    """Folder of a run of a stage."""
    return work(data) / f"stage{stage}" / run


def fold_dir(data: str, stage: int, run: str, fold: int) -> Path:
    """Folder of one fold of a run."""
    return run_dir(data, stage, run) / f"fold_{fold}"


def boxes(data: str, run: str, split: str) -> Path:
    """Boxes of a run of stage 1, for split oof or test."""
    return run_dir(data, 1, run) / f"boxes_{split}.parquet"


def scores(data: str, stage: int, run: str, split: str) -> Path:
    """Scores table of a run, for split oof or test."""
    return run_dir(data, stage, run) / f"{split}.parquet"


def prediction_intervals(data: str, run: str, split: str) -> Path:
    """Predictions of a run of stage 3 with their intervals, for split oof or test."""
    return run_dir(data, 3, run) / f"intervals_{split}.parquet"


def explanations(data: str, run: str) -> Path:
    """Explanations of a member of stage 2: saliency pictures and embeddings for the report."""
    return run_dir(data, 2, run) / "explanations"


def report(data: str, run: str) -> Path:
    """The report of a run of stage 3: report.html, numbers.csv, numbers.json."""
    return run_dir(data, 3, run) / "report"


def submission(run: str) -> Path:
    """A submission in the challenge's format."""
    return submissions() / f"{run}.csv"
