"""Growing hands of known bone age, in the RSNA Bone Age layout, for pretraining the backbones.

<root>/boneage-training-dataset.csv            id,boneage,male      (months, True or False)
<root>/boneage-training-dataset/<id>.png
<root>/joints.coco.json                        joint boxes in pixels of the file
"""

from __future__ import annotations

from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from data.phantom.film import draw_film
from data.phantom.growth import Growth
from ra import atomic, coco, training_log

FOLDER = "boneage-training-dataset"


def write_hand(folder: Path, seed: int, max_px: int, number: int) -> tuple[dict, coco.Image]:
    """Draw and write hand `number`; returns its table row and its image of the COCO file.

    The films of RSNA are left hands of 1 to 18 years, mostly 8 to 15.
    """
    rng = np.random.default_rng((seed, number))
    male = bool(rng.random() < 0.54)
    years = float(np.clip(rng.normal(10.8, 3.5), 1.0, 18.5))
    film = draw_film("LH", (seed, number, 1), growth=Growth(years, not male), width=1.2, max_px=max_px)
    name = f"{number}.png"
    cv2.imwrite(str(folder / name), film.grey, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return {"id": number, "boneage": round(years * 12), "male": male}, film.coco_image(name)


def write(root: Path, hands: int, seed: int, max_px: int) -> None:
    """Write the set to root, which is replaced only when the set is complete."""
    with atomic.replacing_folder(root) as folder:
        (folder / FOLDER).mkdir()
        draw = partial(write_hand, folder / FOLDER, seed, max_px)
        with get_context("spawn").Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:  # a fork hangs OpenCV
            drawn = list(training_log.progress(pool.imap(draw, range(1000, 1000 + hands), chunksize=4), "growing hands", hands))
        atomic.write_table(folder / f"{FOLDER}.csv", pd.DataFrame([row for row, _ in drawn]))
        coco.write([image for _, image in drawn], folder / "joints.coco.json", digits=1)
