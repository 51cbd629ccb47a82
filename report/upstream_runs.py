"""The runs of stages 1 and 2 on which a run of stage 3 is based, found by the saved configs."""

from __future__ import annotations

import json
from pathlib import Path

from evaluation.raters import Raters
from ra import config, paths


def members(raters: Raters) -> dict[str, dict]:
    """Run of stage 2 -> its saved config, for the members that are on disk, in the stack's order."""
    names = map(str, _saved_config(paths.run_dir(raters.data, 3, raters.run)).get("members", ()))
    folders = {name: folder(raters, name) for name in names}
    return {name: _saved_config(path) for name, path in folders.items() if (path / "run.json").is_file()}


def folder(raters: Raters, name: str) -> Path:
    """The folder of a run of stage 2 of the same set."""
    return paths.run_dir(raters.data, 2, name)


def crops(raters: Raters) -> Path | None:
    """The folder of the joint crops that the first joint member uses; None without a joint member."""
    names = [member.get("pictures", "crops") for member in members(raters).values() if member.get("kind") == "joints"]
    return next((path for name in names if ((path := folder(raters, name)) / "crops.parquet").is_file()), None)


def detector(raters: Raters) -> Path | None:
    """The folder of the run of stage 1 whose boxes were cropped; None if the set's own boxes were used."""
    cropped = crops(raters)
    name = record(cropped).get("boxes") if cropped else None
    path = paths.run_dir(raters.data, 1, name) if name else None
    return path if path and path.is_dir() else None


def pretraining(raters: Raters, name: str) -> Path | None:
    """The folder of the bone-age run from which a member started; None if it did not start from one."""
    start = members(raters)[name].get("pretrained")
    if not start:
        return None
    member = folder(raters, name)
    for relative in record(member).get("inputs", {}):
        path = member / relative
        if path.name == start and (path / "log.csv").is_file():
            return path.resolve()
    return None


def record(path: Path) -> dict:
    """run.json of a run's folder; empty if the run is not finished."""
    file = path / "run.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def _saved_config(path: Path) -> dict:
    file = path / "config.yaml"
    return config.read_yaml(file) if file.is_file() else {}
