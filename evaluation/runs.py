"""Records in a run's folder: its metrics and the minutes that it took. For its config, see stage3_stack.config.saved."""

from __future__ import annotations

import json
from pathlib import Path

from ra import paths

NAN = float("nan")


def finished(data: str, stage: int) -> list[str]:
    """Names of the stage's finished runs that have predictions, sorted."""
    predictions = paths.run_dir(data, stage, "").glob("*/oof.parquet")
    return sorted(path.parent.name for path in predictions if (path.parent / "run.json").is_file())


def record(folder: Path) -> dict:
    """A run's run.json; {} for a run that is not finished."""
    path = folder / "run.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def metrics(folder: Path) -> dict:
    """A run's metrics.json; {} without one."""
    path = folder / "metrics.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def minutes(folder: Path) -> float:
    """How long a run took; NaN if it is not finished. Members that train side by side record their own training time."""
    saved = record(folder)
    return saved.get("metrics", {}).get("train_seconds", saved.get("seconds", NAN)) / 60
