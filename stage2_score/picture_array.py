"""Pictures on disk: a run's memory-mapped arrays, each written together with its index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ra import atomic

INDEX = ["row", "film_id", "patient_id", "part", "joint", "split", "box_source"]  # columns of every index
MAX_FAULTS_PRINTED = 5


@dataclass
class PictureArray:
    """A uint8 array (n, height, width) that is filled picture by picture, and the index rows of the pictures added so far."""

    pixels: np.ndarray
    index: list[dict] = field(default_factory=list)

    def add(self, picture: np.ndarray | None = None, **columns: object) -> int:
        """Append an index row, and its picture unless that is filled in later; returns the picture's row."""
        row = len(self.index)
        if picture is not None:
            self.pixels[row] = picture
        self.index.append({"row": row, **columns})
        return row


@contextmanager
def writing(folder: Path, name: str, shape: tuple[int, int, int], columns: list[str]) -> Iterator[PictureArray]:
    """A PictureArray that becomes folder/<name>.npy and folder/<name>.parquet when the block ends."""
    with atomic.replacing(folder / f"{name}.npy") as temporary:
        array = PictureArray(np.lib.format.open_memmap(temporary, "w+", np.uint8, shape))
        yield array
        array.pixels.flush()
        atomic.write_table(folder / f"{name}.parquet", pd.DataFrame(array.index, columns=columns))


def files(folder: Path, *names: str) -> list[Path]:
    """The files of some arrays of a run."""
    return [folder / f"{name}.{suffix}" for name in names for suffix in ("npy", "parquet")]


def print_faults(faults: list[str]) -> None:
    """Print why films were left out: the first few sentences and the number of the others."""
    others = len(faults) - MAX_FAULTS_PRINTED
    lines = faults[:MAX_FAULTS_PRINTED] + ([f"... and {others} more"] if others > 0 else [])
    print("\n".join(lines) or "every film was cut", flush=True)
