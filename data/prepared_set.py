"""The folder data/work/<set> of a prepared set: written as a whole, with a record of what it was made from.

Shared by data.prepare and data.combine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.issues import Report
from ra import atomic, manifest, paths

RECORD, REPORT = "run.json", "report.json"


def needs_work(data: str, inputs: Mapping[str, Any], force: bool) -> bool:
    """False, with a line of output, when the set is finished, its inputs are the same and its files are unchanged."""
    recover(paths.work(data))
    record = paths.work(data) / RECORD
    if force or not record.is_file():
        return True
    if manifest.is_current(record, inputs):
        print(f"{data}: finished, skipped", flush=True)
        return False
    print(f"{data}: inputs changed; rebuilding", flush=True)
    return True


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """An empty folder to make a set in; it becomes `target` when the block ends, and is deleted when the block raises.

    The runs inside an older set move into the new one; their own manifests show that they are outdated. After a kill at any
    point the set is the old one or the new one, or, between two renames, missing until the next call restores it.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    recover(target)
    for leftover in target.parent.glob(f".{target.name}.[0-9]*.tmp"):  # of a killed call
        shutil.rmtree(leftover)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if target.exists():
            target.replace(_set_aside(target))
        temporary.replace(target)
        recover(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover(target: Path) -> None:
    """Finish an interrupted replacement.

    Moves the old set's run folders into the new set, or restores the old set if there is no new one, then deletes the leftovers.
    """
    old = _set_aside(target)
    if old.exists() and not target.exists():
        old.replace(target)
    if old.exists():
        for run_folder in (path for path in old.iterdir() if path.is_dir() and not (target / path.name).exists()):
            run_folder.replace(target / run_folder.name)
        shutil.rmtree(old)


def _set_aside(target: Path) -> Path:
    """Where the old set is while the new one takes its place."""
    return target.with_name(f".{target.name}.old")


def finish(folder: Path, data: str, origin: dict[str, Any], inputs: Mapping[str, Any], report: Report, **more: Any) -> None:
    """Write report.json, then the record of everything in the folder. origin: where the set comes from, for the report."""
    atomic.write_json(folder / REPORT, {"set": data, **origin, **report.as_dict()})
    more |= {"run": data, "versions": manifest.versions(), "counts": report.counts}
    manifest.write_record(folder / RECORD, inputs, sorted(folder.iterdir()), **more)
