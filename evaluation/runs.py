"""What a run's folder records: its metrics and its minutes. The config that it was made with is stage3_stack.config.saved."""

from __future__ import annotations

import json
from pathlib import Path

from ra import paths

NAN = float("nan")


def finished(data: str, stage: int) -> list[str]:
    """Names of the stage's finished runs that left predictions, sorted."""
    found = paths.run_dir(data, stage, "").glob("*/oof.parquet")
    return sorted(path.parent.name for path in found if (path.parent / "run.json").is_file())


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
    made = record(folder)
    return made.get("metrics", {}).get("train_seconds", made.get("seconds", NAN)) / 60
