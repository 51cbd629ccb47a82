"""submissions/ledger.csv has one line per submission, with its scores. No other file of submissions/ is in git."""

from __future__ import annotations

import csv
from pathlib import Path

from ra import atomic, paths

FIELDS = ("date", "run", "set", "sc1_oof", "sc2_oof", "sc3_oof", "sc1_test", "sc2_test", "sc3_test", "manifest")


def path() -> Path:
    """The ledger's file."""
    return paths.submissions() / "ledger.csv"


def read() -> list[dict[str, str]]:
    """All lines of the ledger, the oldest first."""
    if not path().is_file():
        return []
    with path().open(newline="") as stream:
        return list(csv.DictReader(stream))


def _write(lines: list[dict[str, str]]) -> None:
    with atomic.replacing(path()) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def append(**values: str) -> None:
    """Add a line, unless the ledger already has one for this manifest."""
    lines = read()
    if not any(line["manifest"] == values["manifest"] for line in lines):
        _write([*lines, {field: values.get(field, "") for field in FIELDS}])


def record_test(manifest: str, scores: dict[str, float]) -> None:
    """Enter the test scores of a submission into its line, once they are known."""
    lines = read()
    for line in lines:
        if line["manifest"] == manifest:
            line |= {f"{name}_test": f"{scores[name]:.4f}" for name in ("sc1", "sc2", "sc3")}
    if lines != read():
        _write(lines)
