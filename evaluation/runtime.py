"""How long each step of a run took, read from the run.json files of the run and of all runs among its inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from evaluation import runs, section_ids
from evaluation.raters import Raters
from evaluation.statistic import Statistic
from ra import paths

SECTION = section_ids.LEADERBOARD


def steps(raters: Raters) -> list[Statistic]:
    """Minutes of each step, earliest first; `of` is the step's folder below data/work. [] for a run that is not on disk."""
    out = []
    for folder in _inputs_first(paths.run_dir(raters.data, 3, raters.run), set()):
        name = os.path.relpath(folder, paths.data_root() / "work")
        name = name if "/" in name else f"{name}/prepare"
        out.append(Statistic(SECTION, "minutes", "all", name, "time", runs.minutes(folder), n=1, unit="runs", digits=1))
    return out


def _inputs_first(folder: Path, visited: set[Path]) -> Iterator[Path]:
    """The folders of a run and of all runs on which it depends, each after its inputs, so that the run itself is last."""
    record = runs.record(folder)
    if folder in visited or not record:
        return
    visited.add(folder)
    inputs = record.get("inputs")
    for name in inputs if isinstance(inputs, dict) else ():  # data.prepare records its inputs as one hash
        path = Path(os.path.normpath(folder / name))
        yield from _inputs_first(path if path.is_dir() else path.parent, visited)
    yield folder
