"""Joint detection: films with the boxes of stage 1, typical and uncertain ones, and how often a box is on its joint."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation import localisation, section_ids
from evaluation.raters import SPLITS, Raters
from evaluation.statistic import Statistic
from ra import paths, tables
from ra.anatomy import PARTS
from ra.config import UserError
from ra.imaging import film
from report import tiles, upstream_runs
from report.blocks import Block, Gallery, Picture, Section, Table, Text

ID, TITLE = section_ids.FILMS, "Joint detection"
COLOURS = {"model": (74, 158, 255), "template": (255, 160, 50), "outside": (150, 150, 150), "truth": (80, 220, 120)}
LIMBS = {"hand": "hands", "foot": "feet"}
MARGIN = 1.6  # a film is shown around its joints, in boxes enlarged by this factor
FILM_PX = 440  # width of a film's tile, twice its width on the page
N_WORST = 6
MISSING = "No detector was used for this set: its own boxes were cropped, or whole films were scored."
NO_TRUE_BOXES = "The set has no joint boxes of its own, so the accuracy of the detection can be seen below but not measured."
UNREADABLE = "Some films are not shown because their files in the raw folder of the set can no longer be read."
BOXES = (
    "Blue: detected by the network of the fold that was trained without the patient. Orange: not detected, placed by the "
    "template of a hand or a foot. Grey: beyond the film's edge; such a joint is not scored. A green dot, in sets with boxes "
    "of their own: the true centre. Only the surroundings of the joints are shown, the rest is black, so that little of what "
    "is written on a film is passed on with this page. Quality is the detector's confidence, averaged over the film's joints."
)
SHARES = (
    "Percent of the joints, with 95 % intervals over resampled persons. Within 2 %: the box's centre lies within 2 % of the "
    "film's long side from the true centre, which is known only in sets with boxes of their own."
)


def make(raters: Raters) -> Section:
    """Accuracy of the boxes, and films with their boxes."""
    folder = upstream_runs.detector(raters)
    if folder is None:
        return Section(ID, TITLE, MISSING)
    statistics = localisation.statistics(raters.data, folder.name)
    blocks: list[Block] = [_table(statistics)] if statistics else []
    blocks.append(Text(BOXES))
    chosen, boxes = choose(_films(raters.data, folder.name)), _boxes(raters.data, folder.name)
    qualities: list[Statistic] = []
    any_unreadable = False
    for title, films in (
        ("One film of each part, of median quality", chosen[~chosen.worst]),
        ("Films of lowest quality", chosen[chosen.worst]),
    ):
        film_tiles = [_tile(row, boxes) for row in films.itertuples()]
        any_unreadable |= None in film_tiles
        readable = [tile for tile in film_tiles if tile]
        qualities += [quality for _, quality in readable]
        if readable:
            blocks.append(Gallery(title, "", [picture for picture, _ in readable]))
    if any_unreadable:
        blocks.append(Text(UNREADABLE, "note"))
    return Section(ID, TITLE, _lead(statistics), blocks, qualities)


def _lead(statistics: list[Statistic]) -> str:
    near = [statistic for statistic in statistics if statistic.name.startswith("within")]
    if not near:
        return NO_TRUE_BOXES
    shares = "; ".join(f"{LIMBS[share.scope]} {SPLITS[share.split]} {share.text} %" for share in near)
    return f"Joints whose box centre lies within 2 % of the film's long side from the true centre: {shares}."


def _films(data: str, run: str) -> pd.DataFrame:
    """FILMS rows with a column quality: the detector's confidence in the film as a whole, 0..1, NaN where not recorded."""
    files = [paths.run_dir(data, 1, run) / f"quality_{split}.csv" for split in SPLITS]
    qualities = [pd.read_csv(path, dtype={"film_id": str}) for path in files if path.is_file()]
    films = tables.FILMS.read(paths.films(data))
    return films.merge(pd.concat(qualities), on="film_id") if qualities else films.assign(quality=np.nan)


def choose(films: pd.DataFrame, n_worst: int = N_WORST) -> pd.DataFrame:
    """From films (film_id, part, quality), each part's film of median quality, then the n_worst lowest, marked in `worst`."""
    ordered = films.sort_values(["quality", "film_id"], kind="stable")
    medians = [of_part.iloc[[len(of_part) // 2]] for part in PARTS if len(of_part := ordered[ordered.part == part])]
    typical = pd.concat(medians) if medians else ordered.iloc[:0]
    lowest = ordered[ordered.quality.notna() & ~ordered.film_id.isin(typical.film_id)].head(n_worst)
    return pd.concat([typical.assign(worst=False), lowest.assign(worst=True)], ignore_index=True)


def _boxes(data: str, run: str) -> pd.DataFrame:
    """The run's boxes, and the set's own boxes as further rows with the source `truth`."""
    files = [paths.boxes(data, run, split) for split in SPLITS] + [paths.truth_boxes(data)]
    return pd.concat([tables.BOXES.read(path) for path in files if path.is_file()], ignore_index=True)


def _tile(row: object, boxes: pd.DataFrame) -> tuple[Picture, Statistic] | None:
    """A film with its boxes, and its quality; None for a film that cannot be read or has no boxes."""
    of_film = boxes[boxes.film_id == row.film_id]
    try:
        grey = film.load(row)
    except (UserError, OSError):
        return None
    if of_film.empty:
        return None
    quality = Statistic(ID, "quality", "all", "detector", row.film_id, float(row.quality), n=1, unit="films", digits=2)
    caption = f"{'out of fold' if row.split == 'train' else 'test'}, quality {quality.text}"
    picture = Picture(str(row.film_id), caption, tiles.webp(overlay(grey, of_film)), f"{row.part} with its joint boxes")
    return picture, quality


def overlay(grey: np.ndarray, boxes: pd.DataFrame) -> np.ndarray:
    """uint8 (h, FILM_PX, 3): a film (H, W) around its joints, with boxes coloured by source; all else is black."""
    from PIL import Image, ImageDraw

    low, high = window(boxes, grey.shape)
    scale = FILM_PX / (high - low)[0]
    size = (FILM_PX, max(1, round((high - low)[1] * scale)))
    masked = np.where(surroundings(boxes, grey.shape), grey, 0)[low[1] : high[1], low[0] : high[0]]
    image = Image.fromarray(masked).resize(size, Image.Resampling.LANCZOS).convert("RGB")
    pen = ImageDraw.Draw(image)
    for box in boxes.itertuples():
        centre = (np.array([box.x_px, box.y_px]) + 0.5 - low) * scale
        if box.source == "truth":
            pen.ellipse((*(centre - 3), *(centre + 3)), fill=COLOURS["truth"])
        else:
            half = np.array([box.w_px, box.h_px]) * scale / 2
            pen.rectangle((*(centre - half), *(centre + half)), outline=COLOURS[box.source], width=2)
    return np.asarray(image)


def surroundings(boxes: pd.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the pixels of a film inside the convex hull of its boxes, each enlarged by MARGIN."""
    import cv2

    centre, half = _centres_and_half_sides(boxes)
    corners = np.concatenate([centre + half * MARGIN * sign for sign in ((-1, -1), (-1, 1), (1, -1), (1, 1))])
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(corners.round().astype(np.int32)), 1)
    return mask.astype(bool)


def _centres_and_half_sides(boxes: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Centres and half sides, (n, 2) px each, of the boxes that lie on the film; of all boxes if none does."""
    on_film = boxes[~boxes.source.isin(["outside", "truth"])]
    on_film = on_film if len(on_film) else boxes
    return on_film[["x_px", "y_px"]].to_numpy(float), on_film[["w_px", "h_px"]].to_numpy(float) / 2


def window(boxes: pd.DataFrame, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) at which the surroundings begin and end, in whole pixels of a film (H, W)."""
    centre, half = _centres_and_half_sides(boxes)
    end = np.array(shape[::-1])
    low = np.clip(np.floor((centre - half * MARGIN).min(axis=0)), 0, end - 2).astype(int)
    return low, np.clip(np.ceil((centre + half * MARGIN).max(axis=0)), low + 2, end).astype(int)


def _table(statistics: list[Statistic]) -> Table:
    names = list(dict.fromkeys(statistic.name for statistic in statistics))
    by_row: dict[tuple[str, str], dict[str, Statistic]] = {}
    for statistic in statistics:
        by_row.setdefault((statistic.split, statistic.scope), {})[statistic.name] = statistic
    rows = [
        [f"{LIMBS[limb]}, {SPLITS[split]}", *(by_name.get(name) for name in names)] for (split, limb), by_name in by_row.items()
    ]
    return Table(SHARES, ["", *names], rows)
