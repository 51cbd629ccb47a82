"""The record of a prepared set, data/work/<set>/run.json: what it was made from, and whether it is finished.

Shared by data.prepare and data.combine, which fill the set's folder within `replacing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from data.issues import Report
from ra import atomic, manifest, paths

RECORD, REPORT = "run.json", "report.json"


def needs_work(data: str, inputs: Mapping[str, Any], force: bool) -> bool:
    """False, with a line of output, when the set is finished, its inputs are the same and its files are unchanged."""
    atomic.finish_replacing(paths.work(data), keep_subfolders=True)
    record = paths.work(data) / RECORD
    if force or not record.is_file():
        return True
    if manifest.is_current(record, inputs):
        print(f"{data}: finished, skipped", flush=True)
        return False
    print(f"{data}: inputs changed; rebuilding", flush=True)
    return True


def replacing(data: str) -> AbstractContextManager[Path]:
    """An empty folder to make the set in; it becomes data/work/<data> when the block ends without an error.

    The run folders of an older set move into the new one; their own manifests show that they are outdated.
    """
    return atomic.replacing_folder(paths.work(data), keep_subfolders=True)


def finish(folder: Path, data: str, origin: dict[str, Any], inputs: Mapping[str, Any], report: Report, **more: Any) -> None:
    """Write report.json, then the record of everything in the folder. origin: where the set comes from, for the report."""
    atomic.write_json(folder / REPORT, {"set": data, **origin, **report.as_dict()})
    more |= {"run": data, "versions": manifest.versions(), "counts": report.counts}
    manifest.write_record(folder / RECORD, inputs, sorted(folder.iterdir()), **more)
