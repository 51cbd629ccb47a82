"""Cut whole films, without any joint box: each limb's region of interest, and both hands side by side.

`cut_all` writes into a run's folder

    rois.npy   (n films, H, W) uint8: the limb's box, resized without keeping its aspect, right limbs mirrored to left, grey
               levels stretched
    rois.parquet   its index; x0_px .. y1_px: the box in the film's upright, un-mirrored pixels
    hands.npy  (n patients, px, px) uint8: both hands' films as on one bilateral film (Bo et al. 2024 read those): the right
               hand on the left half, both mirrored, so that the thumbs meet; a missing hand leaves its half black. Two films
               and one film of both hands give the same picture, because each hand is a separate frame of its file. A patient
               with one total of both hands but a film of only one has no picture: it would not show what the total counts
    hands.parquet  its index, part HANDS. In a set of bone ages: one film per picture, part is the film's

A film that is missing or cannot be read has no row in rois and leaves its half black; it is counted and named.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from ra import paths, training_log
from ra.anatomy import BOTH_HANDS, TOTAL, limb
from ra.config import UserError
from stage2_score import picture_array
from stage2_score.config import WholeFilms
from stage2_score.parallel import cores
from stage2_score.picture_array import INDEX, PictureArray

ROI = ["x0_px", "y0_px", "x1_px", "y1_px"]
ROI_INDEX = [*INDEX, "laterality", *ROI]
HALF = {"RH": 0, "LH": 1}  # which half of a bilateral film, as seen by a reader who faces the patient


def centre_file(data: str) -> Path:
    """The joint boxes from which whole-film members learn: those that came with the set, else the detector's out-of-fold ones."""
    truth = paths.truth_boxes(data)
    return truth if truth.is_file() else paths.boxes(data, "yolo", "oof")


def stretch_greys(pixels: np.ndarray, settings: WholeFilms) -> np.ndarray:
    """uint8 pixels stretched between two percentiles of their greys, so that films of different exposure look alike."""
    from ra.imaging import intensity

    low, high = np.percentile(pixels[::4, ::4], [settings.low_percentile, settings.high_percentile])
    return intensity.stretch_table(low, high)[pixels]


def resize(pixels: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Pixels at another size: averaged when shrinking, interpolated when growing."""
    import cv2

    shrinks = width_px * height_px < pixels.size
    return cv2.resize(pixels, (width_px, height_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def cut_roi(grey: np.ndarray, laterality: str, settings: WholeFilms) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """The limb's canonical picture (H, W) of a film (h, w), and its box in the film's pixels (whole numbers)."""
    from stage2_score.limb_region import limb_box

    x0, y0, x1, y1 = (round(v) for v in limb_box(grey))
    picture = resize(stretch_greys(grey[y0:y1, x0:x1], settings), settings.roi_width_px, settings.roi_height_px)
    if laterality == "R":
        picture = np.ascontiguousarray(picture[:, ::-1])
    return picture, (float(x0), float(y0), float(x1), float(y1))


def half_pairs(films: pd.DataFrame, sites: pd.DataFrame) -> set[str]:
    """Patients with one total of both hands but a film of only one: their picture would not show what the total counts."""
    with_total = sites[(sites.part == BOTH_HANDS) & (sites.site == TOTAL)].patient_id
    n_hands = films[films.part.map(limb) == "hand"].groupby("patient_id").part.nunique()
    return set(n_hands.index[(n_hands == 1) & n_hands.index.isin(with_total)])


def _cut_row(film_row: pd.Series, settings: WholeFilms, one_hand: bool) -> tuple | str:
    """(ROI, its box, the hand's film for `hands` or None for a foot), or a sentence that explains why there is no picture."""
    from ra.imaging import film

    try:
        grey = film.load(film_row)
    except (UserError, OSError) as error:
        return f"film {film_row.film_id} cannot be used ({error}); its sites stay missing"
    width = settings.hands_px if one_hand else settings.hands_px // 2
    hand = resize(stretch_greys(grey, settings), width, settings.hands_px) if limb(film_row.part) == "hand" else None
    return *cut_roi(grey, film_row.laterality, settings), hand


def _cut(films: pd.DataFrame, settings: WholeFilms, one_hand: bool) -> Iterator[tuple[pd.Series, tuple | str]]:
    """Each film's row with the result of _cut_row, in order; several films are cut at a time."""
    rows = [row for _, row in films.iterrows()]
    with ThreadPoolExecutor(cores()) as pool:
        results = pool.map(lambda row: _cut_row(row, settings, one_hand), rows)
        yield from training_log.progress(zip(rows, results, strict=True), "cutting films", total=len(rows))


def cut_all(
    films: pd.DataFrame, settings: WholeFilms, folder: Path, one_hand: bool, without_hands: set[str] = frozenset()
) -> tuple[dict, list[Path]]:
    """Cut every film into `folder`; returns counts and the files written.

    one_hand: one hand per picture of `hands`; without_hands: patients who get no picture there (half_pairs).
    """
    import cv2

    cv2.setNumThreads(1)  # one thread per film, several films at a time
    hand_films = films[(films.part.map(limb) == "hand") & ~films.patient_id.isin(without_hands)]
    n_hands = len(hand_films) if one_hand else hand_films.patient_id.nunique()
    roi_shape = (len(films), settings.roi_height_px, settings.roi_width_px)
    faults: list[str] = []
    row_of: dict[str, int] = {}  # row of `hands` of each patient, or of each film with one hand per picture
    with ExitStack() as stack:
        rois = stack.enter_context(picture_array.writing(folder, "rois", roi_shape, ROI_INDEX))
        hands_shape = (n_hands, settings.hands_px, settings.hands_px)
        hands = stack.enter_context(picture_array.writing(folder, "hands", hands_shape, INDEX))
        for film, result in _cut(films, settings, one_hand):
            if isinstance(result, str):
                faults.append(result)
                continue
            common = {"film_id": film.film_id, "patient_id": film.patient_id, "split": film.split, "box_source": "none"}
            picture, box, hand = result
            place = {"part": film.part, "laterality": film.laterality} | dict(zip(ROI, box, strict=True))
            rois.add(picture, **common, **place, joint=limb(film.part))
            if hand is not None and film.patient_id not in without_hands:
                _add_hand(hands, row_of, film, hand, common, one_hand)
    picture_array.print_faults(faults)
    counts = {"films": len(rois.index), "films_left_out": len(faults), "hands": len(hands.index)}
    return counts, picture_array.files(folder, "rois", "hands")


def _add_hand(
    hands: PictureArray, row_of: dict[str, int], film: pd.Series, hand: np.ndarray, common: dict[str, str], one_hand: bool
) -> None:
    """Put a hand (px, px or px / 2) into its picture; the first hand of a patient also adds the index row."""
    key = film.film_id if one_hand else film.patient_id
    if key not in row_of:
        row_of[key] = hands.add(**common, part=film.part if one_hand else BOTH_HANDS, joint="hand")
    x0 = 0 if one_hand else HALF[film.part] * hand.shape[1]
    unmirrored = one_hand or film.laterality != film.part[0]  # a picture of the other side has its thumb in the middle already
    hands.pixels[row_of[key], :, x0 : x0 + hand.shape[1]] = hand if unmirrored else hand[:, ::-1]
