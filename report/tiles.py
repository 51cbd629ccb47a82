"""Photographs for the page: small, as WebP, twice as fine as they are shown."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation.statistic import NAN, Statistic

QUALITY = 80
CROP_PX = 224  # of a joint's tile


def webp(pixels: np.ndarray, width_px: int | None = None) -> bytes:
    """An image (H, W) or (H, W, 3), uint8, scaled to a width where one is given."""
    from PIL import Image

    image = Image.fromarray(pixels)
    if width_px is not None and width_px != image.width:
        size = (width_px, max(1, round(image.height * width_px / image.width)))
        image = image.resize(size, Image.Resampling.LANCZOS if width_px < image.width else Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=QUALITY, method=4)
    return out.getvalue()


def of_file(path: Path) -> bytes:
    """An image file again, as it is shown."""
    from PIL import Image

    with Image.open(path) as image:
        return webp(np.asarray(image.convert("RGB")))


@dataclass(frozen=True)
class Crops:
    """The canonical crops that the joint members read: array (n, px, px) uint8 and row, indexed by patient_id, part, joint."""

    array: np.ndarray
    row: pd.Series

    @classmethod
    def open(cls, folder: Path) -> Crops:
        index = pd.read_parquet(folder / "crops.parquet")
        row = index.set_index(["patient_id", "part", "joint"])["row"]
        return cls(np.load(folder / "crops.npy", mmap_mode="r"), row)

    def tile(self, patient: str, part: str, joint: str) -> bytes | None:
        """A crop's picture; None where there is none."""
        at = self.row.get((patient, part, joint))
        return None if at is None else webp(np.asarray(self.array[at]), CROP_PX)


def grade(section: str, split: str, of: str, scope: str, value: float, *, digits: int | None = None) -> Statistic:
    """One reading of one place as a statistic; a reader's whole grades are shown whole."""
    value = NAN if value is None else float(value)
    digits = digits if digits is not None else 0 if np.isnan(value) or value == round(value) else 1
    return Statistic(section, "grade", split, of, scope, value, n=1, unit="readings", digits=digits)
