"""Every path of the project: the path of a file tells stage, run, fold and split without opening it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def data_root() -> Path:
    """`data/` of the checkout, or RA_DATA when it is set (tests, a bigger disk)."""
    return Path(os.environ.get("RA_DATA", ROOT / "data"))


def submissions() -> Path:
    """`submissions/` of the checkout, or RA_SUBMISSIONS when it is set."""
    return Path(os.environ.get("RA_SUBMISSIONS", ROOT / "submissions"))


def raw(name: str) -> Path:
    """data/raw/<name>: as downloaded or generated."""
    return data_root() / "raw" / name


def work(data: str) -> Path:
    """data/work/<set>: everything made from one prepared set."""
    return data_root() / "work" / data


def films(data: str) -> Path:
    return work(data) / "films.parquet"


def sites(data: str) -> Path:
    return work(data) / "sites.parquet"


def ratingen(data: str) -> Path:
    """Ratingen percentages of a set; absent when it has none."""
    return work(data) / "ratingen.parquet"


def ratingen_gold(data: str) -> Path:
    """Ratingen percentages of a set's test patients, read by stage3_stack.ratingen alone; absent when they are not known."""
    return work(data) / "ratingen_gold.parquet"


def activity(data: str) -> Path:
    """Disease activity of a set's patients; absent when it has none."""
    return work(data) / "activity.parquet"


def reader(data: str, name: str) -> Path:
    """Another reading of a set's films in the challenge's columns; absent when there is none.

    name: gold (the reader of the targets, of the test patients), reader2, truth (behind a synthetic reader). The evidence is
    computed from them; nothing learns from them.
    """
    return work(data) / f"{name}.csv"


def truth_boxes(data: str) -> Path:
    """Boxes that came with the set (`source=truth`); absent when the set has none."""
    return work(data) / "boxes.parquet"


def folds(data: str) -> Path:
    return work(data) / "folds.csv"


def run_dir(data: str, stage: int, run: str) -> Path:
    return work(data) / f"stage{stage}" / run


def fold_dir(data: str, stage: int, run: str, fold: int) -> Path:
    return run_dir(data, stage, run) / f"fold_{fold}"


def boxes(data: str, run: str, split: str) -> Path:
    """Boxes that stage 1 made for split oof or test."""
    return run_dir(data, 1, run) / f"boxes_{split}.parquet"


def scores(data: str, stage: int, run: str, split: str) -> Path:
    """Scores table of split oof or test."""
    return run_dir(data, stage, run) / f"{split}.parquet"


def prediction_intervals(data: str, run: str, split: str) -> Path:
    """What a run of stage 3 says of split oof or test, with its intervals; what could not be scored is NaN."""
    return run_dir(data, 3, run) / f"intervals_{split}.parquet"


def explanations(data: str, run: str) -> Path:
    """What a member of stage 2 looked at: pictures and embeddings for the report."""
    return run_dir(data, 2, run) / "explanations"


def report(data: str, run: str) -> Path:
    """The report of a run of stage 3: report.html, numbers.csv, numbers.json."""
    return run_dir(data, 3, run) / "report"


def submission(run: str) -> Path:
    return submissions() / f"{run}.csv"
