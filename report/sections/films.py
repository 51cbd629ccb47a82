"""The films and where stage 1 found their joints: typical ones, the least sure ones, and how often it is right."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation import localisation
from evaluation.raters import SPLITS, Raters
from evaluation.statistic import Statistic
from ra import paths, tables
from ra.anatomy import PARTS
from ra.config import UserError
from ra.imaging import film
from report import tiles, upstream_runs
from report.blocks import Block, Gallery, Picture, Section, Table, Text

ID, TITLE = "films", "Where the joints were found"
COLOURS = {"model": (74, 158, 255), "template": (255, 160, 50), "outside": (150, 150, 150), "truth": (80, 220, 120)}
LIMBS = {"hand": "hands", "foot": "feet"}
GROWN = 1.6  # times a box's side: how far around the joints a film is drawn
FILM_PX = 440  # width of a film's tile, twice what is shown
WORST = 6
BOXES = (
    "Blue: found by the detector of the fold that never saw the patient. Orange: not seen, placed by the template of a hand "
    "or a foot. Grey: beyond the film's edge; such a joint gets no score. A green dot, where the set has boxes of its own: "
    "the true centre. Only the surroundings of the joints are drawn, the rest is black, so that little of what is "
    "written on a film is passed on with this page. Quality is the detector's own: its confidence over the film's joints."
)
SHARES = (
    "Percent of the joints, with 95 % intervals over resampled people. Within 2 %: the box's centre lies within 2 % of the "
    "film's long side from the true one; this can only be told where the set has boxes of its own."
)


def make(raters: Raters) -> Section:
    """Boxes on films, and the share of joints found."""
    folder = upstream_runs.detector(raters)
    if folder is None:
        return Section(ID, TITLE, "No detector looked for the joints of this set: its own boxes, or whole films, were read.")
    statistics = localisation.statistics(raters.data, folder.name)
    blocks: list[Block] = [_table(statistics)] if statistics else []
    blocks.append(Text(BOXES))
    chosen, boxes = choose(_films(raters.data, folder.name)), _boxes(raters.data, folder.name)
    quality, lost = [], 0
    for title, rows in (
        ("One of each part, of middling quality", chosen[~chosen.worst]),
        ("The least sure", chosen[chosen.worst]),
    ):
        tiles_of = [_tile(row, boxes) for row in rows.itertuples()]
        shown = [tile for tile in tiles_of if tile]
        lost += len(tiles_of) - len(shown)
        quality += [one for _, one in shown]
        if shown:
            blocks.append(Gallery(title, "", [picture for picture, _ in shown]))
    if lost:
        blocks.append(Text("Some of the films can no longer be read from where they were prepared, and are not shown.", "note"))
    return Section(ID, TITLE, _lead(statistics), blocks, quality)


def _lead(statistics: list[Statistic]) -> str:
    near = [one for one in statistics if one.name.startswith("within")]
    if not near:
        return "The set has no joint boxes of its own: whether joints were found can be looked at, not measured."
    said = "; ".join(f"{LIMBS[one.scope]} {SPLITS[one.split]} {one.text} %" for one in near)
    return f"Joints whose centre was found within 2 % of the film's long side: {said}."


def _films(data: str, run: str) -> pd.DataFrame:
    """Films with their quality (0..1, the detector's confidence in the film as a whole)."""
    found = [paths.run_dir(data, 1, run) / f"quality_{split}.csv" for split in SPLITS]
    quality = [pd.read_csv(path, dtype={"film_id": str}) for path in found if path.is_file()]
    films = tables.FILMS.read(paths.films(data))
    return films.merge(pd.concat(quality), on="film_id") if quality else films.assign(quality=np.nan)


def choose(films: pd.DataFrame, worst: int = WORST) -> pd.DataFrame:
    """Films (film_id, part, quality) with a column `worst`: of each part the one of median quality, then the lowest of all."""
    ordered = films.sort_values(["quality", "film_id"], kind="stable")
    middle = [own.iloc[[len(own) // 2]] for part in PARTS if len(own := ordered[ordered.part == part])]
    typical = pd.concat(middle) if middle else ordered.iloc[:0]
    low = ordered[ordered.quality.notna() & ~ordered.film_id.isin(typical.film_id)].head(worst)
    return pd.concat([typical.assign(worst=False), low.assign(worst=True)], ignore_index=True)


def _boxes(data: str, run: str) -> pd.DataFrame:
    """The run's boxes, and the set's own as further rows of source `truth`."""
    files = [paths.boxes(data, run, split) for split in SPLITS] + [paths.truth_boxes(data)]
    return pd.concat([tables.BOXES.read(path) for path in files if path.is_file()], ignore_index=True)


def _tile(row: object, boxes: pd.DataFrame) -> tuple[Picture, Statistic] | None:
    """A film with its boxes, and its quality; None for one that cannot be read any more."""
    own = boxes[boxes.film_id == row.film_id]
    try:
        grey = film.load(row)
    except (UserError, OSError):
        return None
    if own.empty:
        return None
    quality = Statistic(ID, "quality", "all", "detector", row.film_id, float(row.quality), n=1, unit="films", digits=2)
    caption = f"{'out of fold' if row.split == 'train' else 'test'}, quality {quality.text}"
    picture = Picture(str(row.film_id), caption, tiles.webp(drawn(grey, own)), f"{row.part} with its joint boxes")
    return picture, quality


def drawn(grey: np.ndarray, boxes: pd.DataFrame) -> np.ndarray:
    """uint8 (h, FILM_PX, 3): the joints' surroundings of a film (H, W) with boxes coloured by source; the rest is black."""
    from PIL import Image, ImageDraw

    low, high = window(boxes, grey.shape)
    scale = FILM_PX / (high - low)[0]
    size = (FILM_PX, max(1, round((high - low)[1] * scale)))
    seen = np.where(surroundings(boxes, grey.shape), grey, 0)[low[1] : high[1], low[0] : high[0]]
    image = Image.fromarray(seen).resize(size, Image.Resampling.LANCZOS).convert("RGB")
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
    """(H, W) whether a pixel of a film lies in the hull of the boxes on it, each made wider by GROWN."""
    import cv2

    centre, half = _places(boxes)
    corners = np.concatenate([centre + half * GROWN * sign for sign in ((-1, -1), (-1, 1), (1, -1), (1, 1))])
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(corners.round().astype(np.int32)), 1)
    return mask.astype(bool)


def _places(boxes: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Centres and half sides (n, 2) px of the boxes that are on the film."""
    seen = boxes[~boxes.source.isin(["outside", "truth"])]
    seen = seen if len(seen) else boxes
    return seen[["x_px", "y_px"]].to_numpy(float), seen[["w_px", "h_px"]].to_numpy(float) / 2


def window(boxes: pd.DataFrame, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) where these surroundings begin and end, in whole pixels of a film (H, W)."""
    centre, half = _places(boxes)
    end = np.array(shape[::-1])
    low = np.clip(np.floor((centre - half * GROWN).min(axis=0)), 0, end - 2).astype(int)
    return low, np.clip(np.ceil((centre + half * GROWN).max(axis=0)), low + 2, end).astype(int)


def _table(statistics: list[Statistic]) -> Table:
    names = list(dict.fromkeys(one.name for one in statistics))
    rows = []
    for split, where in dict.fromkeys((one.split, one.scope) for one in statistics):
        own = {one.name: one for one in statistics if (one.split, one.scope) == (split, where)}
        rows.append([f"{LIMBS[where]}, {SPLITS[split]}", *(own.get(name) for name in names)])
    return Table(SHARES, ["", *names], rows)
