"""Seconds that reading a film costs beyond the bare decoder: python -m benchmarks.read_film [FILM.jpg]."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ra import film

ROUNDS = 40
SHAPE = (2000, 1500)  # 3 MP, a large film of RA2-DREAM


def median_ms(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each call, taken in turns so that a busy machine slows them alike."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(values) for name, values in spent.items()}


def write_film(path: Path) -> Path:
    """A smooth bright limb with film grain, saved as JPG of quality 90."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    limb = np.exp(-(((x - SHAPE[1] / 2) / 400) ** 2) - ((y - SHAPE[0] / 2) / 700) ** 2)
    grain = np.random.default_rng(0).normal(0, 3, SHAPE)
    cv2.imwrite(str(path), np.clip(30 + 170 * limb + grain, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return path


def main() -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else write_film(Path(folder) / "film.jpg")
        grey = film.read(path)
        y, x = (n // 2 for n in grey.shape)
        took = median_ms(
            {
                "bare decoder": lambda: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE),
                "film.read": lambda: film.read(path),
                "film.crop 220 -> 96 px": lambda: film.crop(grey, x, y, 220, 96, angle_deg=12),
                "film.crop 1400 -> 512 px": lambda: film.crop(grey, x, y, 1400, 512, angle_deg=12),
            }
        )
    print(f"{path.name}, {grey.shape[1]} x {grey.shape[0]} px, one thread, median of {ROUNDS}")
    for name, milliseconds in took.items():
        print(f"{name:26s} {milliseconds:7.2f} ms")
    print(f"{'read / bare decoder':26s} {took['film.read'] / took['bare decoder']:7.2f}")


if __name__ == "__main__":
    main()
