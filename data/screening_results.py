"""Run stage 1's screening command on film files, and group its table by file.

Stages communicate only through files, so the command runs in its own process.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ra import atomic, paths
from ra.config import UserError
from ra.imaging.film import Frame
from ra.tables import SCREENING

Reasons = dict[str, str]  # word of ra.quality_reasons -> the evidence for it


@dataclass(frozen=True)
class SeenLimb:
    """One limb on a file: part LH RH LF RF, view, its window of the picture, and the reasons against scoring it."""

    part: str
    view: str | None
    frame: Frame
    reasons: Reasons


@dataclass(frozen=True)
class SeenFile:
    """The limbs on a file. reasons: those of the first limb, or of the file itself when it shows no limb."""

    limbs: list[SeenLimb]
    reasons: Reasons


def screen(rows: list[dict]) -> pd.DataFrame:
    """The SCREENING table of the files in `rows` (path, declared part), made by `python -m stage1_detect.screen`."""
    cache = paths.work(".facts") / "screening.jsonl"
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        jobs, out = Path(folder) / "jobs.csv", Path(folder) / "screening.parquet"
        atomic.write_table(jobs, pd.DataFrame(rows, columns=["path", "part"]))
        command = [sys.executable, "-m", "stage1_detect.screen", "--jobs", str(jobs), "--out", str(out), "--cache", str(cache)]
        stderr = None if sys.stderr.isatty() else subprocess.PIPE  # a terminal gets the progress bar
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(paths.ROOT)}, stderr=stderr, text=True)  # noqa: PLW1510
        if done.returncode:
            last_line = (done.stderr or "").strip().splitlines()[-1:] or ["see the lines above"]
            raise UserError(f"the films cannot be screened ({last_line[0]}); --trust prepares them without screening")
        return SCREENING.read(out)


def by_file(screening: pd.DataFrame) -> dict[str, SeenFile]:
    """Path -> the limbs on the file, from a SCREENING table."""
    files = {}
    for path, group in screening.groupby("path", sort=False):
        rows = list(group.itertuples())
        limbs = [SeenLimb(row.part_seen, row.view_seen, Frame.of(row), _reasons(row)) for row in rows if row.limb >= 0]
        files[path] = SeenFile(limbs, _reasons(rows[0]))
    return files


def _reasons(row: Any) -> Reasons:
    """The reasons in a row, each with its evidence. `detail` is "word: evidence; word: evidence"; evidence may contain "; "."""
    words = (row.reasons or "").split()
    pieces = re.split(rf"(?:^|; )({'|'.join(words)}): ", row.detail or "") if words else []
    return dict.fromkeys(words, "") | dict(zip(pieces[1::2], pieces[2::2], strict=True))
