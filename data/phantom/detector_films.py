"""Films with joint boxes and without scores, of the widest variety: training data of the shipped detector.

    python -m data.phantom.detector_films --data phantom-joints --films 8000

writes the prepared set data/work/<set>: films.parquet, boxes.parquet and the folder films.
"""

from __future__ import annotations

import hashlib
from multiprocessing import get_context

import cv2
import numpy as np
import pandas as pd

from data.phantom.damage import Damage
from data.phantom.film import draw_film
from data.phantom.growth import Growth
from data.phantom.severity import damage_maps, grade_of, latent, patient_level, severity_of
from ra import atomic, cli, paths, training_log
from ra.anatomy import limb
from ra.tables import BOXES, FILMS


def wide_film(job: tuple[int, int, int, str]) -> tuple[dict, list[dict]]:
    """Draw and write a film; returns its row of FILMS and its rows of BOXES. 64 % are hands, a quarter of them of children.

    job: seed, number of the film, maximum height in pixels, folder.
    """
    seed, index, max_px, folder = job
    rng = np.random.default_rng((seed, index, 1))
    part = str(rng.choice(["LH", "RH", "LF", "RF"], p=[0.32, 0.32, 0.18, 0.18]))
    growth = None
    if limb(part) == "hand" and rng.random() < 0.25:
        growth = Growth(rng.uniform(3.5, 17), bool(rng.random() < 0.5))
    damage = Damage()
    if growth is None and rng.random() < 0.6:
        severity = severity_of(grade_of(latent(rng, patient_level(rng, 0.8))), rng)
        damage = Damage(*damage_maps(severity, part), drift_deg=float(max(0, rng.normal(0, 8))))
    film = draw_film(part, (seed, index, 2), damage=damage, growth=growth, width=2.0, max_px=max_px)
    name = f"W{index:06d}-{part}"
    path = paths.ROOT / folder / f"{name}.jpg"
    _, jpeg = cv2.imencode(".jpg", film.grey, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))])
    atomic.write_bytes(path, jpeg.tobytes())
    row = {
        "film_id": name, "patient_id": name, "person_id": name, "visit": 1, "part": part, "view": "PA", "laterality": part[0],
        "path": str(path), "sha1": hashlib.sha1(jpeg).hexdigest(), "width_px": film.grey.shape[1],
        "height_px": film.grey.shape[0],
        "split": "train",
    }  # fmt: skip
    boxes = [
        {
            "film_id": name,
            "joint": joint,
            "fold": -1,
            "x_px": x,
            "y_px": y,
            "w_px": film.box_px[joint],
            "h_px": film.box_px[joint],
            "conf": np.nan,
            "source": "truth",
        }
        for joint, (x, y) in film.joints.items()
    ]
    return row, boxes


def run() -> None:
    """Draw the films and write the prepared set."""
    p = cli.parser(__doc__, "data", data="phantom-joints")
    p.add_argument("--films", type=int, default=8000, metavar="N", help="number of films (default %(default)s)")
    p.add_argument("--seed", type=int, default=2026, help="random seed (default %(default)s)")
    p.add_argument("--max-px", type=int, default=560, help="maximum height of a film (default %(default)s)")
    args = p.parse_args()
    folder = paths.work(args.data) / "films"
    jobs = [(args.seed, i, args.max_px, str(folder)) for i in range(args.films)]
    with get_context("spawn").Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:  # a fork hangs OpenCV
        drawn = list(training_log.progress(pool.imap(wide_film, jobs, chunksize=16), "films", len(jobs)))
    FILMS.write(pd.DataFrame([row for row, _ in drawn]), paths.films(args.data))
    BOXES.write(pd.DataFrame([box for _, boxes in drawn for box in boxes]), paths.truth_boxes(args.data))
    print(f"{len(drawn)} films in {folder}")


if __name__ == "__main__":
    cli.main(run)
