"""The runs of stages 1 and 2 that a run of stage 3 was made of, as its saved configs tell."""

from __future__ import annotations

import json
from pathlib import Path

from evaluation.raters import Raters
from ra import config, paths


def members(raters: Raters) -> dict[str, dict]:
    """Run of stage 2 -> its saved config, in the stack's order; those that are on disk."""
    named = map(str, _saved(paths.run_dir(raters.data, 3, raters.run)).get("members", ()))
    folders = {name: folder(raters, name) for name in named}
    return {name: _saved(path) for name, path in folders.items() if (path / "run.json").is_file()}


def folder(raters: Raters, name: str) -> Path:
    """Where a run of stage 2 of the same set lies."""
    return paths.run_dir(raters.data, 2, name)


def crops(raters: Raters) -> Path | None:
    """The folder of the joint crops that the first joint member reads; None without one."""
    names = [member.get("pictures", "crops") for member in members(raters).values() if member.get("kind") == "joints"]
    return next((path for name in names if ((path := folder(raters, name)) / "crops.parquet").is_file()), None)


def detector(raters: Raters) -> Path | None:
    """The folder of the run of stage 1 whose boxes were cut; None where the set's own boxes were."""
    cut = crops(raters)
    name = record(cut).get("boxes") if cut else None
    made = paths.run_dir(raters.data, 1, name) if name else None
    return made if made and made.is_dir() else None


def pretraining(raters: Raters, name: str) -> Path | None:
    """The folder of the bone-age run from which a member started; None where it did not."""
    own, start = folder(raters, name), members(raters)[name].get("pretrained")
    inputs = [own / path for path in record(own).get("inputs", {})]
    return next((path.resolve() for path in inputs if start and path.name == start and (path / "log.csv").is_file()), None)


def record(made: Path) -> dict:
    """run.json of a run's folder; empty for one that is not finished."""
    path = made / "run.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _saved(made: Path) -> dict:
    path = made / "config.yaml"
    return config.read_yaml(path) if path.is_file() else {}
