"""Time to read a film and make it canonical, compared with the bare decoder: python -m benchmarks.read_film [FILM.jpg].

Reading a 3-megapixel JPG should take at most 1.3 times as long as the decoder alone.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ra.imaging import film

ROUNDS = 40
SHAPE = (2000, 1500)  # 3 MP, a large film of RA2-DREAM


def best_ms(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Least processor time of each call in ms. The calls alternate, so that other load affects all of them alike."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.process_time()
            call()
            spent[name].append(time.process_time() - start)
    return {name: 1000 * min(values) for name, values in spent.items()}


def write_film(path: Path) -> Path:
    """A smooth bright limb with film grain, saved as JPG of quality 90."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    limb = np.exp(-(((x - SHAPE[1] / 2) / 400) ** 2) - ((y - SHAPE[0] / 2) / 700) ** 2)
    grain = np.random.default_rng(0).normal(0, 3, SHAPE)
    cv2.imwrite(str(path), np.clip(30 + 170 * limb + grain, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return path


def run() -> None:
    """Print the times."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else write_film(Path(folder) / "film.jpg")
        grey = film.read(path)
        height, width = grey.shape
        upright, lying = film.Frame(0, 0, width, height), film.Frame(0, 0, height, width, turns=1)
        times = best_ms(
            {
                "bare decoder": lambda: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE),
                "read, whole file": lambda: upright.cut(film.read(path)),
                "read, quarter turn": lambda: lying.cut(film.read(path)),
                "read, mirrored": lambda: cv2.flip(upright.cut(film.read(path)), 1),
                "film.crop 220 -> 96 px": lambda: film.crop(grey, width / 2, height / 2, 220, 96, angle_deg=12),
                "film.crop 1400 -> 512 px": lambda: film.crop(grey, width / 2, height / 2, 1400, 512, angle_deg=12),
            }
        )
    print(f"{path.name}, {width} x {height} px, one thread, best of {ROUNDS}")
    for name, milliseconds in times.items():
        ratio = f"{milliseconds / times['bare decoder']:6.2f} x the decoder" if name.startswith("read") else ""
        print(f"{name:26s} {milliseconds:7.2f} ms {ratio}".rstrip())


if __name__ == "__main__":
    run()
