"""How well joint boxes are localised: boxes close to the true box, if the set came with true boxes, and template boxes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation import section_ids
from evaluation.bootstrap import ratio, resample
from evaluation.statistic import Statistic
from ra import paths, tables
from ra.anatomy import LIMBS, limb
from ra.boxes import error_frac

SECTION = section_ids.FILMS
NEAR = 0.02  # share of the film's long side


def statistics(data: str, run: str) -> list[Statistic]:
    """Per split and limb of a run of stage 1: joints within 2 % of the film's long side, and joints placed by the template.

    Both are percentages with intervals over resampled persons; the first only if the set came with true boxes.
    """
    films = tables.FILMS.read(paths.films(data))
    out = []
    for split in ("oof", "test"):
        path = paths.boxes(data, run, split)
        boxes = tables.BOXES.read(path) if path.is_file() else pd.DataFrame()
        if len(boxes):
            boxes = boxes.merge(films[["film_id", "person_id", "part"]], on="film_id")
            out += _of_split(boxes.assign(limb=boxes.part.map(limb)), _errors(data, boxes, films), split, run)
    return out


def _errors(data: str, boxes: pd.DataFrame, films: pd.DataFrame) -> pd.Series | None:
    """(boxes,) distance from the true box as a share of the film's long side, NaN if a box has none; None if the set has none."""
    if not paths.truth_boxes(data).is_file():
        return None
    key = ["film_id", "joint"]
    truth = tables.BOXES.read(paths.truth_boxes(data))
    both = boxes[[*key, "x_px", "y_px"]].merge(truth[key], on=key)  # error_frac keeps this order
    error = error_frac(both, truth, films[films.film_id.isin(both.film_id)])
    by_box = pd.Series(error.to_numpy(), index=pd.MultiIndex.from_frame(both[key]))
    return by_box.reindex(pd.MultiIndex.from_frame(boxes[key]))


def _of_split(boxes: pd.DataFrame, error: pd.Series | None, split: str, run: str) -> list[Statistic]:
    on_film = (boxes.source != "outside").to_numpy()
    measures = {"placed by the template, %": ((boxes.source == "template").to_numpy(), on_film)}  # name -> (hits, joints counted)
    if error is not None:
        measures["within 2 % of the long side, %"] = ((error < NEAR).to_numpy(), on_film & error.notna().to_numpy())
    out = []
    for where in LIMBS:
        of_limb = (boxes.limb == where).to_numpy()
        n = int((on_film & of_limb).sum())
        if n:
            out.append(Statistic(SECTION, "joints", split, run, where, n, n=n, unit="joints", digits=0))
        for name, (hit, counted) in measures.items():
            rows = counted & of_limb
            if rows.any():
                draws = resample(boxes.person_id.to_numpy()[rows])
                values = draws.estimate(100 * ratio(draws.sums(hit[rows]), draws.sums(np.ones(rows.sum()))))
                out.append(Statistic(SECTION, name, split, run, where, *values, n=int(rows.sum()), unit="joints", digits=1))
    return out
