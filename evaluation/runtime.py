"""How long a run took, and everything that it was made of: read off the run.json files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from evaluation.raters import Raters
from evaluation.statistic import NAN, Statistic
from ra import paths


def steps(raters: Raters, section: str) -> list[Statistic]:
    """Minutes of each step, first made first; `of` is its folder below data/work. Empty for a run that is not on disk.

    A member's own training time where its record tells one: members that train side by side share one clock.
    """
    out = []
    for folder in _made_of(paths.run_dir(raters.data, 3, raters.run), set()):
        record = _record(folder)
        seconds = record.get("metrics", {}).get("train_seconds", record.get("seconds", NAN))
        name = os.path.relpath(folder, paths.data_root() / "work")
        name = name if "/" in name else f"{name}/prepare"
        out.append(Statistic(section, "minutes", "all", name, "time", seconds / 60, n=1, unit="runs", digits=1))
    return out


def _made_of(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """The folders whose files went into a run, each after its own inputs, the run last."""
    if folder in seen or not (folder / "run.json").is_file():
        return
    seen.add(folder)
    inputs = _record(folder).get("inputs")
    for name in inputs if isinstance(inputs, dict) else ():  # what data.prepare read is one hash
        path = Path(os.path.normpath(folder / name))
        yield from _made_of(path if path.is_dir() else path.parent, seen)
    yield folder


def _record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())
