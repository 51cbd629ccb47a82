"""Small photographs of the page: crops and films as WebP, with twice the pixels at which they are shown."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation.statistic import NAN, Statistic

QUALITY = 80
CROP_PX = 224  # width of a joint's tile


def webp(pixels: np.ndarray, width_px: int | None = None) -> bytes:
    """A WebP file of an image (H, W) or (H, W, 3), uint8, scaled to width_px if given."""
    from PIL import Image

    image = Image.fromarray(pixels)
    if width_px is not None and width_px != image.width:
        size = (width_px, max(1, round(image.height * width_px / image.width)))
        image = image.resize(size, Image.Resampling.LANCZOS if width_px < image.width else Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=QUALITY, method=4)
    return out.getvalue()


def webp_of_file(path: Path) -> bytes:
    """An image file converted to WebP, with its size unchanged."""
    from PIL import Image

    with Image.open(path) as image:
        return webp(np.asarray(image.convert("RGB")))


@dataclass(frozen=True)
class Crops:
    """The canonical crops of a set: array (n, px, px) uint8, and its row indexed by patient_id, part, joint."""

    array: np.ndarray
    row: pd.Series

    @classmethod
    def open(cls, folder: Path) -> Crops:
        """The crops of a pictures run of stage 2, mapped into memory."""
        index = pd.read_parquet(folder / "crops.parquet")
        row = index.set_index(["patient_id", "part", "joint"])["row"]
        return cls(np.load(folder / "crops.npy", mmap_mode="r"), row)

    def tile(self, patient: str, part: str, joint: str) -> bytes | None:
        """A joint's crop as WebP; None if the joint has no crop."""
        row = self.row.get((patient, part, joint))
        return None if row is None else webp(np.asarray(self.array[row]), CROP_PX)


def grade(section: str, split: str, rater: str, scope: str, value: float, *, digits: int | None = None) -> Statistic:
    """One rater's grade of one joint as a statistic; without `digits`, whole grades are shown without decimals."""
    value = NAN if value is None else float(value)
    digits = digits if digits is not None else 0 if np.isnan(value) or value == round(value) else 1
    return Statistic(section, "grade", split, rater, scope, value, n=1, unit="readings", digits=digits)
