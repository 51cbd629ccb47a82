"""Twenty films of a set on one sheet, with their boxes: what a person looks at before trusting it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from ra import anatomy
from ra.imaging import film

COLUMNS, ROWS = 5, 4
CELL_PX, CAPTION_PX, GAP_PX = (320, 400), 40, 8  # a film's place (width, height), the lines beneath it, the space between
COLOURS = {"truth": (90, 220, 120), "model": (90, 170, 255), "template": (255, 170, 60), "outside": (150, 150, 150)}
INK, DIM, GROUND = (235, 235, 235), (150, 150, 150), (16, 16, 18)


def write(
    films: pd.DataFrame, boxes: pd.DataFrame | None, sites: pd.DataFrame | None, clean: Callable[[str], str], path: Path
) -> None:
    """The sheet as PNG. clean: takes patients' identities out of a caption."""
    burden = burdens(films, sites)
    shown = films.loc[chosen(films, burden)]
    of_film = {} if boxes is None else dict(list(boxes[boxes.film_id.isin(shown.film_id)].groupby("film_id")))
    step = np.add(CELL_PX, (GAP_PX, CAPTION_PX + GAP_PX))
    sheet = Image.new("RGB", tuple(int(v) for v in step * [COLUMNS, ROWS] + GAP_PX), GROUND)
    for number, row in enumerate(shown.itertuples()):
        grade = "" if np.isnan(burden[row.Index]) else f", sum {burden[row.Index]:g}"
        lines = (clean(row.film_id), f"{row.part} {row.split}{grade}, {row.width_px} x {row.height_px} px")
        left, top = (int(v) for v in step * [number % COLUMNS, number // COLUMNS] + GAP_PX)
        sheet.paste(panel(row, of_film.get(row.film_id), lines), (left, top))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    sheet.save(temporary, "PNG", compress_level=3)
    temporary.replace(path)


def burdens(films: pd.DataFrame, sites: pd.DataFrame | None) -> pd.Series:
    """Each film's sum of scored grades, else its patient's total; NaN where neither is known. Indexed as films."""
    if sites is None:
        return pd.Series(np.nan, films.index)
    scored = sites[sites.site != anatomy.TOTAL].groupby(["patient_id", "part"]).target.sum(min_count=1)
    total = sites[(sites.site == anatomy.TOTAL) & (sites.finding == anatomy.TOTAL)].groupby("patient_id").target.max()
    own = pd.Series(scored.reindex(pd.MultiIndex.from_frame(films[["patient_id", "part"]])).to_numpy(), films.index)
    return own.fillna(films.patient_id.map(total))


def chosen(films: pd.DataFrame, burden: pd.Series) -> list:
    """Index labels of twenty films (or all): every part and split in turn, of each the healthy, the worst and those between."""
    shuffled = films.sample(frac=1, random_state=0).sort_values(["split", "part"], ascending=[False, True], kind="stable")
    queues = []
    for _, group in shuffled.groupby(["split", "part"], sort=False):
        labels = list(burden[group.index].sort_values(kind="stable", na_position="last").index)
        spread = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), COLUMNS * ROWS)).round().astype(int))
        queues.append([labels[k] for k in (*spread[::-2], *spread[-2::-2])])  # the worst first, then down, then those left out
    turns = [queue[k] for k in range(max(map(len, queues))) for queue in queues if k < len(queue)]
    picked = turns[: COLUMNS * ROWS]
    return list(films.loc[picked].sort_values(["split", "part", "film_id"], ascending=[False, True, True]).index)


def panel(row: tuple, boxes: pd.DataFrame | None, lines: tuple[str, str]) -> Image.Image:
    """One film, scaled to its place, with boxes coloured by their source and two lines beneath."""
    width, height = CELL_PX
    cell = Image.new("RGB", (width, height + CAPTION_PX), GROUND)
    draw = ImageDraw.Draw(cell)
    try:
        grey = film.load(row)
    except film.FilmError:
        grey = np.zeros((height, width), np.uint8)  # it changed since it was read
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
