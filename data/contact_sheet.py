"""Twenty films of a set on one sheet with their boxes, for a person to check before the set is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from ra import anatomy, atomic
from ra.imaging import film

COLUMNS, ROWS = 5, 4
CELL_PX, CAPTION_PX, GAP_PX = (320, 400), 40, 8  # cell of a film (width, height), caption below it, gap between cells
COLOURS = {"truth": (90, 220, 120), "model": (90, 170, 255), "template": (255, 170, 60), "outside": (150, 150, 150)}
INK, DIM, GROUND = (235, 235, 235), (150, 150, 150), (16, 16, 18)


def write(
    films: pd.DataFrame, boxes: pd.DataFrame | None, sites: pd.DataFrame | None, redact: Callable[[str], str], path: Path
) -> None:
    """Write the sheet as PNG. redact: removes patients' identities from a caption."""
    sums = grade_sums(films, sites)
    shown = films.loc[choose(films, sums)]
    boxes_by_film = {} if boxes is None else dict(list(boxes[boxes.film_id.isin(shown.film_id)].groupby("film_id")))
    step = np.add(CELL_PX, (GAP_PX, CAPTION_PX + GAP_PX))
    sheet = Image.new("RGB", tuple(int(v) for v in step * [COLUMNS, ROWS] + GAP_PX), GROUND)
    for number, row in enumerate(shown.itertuples()):
        grade_sum = "" if np.isnan(sums[row.Index]) else f", sum {sums[row.Index]:g}"
        lines = (redact(row.film_id), f"{row.part} {row.split}{grade_sum}, {row.width_px} x {row.height_px} px")
        left, top = (int(v) for v in step * [number % COLUMNS, number // COLUMNS] + GAP_PX)
        sheet.paste(panel(row, boxes_by_film.get(row.film_id), lines), (left, top))
    with atomic.replacing(path) as temporary:
        sheet.save(temporary, "PNG", compress_level=3)


def grade_sums(films: pd.DataFrame, sites: pd.DataFrame | None) -> pd.Series:
    """Each film's sum of scored grades, else its patient's total, else NaN. Indexed as films."""
    if sites is None:
        return pd.Series(np.nan, films.index)
    scored = sites[sites.site != anatomy.TOTAL].groupby(["patient_id", "part"]).target.sum(min_count=1)
    total = sites[(sites.site == anatomy.TOTAL) & (sites.finding == anatomy.TOTAL)].groupby("patient_id").target.max()
    by_film = pd.Series(scored.reindex(pd.MultiIndex.from_frame(films[["patient_id", "part"]])).to_numpy(), films.index)
    return by_film.fillna(films.patient_id.map(total))


def choose(films: pd.DataFrame, sums: pd.Series) -> list:
    """Index labels of twenty films (or all): every part and split in turn, each from the healthiest to the most damaged film."""
    shuffled = films.sample(frac=1, random_state=0).sort_values(["split", "part"], ascending=[False, True], kind="stable")
    queues = []
    for _, group in shuffled.groupby(["split", "part"], sort=False):
        labels = list(sums[group.index].sort_values(kind="stable", na_position="last").index)
        spread = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), COLUMNS * ROWS)).round().astype(int))
        queues.append(
            [labels[k] for k in (*spread[::-2], *spread[-2::-2])]
        )  # every second one from the highest sum down, then the others
    in_turn = [queue[k] for k in range(max(map(len, queues))) for queue in queues if k < len(queue)]
    picked = in_turn[: COLUMNS * ROWS]
    return list(films.loc[picked].sort_values(["split", "part", "film_id"], ascending=[False, True, True]).index)


def panel(row: tuple, boxes: pd.DataFrame | None, lines: tuple[str, str]) -> Image.Image:
    """One film scaled to its cell, with boxes coloured by their source and a caption of two lines."""
    width, height = CELL_PX
    cell = Image.new("RGB", (width, height + CAPTION_PX), GROUND)
    draw = ImageDraw.Draw(cell)
    try:
        grey = film.load(row)
    except film.FilmError:
        grey = np.zeros((height, width), np.uint8)  # the file changed since it was read
    factor = min(width / grey.shape[1], height / grey.shape[0])
    size = tuple(max(1, round(n * factor)) for n in grey.shape[::-1])
    left, top = (width - size[0]) // 2, height - size[1]
    cell.paste(Image.fromarray(grey).resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR), (left, top))
    for box in () if boxes is None else boxes.itertuples():
        x, y, w, h = (v * factor for v in (box.x_px + 0.5, box.y_px + 0.5, box.w_px, box.h_px))
        corners = (left + x - w / 2, top + y - h / 2, left + x + w / 2, top + y + h / 2)
        draw.rectangle(corners, outline=COLOURS[box.source], width=1)
    for text, colour, y, points in ((lines[0], INK, 3, 15), (lines[1], DIM, 21, 13)):
        font = ImageFont.load_default(points)
        fits = next(n for n in range(len(text), 0, -1) if n == 1 or draw.textlength(text[:n], font) <= width - 4)
        draw.text((2, height + y), text[:fits], colour, font)
    return cell
