"""How far joint boxes lie from where the joints are, in a set that has boxes of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation.bootstrap import ratio, resample
from evaluation.statistic import Statistic
from ra import paths, tables
from ra.anatomy import LIMBS, limb
from ra.boxes import error_frac

NEAR = 0.02  # of the film's long side


def statistics(data: str, run: str, section: str) -> list[Statistic]:
    """Of a run of stage 1, per split and limb: joints within 2 % of the film's long side, and those that the template placed.

    Both percent, with intervals over resampled persons. Only the second where the set has no boxes of its own.
    """
    films = tables.FILMS.read(paths.films(data))
    out = []
    for split in ("oof", "test"):
        path = paths.boxes(data, run, split)
        boxes = tables.BOXES.read(path) if path.is_file() else pd.DataFrame()
        if len(boxes):
            boxes = boxes.merge(films[["film_id", "person_id", "part"]], on="film_id")
            out += _of_split(boxes.assign(limb=boxes.part.map(limb)), _errors(data, boxes, films), split, run, section)
    return out


def _errors(data: str, boxes: pd.DataFrame, films: pd.DataFrame) -> pd.Series | None:
    """Distance from the truth in shares of the film's long side, in the order of boxes; NaN where there is no true box."""
    if not paths.truth_boxes(data).is_file():
        return None
    key = ["film_id", "joint"]
    truth = tables.BOXES.read(paths.truth_boxes(data))
    both = boxes[[*key, "x_px", "y_px"]].merge(truth[key], on=key)  # the order of error_frac
    error = error_frac(both, truth, films[films.film_id.isin(both.film_id)])
    known = pd.Series(error.to_numpy(), index=pd.MultiIndex.from_frame(both[key]))
    return known.reindex(pd.MultiIndex.from_frame(boxes[key]))


def _of_split(boxes: pd.DataFrame, error: pd.Series | None, split: str, run: str, section: str) -> list[Statistic]:
    on_film = (boxes.source != "outside").to_numpy()
    asked = {"placed by the template, %": ((boxes.source == "template").to_numpy(), on_film)}
    if error is not None:
        asked["within 2 % of the long side, %"] = ((error < NEAR).to_numpy(), on_film & error.notna().to_numpy())
    out = []
    for where in LIMBS:
        n = int((on_film & (boxes.limb == where).to_numpy()).sum())
        out += [Statistic(section, "joints", split, run, where, n, n=n, unit="joints", digits=0)] * (n > 0)
        for name, (yes, counted) in asked.items():
            own = counted & (boxes.limb == where).to_numpy()
            if own.any():
                draws = resample(boxes.person_id.to_numpy()[own])
                value = draws.estimate(100 * ratio(draws.sums(yes[own]), draws.sums(np.ones(own.sum()))))
                out.append(Statistic(section, name, split, run, where, *value, n=int(own.sum()), unit="joints", digits=1))
    return out
