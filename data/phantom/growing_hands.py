"""Growing hands of known bone age, in the RSNA Bone Age layout: what the backbones pretrain on.

<root>/boneage-training-dataset.csv            id,boneage,male      (months, True or False)
<root>/boneage-training-dataset/<id>.png
<root>/joints.coco.json                        the joints, in the file's own pixels
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from data.phantom.film import draw_film
from data.phantom.growth import Growth
from ra import coco, track

FOLDER = "boneage-training-dataset"


def write_hand(folder: Path, seed: int, max_px: int, number: int) -> tuple[dict, coco.Image]:
    """Draw and write hand `number`; its row and its COCO image. RSNA's films are left hands of 1 to 18 years, most of 8 to 15."""
    rng = np.random.default_rng((seed, number))
    male = bool(rng.random() < 0.54)
    years = float(np.clip(rng.normal(10.8, 3.5), 1.0, 18.5))
    film = draw_film("LH", (seed, number, 1), growth=Growth(years, not male), width=1.2, max_px=max_px)
    name = f"{number}.png"
    cv2.imwrite(str(folder / name), film.grey, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return {"id": number, "boneage": round(years * 12), "male": male}, film.coco_image(name)


def write(root: Path, hands: int, seed: int, max_px: int) -> None:
    """The set under root; made beside it and moved into place."""
    root = Path(root)
    temporary = root.with_name(f".{root.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        (temporary / FOLDER).mkdir(parents=True)
        draw = partial(write_hand, temporary / FOLDER, seed, max_px)
        with get_context("spawn").Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:  # a fork hangs OpenCV
            made = list(track.progress(pool.imap(draw, range(1000, 1000 + hands), chunksize=4), "growing hands", hands))
        pd.DataFrame([row for row, _ in made]).to_csv(temporary / f"{FOLDER}.csv", index=False)
        coco.write([film for _, film in made], temporary / "joints.coco.json", digits=1)
        shutil.rmtree(root, ignore_errors=True)
        temporary.replace(root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
