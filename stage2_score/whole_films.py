"""Cut whole films, without any joint box: each limb's region of interest, and both hands side by side.

python -m stage2_score.whole_films CONFIG.yaml --data SET writes into data/work/<set>/stage2/<run>/

    rois.npy   (n films, H, W) uint8: the limb's box, resized plainly, right limbs mirrored to left, greys levelled
    rois.parquet   its index; x0_px .. y1_px: the box in the film's own upright, un-mirrored pixels
    hands.npy  (n patients, px, px) uint8: both hands' films as on one bilateral film (Bo et al. 2025 read those): the right
               hand on the left half, both mirrored, so that the thumbs meet; a missing hand leaves its half black. Two films
               or one of both hands give the same picture: a film is a frame of its file. Where a set gives one total of both
               hands and only one can be seen there is no picture: half of it cannot answer for the whole
    hands.parquet  its index, part HANDS. On a set of bone ages: one film per picture, the part is the film's

A film that is missing or cannot be read has no row in rois and leaves its half black; it is counted and named.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from ra import cli, manifest, paths, tables, track
from ra.anatomy import BOTH_HANDS, TOTAL, limb
from ra.config import UserError
from stage2_score import config as members
from stage2_score.config import Films
from stage2_score.crops import INDEX, SHOWN

ROI = ["x0_px", "y0_px", "x1_px", "y1_px"]
ROI_INDEX = [*INDEX, "laterality", *ROI]
HALF = {"RH": 0, "LH": 1}  # which half of a bilateral film, as one sees it who faces the patient


def centre_file(data: str) -> Path:
    """The joint boxes from which whole films learn: the set's own, else the detector's that never saw the film."""
    own = paths.truth_boxes(data)
    return own if own.is_file() else paths.boxes(data, "yolo", "oof")


def levelled(pixels: np.ndarray, c: Films) -> np.ndarray:
    """uint8 pixels stretched between two percentiles of their greys, so that exposure differs less."""
    from ra.imaging import intensity

    return intensity.stretch_table(*np.percentile(pixels[::4, ::4], [c.low_percentile, c.high_percentile]))[pixels]


def resized(pixels: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    import cv2

    shrinks = width_px * height_px < pixels.size
    return cv2.resize(pixels, (width_px, height_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def cut_roi(grey: np.ndarray, laterality: str, c: Films) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """The limb's canonical picture (H, W) of a film (h, w), and its box in the film's pixels (whole ones)."""
    from stage2_score.limb_region import limb_box

    x0, y0, x1, y1 = (round(v) for v in limb_box(grey))
    picture = resized(levelled(grey[y0:y1, x0:x1], c), c.roi_width_px, c.roi_height_px)
    return np.ascontiguousarray(picture[:, ::-1]) if laterality == "R" else picture, (float(x0), float(y0), float(x1), float(y1))


def half_pairs(films: pd.DataFrame, sites: pd.DataFrame) -> set[str]:
    """Patients of whom one hand can be seen, while their set gives one total of both: half a picture cannot answer for it."""
    given = sites[(sites.part == BOTH_HANDS) & (sites.site == TOTAL)].patient_id
    seen = films[films.part.map(limb) == "hand"].groupby("patient_id").part.nunique()
    return set(seen.index[(seen == 1) & seen.index.isin(given)])


def _cut_row(film_row: pd.Series, c: Films, single: bool) -> tuple | str:
    """(ROI, its box, the film for `hands` or None), or the sentence that says why there is none."""
    from ra.imaging import film

    try:
        grey = film.load(film_row)
    except (UserError, OSError) as error:
        return f"film {film_row.film_id} cannot be used ({error}); its sites stay missing"
    width = c.hands_px if single else c.hands_px // 2
    hand = resized(levelled(grey, c), width, c.hands_px) if limb(film_row.part) == "hand" else None
    return *cut_roi(grey, film_row.laterality, c), hand


def _cut(films: pd.DataFrame, c: Films, single: bool) -> Iterator[tuple[pd.Series, tuple | str]]:
    rows = [row for _, row in films.iterrows()]
    with ThreadPoolExecutor(members.cores()) as pool:
        results = pool.map(lambda row: _cut_row(row, c, single), rows)
        yield from track.progress(zip(rows, results, strict=True), "cutting films", total=len(rows))


class _Sheet:
    """One array on disk with its index, moved into place when whole."""

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...], columns: list[str]):
        self.folder, self.name, self.columns = folder, name, columns
        self.array = np.lib.format.open_memmap(folder / f".{name}.tmp.npy", "w+", np.uint8, shape)
        self.index: list[dict] = []

    def add(self, **row: object) -> int:
        self.index.append({**row, "row": len(self.index), "box_source": "none"})
        return len(self.index) - 1

    def close(self) -> list[Path]:
        self.array.flush()
        pd.DataFrame(self.index, columns=self.columns).to_parquet(self.folder / f".{self.name}.tmp.parquet", index=False)
        kinds = ("npy", "parquet")
        for kind in kinds:
            (self.folder / f".{self.name}.tmp.{kind}").replace(self.folder / f"{self.name}.{kind}")
        return [self.folder / f"{self.name}.{kind}" for kind in kinds]


def cut_all(films: pd.DataFrame, c: Films, folder: Path, single: bool, half: set[str] = frozenset()) -> tuple[dict, list[Path]]:
    """Cut every film into `folder`; single: one hand per picture; half: patients without a picture of both hands.

    Returns counts and the files written.
    """
    import cv2

    cv2.setNumThreads(1)  # one thread per film, several films at a time
    hand_films = films[(films.part.map(limb) == "hand") & ~films.patient_id.isin(half)]
    n_hands = len(hand_films) if single else hand_films.patient_id.nunique()
    rois = _Sheet(folder, "rois", (len(films), c.roi_height_px, c.roi_width_px), ROI_INDEX)
    hands = _Sheet(folder, "hands", (n_hands, c.hands_px, c.hands_px), INDEX)
    faults: list[str] = []
    row_of: dict[str, int] = {}
    for film, result in _cut(films, c, single):
        if isinstance(result, str):
            faults.append(result)
            continue
        same = {"film_id": film.film_id, "patient_id": film.patient_id, "split": film.split}
        picture, box, hand = result
        place = {"part": film.part, "laterality": film.laterality} | dict(zip(ROI, box, strict=True))
        row = rois.add(**same, **place, joint=limb(film.part))
        rois.array[row] = picture
        if hand is None or film.patient_id in half:
            continue
        key = film.film_id if single else film.patient_id
        if key not in row_of:
            row_of[key] = hands.add(**same, part=film.part if single else BOTH_HANDS, joint="hand")
        x0 = 0 if single else HALF[film.part] * hand.shape[1]
        as_shown = single or film.laterality != film.part[0]  # a picture of the other side has its thumb in the middle already
        hands.array[row_of[key], :, x0 : x0 + hand.shape[1]] = hand if as_shown else hand[:, ::-1]
    more = [f"... and {len(faults) - SHOWN} more"] * (len(faults) > SHOWN)
    print("\n".join(faults[:SHOWN] + more) or "every film cut", flush=True)
    counts = {"films": len(rois.index), "films_left_out": len(faults), "hands": len(hands.index)}
    return counts, rois.close() + hands.close()


def run() -> None:
    """Verb: cut the films of one prepared set."""
    args = members.parser(__doc__).parse_args()
    for name, c in members.load(Films, args):
        films = tables.FILMS.read(paths.films(args.data))
        folder = paths.run_dir(args.data, 2, name)
        made = manifest.Run(folder, c, [paths.films(args.data)], args.force)
        if not made.begin():
            continue
        single = (paths.work(args.data) / "bone_age.parquet").is_file()
        half = set() if single else half_pairs(films, tables.SITES.read(paths.sites(args.data)))
        counts, outputs = cut_all(films, c, folder, single, half)
        if not counts["films"]:
            raise UserError(f"no film of {args.data} could be read; see the lines above")
        print(f"{name}: {counts['films']} films, {counts['films_left_out']} left out, {counts['hands']} pictures of hands")
        made.finish(outputs, counts)


if __name__ == "__main__":
    cli.main(run)
