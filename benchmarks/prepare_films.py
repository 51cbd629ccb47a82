"""Films per second and peak memory of data.prepare: python -m benchmarks.prepare_films [--films 10000].

The films are hard links to a few generated ones of 3 megapixels, in the layout of RSNA Bone Age. The command prepares them twice;
the second call finds the facts of every file in the cache.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from ra import cli, paths

N_PICTURES = 8  # different pictures; the others are links to them
SHAPE = (2000, 1500)  # 3 MP, a large film of RA2-DREAM


def write_film(path: Path, seed: int) -> None:
    """Write a JPG of quality 90: a bright limb with random bones and film grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    limb = np.exp(-(((x - SHAPE[1] / 2) / 400) ** 2) - ((y - SHAPE[0] / 2) / 700) ** 2)
    bones = cv2.resize(rng.uniform(0.6, 1, (20, 15)), SHAPE[::-1], interpolation=cv2.INTER_LINEAR)
    grey = 30 + 190 * limb * bones + rng.normal(0, 3, SHAPE)
    cv2.imwrite(str(path), np.clip(grey, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])


def write_set(root: Path, count: int) -> None:
    """Write a folder of `count` films and its table."""
    films = root / "boneage-training-dataset"
    films.mkdir(parents=True)
    for k in range(min(N_PICTURES, count)):
        write_film(films / f"{k}.jpg", k)
    for k in range(N_PICTURES, count):
        (films / f"{k}.jpg").hardlink_to(films / f"{k % N_PICTURES}.jpg")
    rows = [f"{k},{k % 200},{k % 2 == 0}" for k in range(count)]
    (root / "boneage-training-dataset.csv").write_text("\n".join(["id,boneage,male", *rows]) + "\n")


def run() -> None:
    """Prepare the same films twice, and print speed and peak memory of both calls."""
    p = cli.parser(__doc__)
    p.add_argument("--films", type=int, default=10_000, metavar="N", help="number of films (default %(default)s)")
    count = p.parse_args().films
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "raw"
        write_set(root, count)
        arguments = ["--source", "rsna_boneage", "--root", str(root), "--data", "s", "--force"]
        command = [sys.executable, "-m", "data.prepare", *arguments]
        for call in ("first", "second"):
            start = time.perf_counter()
            subprocess.run(command, cwd=paths.ROOT, env=os.environ | {"RA_DATA": folder}, check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of the largest child so far
            rate = f"{count / seconds:.0f} films/s, peak memory {peak:.0f} MiB"
            print(f"{call} call: {count} films of 3 MP in {seconds:.0f} s on {os.cpu_count()} cores: {rate}", flush=True)


if __name__ == "__main__":
    cli.main(run)
