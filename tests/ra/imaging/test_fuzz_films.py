"""Damaged films: each of 2,000 per format is refused in one sentence or read, within limits of time and memory.

The films are read in a child process, which a fault in a decoder may end. Seeds are fixed; a failure names its seed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ra.paths import ROOT
from tests.worlds.film_formats import FORMATS, LOSSY_FORMATS, limb_picture

FILES = 2000
CHILD = Path(__file__).parents[2] / "worlds" / "fuzz_child.py"
NAMES = (
    "jpg", "png", "png16", "bmp", "tiff", "tiff16", "tiff_lzw", "tiff_deflate", "dicom8", "dicom12", "big_endian", "deflated",
    "rle", "jpeg_baseline", "jpeg_extended", "jpeg_lossless", "jpeg_ls", "jpeg_2000",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_refused_or_read(tmp_path, name):
    picture = np.rint(limb_picture(300, 210)[::6, ::6] * 255).astype(np.uint8)
    path = (FORMATS | LOSSY_FORMATS)[name](tmp_path / "a", picture)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RA_DATA": str(tmp_path)}
    command = [sys.executable, str(CHILD), str(path), "0", str(FILES)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    last = run.stdout.split("\n")[-3:]
    assert run.returncode == 0, f"{name}: ended with {run.returncode} at seed {last}: {run.stderr[-1500:]}"
    ends = json.loads(last[-2])
    assert sum(ends.values()) == FILES and ends["refused"] > FILES // 20
