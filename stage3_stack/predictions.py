"""Predictions of a stage-2 run as arrays over a set's patients, for every kind of member.

A Scores table may hold rows of several kinds; `_row_kinds` distinguishes them by part and site. Rows that the stack does not use,
such as the percentages of Ratingen members, are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from ra import paths, tables
from ra.anatomy import BOTH_HANDS, FINDINGS, PARTS, RATINGEN, SEVERITY, SITES, TOTAL, limb
from ra.challenge_scores import log_score
from ra.config import UserError
from ra.table_validation import ContractError
from ra.tables import PROBABILITIES
from stage3_stack.nan_mean import ratio

# Summaries of a predicted distribution over the grades y, and the endings of their feature columns. L(y) = log2(y + 1).
MOMENTS = ("elog", "grade", "any", "spread")  # E[L(y)], E[y], P(y > 0), SD(y)
SITE_OF = {(s.part, s.site): j for j, s in enumerate(SITES)}
FILM_OF = {(part, finding): i for i, (part, finding) in enumerate((p, f) for p in PARTS for f in FINDINGS)}
N_CLASSES = 10  # severity classes (Bo et al. 2024, section 2.2)


def _ratingen_sites() -> dict[tuple[str, str], list[int]]:
    """(part, Ratingen joint) -> its erosion sites; the wrist is one joint of six sites."""
    out: dict[tuple[str, str], list[int]] = {}
    for j, s in enumerate(SITES):
        if s.finding == "erosion":
            out.setdefault((s.part, "wrist" if s.joint.startswith("wrist") else s.joint), []).append(j)
    return out


RATINGEN_SITES = _ratingen_sites()


@dataclass
class MemberPredictions:
    """Predictions of one member for n patients. A quantity that the member does not predict is None; a missing film is NaN.

    A joint member has probabilities (n, 86, 11) of the grades, moments (n, 86, 4), and template (n, 86): 1 where the box was the
    template's. A whole-film member has films (n, 8): part totals. A both-hands member has hands (n,): the total of both hands,
    0..280, or severity (n, 10): probabilities of the ordered classes. A Ratingen member has ratingen (n, 86, 4): moments of a
    joint's Ratingen grade at each of its erosion sites, on the site's scale; NaN at narrowing sites.
    """

    name: str
    moments: np.ndarray | None = None
    template: np.ndarray | None = None
    films: np.ndarray | None = None
    hands: np.ndarray | None = None
    severity: np.ndarray | None = None
    ratingen: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    stage: int = 2  # the stage of the run


def load_member(data: str, run: str, patients: pd.Index, n_train: int, stage: int = 2) -> MemberPredictions:
    """A run's predictions: out of fold for the training patients (the first n_train), else the mean over the fold models."""
    splits = (("oof", patients[:n_train]), ("test", patients[n_train:]))
    table = pd.concat(_read(paths.scores(data, stage, run, split), wanted) for split, wanted in splits if len(wanted))
    row, n, out = patients.get_indexer(table.patient_id), len(patients), MemberPredictions(run, stage=stage)
    for kind, use in _row_kinds(table).items():
        if use.any():
            vars(out).update(PARSERS[kind](table[use], row[use], n))
    return out


def concatenate(first: MemberPredictions, n: int, second: MemberPredictions) -> MemberPredictions:
    """Predictions of one run for the first n patients of one set, followed by those for all patients of another set."""
    out = MemberPredictions(first.name, stage=first.stage)
    for name in (field.name for field in fields(MemberPredictions) if field.name not in ("name", "stage")):
        one, other = getattr(first, name), getattr(second, name)
        if (one is None) != (other is None):
            raise UserError(f"run {first.name} predicts no {name} in one of the two sets; apply it again")
        setattr(out, name, None if one is None else np.concatenate([one[:n], other]))
    return out


def _read(path: Path, patients: pd.Index) -> pd.DataFrame:
    """Rows of the given patients; ContractError for a patient without a row and for an out-of-fold row that appears twice."""
    table = tables.SCORES.read(path)
    lacking = patients.difference(table.patient_id.unique())
    if len(lacking):
        raise ContractError(f"{path}: {len(lacking)} patients have no row, the first is {lacking[0]}; predict again")
    table = table[table.patient_id.isin(patients)]
    if path.stem == "oof":
        tables.check_coverage(table, table[["patient_id", "part", "site", "finding"]], str(path))
    return table


def _row_kinds(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Kind of row -> mask of the rows of that kind."""
    part, total, hands = table.part.isin(PARTS), table.site == TOTAL, table.part == BOTH_HANDS
    is_site = [key in SITE_OF for key in zip(table.part, table.site, strict=True)]
    masks = {
        "sites": np.array(is_site, dtype=bool),
        "films": part & total,
        "hands": hands & total,
        "severity": hands & (table.site == SEVERITY),
        "ratingen": part & table.site.str.startswith(RATINGEN),
    }
    return {kind: np.asarray(mask, dtype=bool) for kind, mask in masks.items()}


def _sites(table: pd.DataFrame, row: np.ndarray, n: int) -> dict[str, np.ndarray]:
    column, shape = _column(table, SITE_OF, "site"), (n, len(SITES))
    mean = _mean(table[["pred", *PROBABILITIES]].to_numpy(), row, column, shape)
    source = (table.box_source == "template").to_numpy(float)[:, None]
    return {
        "probabilities": mean[..., 1:],
        "moments": moments_of(mean[..., 0], mean[..., 1:]),
        "template": _mean(source, row, column, shape)[..., 0],
    }


def _films(table: pd.DataFrame, row: np.ndarray, n: int) -> dict[str, np.ndarray]:
    column = _column(table, FILM_OF, "finding")
    return {"films": _mean(table[["pred"]].to_numpy(), row, column, (n, len(FILM_OF)))[..., 0]}


def _hands(table: pd.DataFrame, row: np.ndarray, n: int) -> dict[str, np.ndarray]:
    return {"hands": _mean(table[["pred"]].to_numpy(), row, np.zeros_like(row), (n, 1))[:, 0, 0]}


def _severity(table: pd.DataFrame, row: np.ndarray, n: int) -> dict[str, np.ndarray]:
    values = table[list(PROBABILITIES[:N_CLASSES])].to_numpy()
    return {"severity": _mean(values, row, np.zeros_like(row), (n, 1))[:, 0]}


def _ratingen(table: pd.DataFrame, row: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """Copies a joint's grade 0..5 to each of its erosion sites; doubled in feet, where SvdH adds two sides of a joint (0..10)."""
    joint = table.site.str.removeprefix(RATINGEN)
    sites = [RATINGEN_SITES[key] for key in zip(table.part, joint, strict=True)]
    factor = np.array([2 if limb(part) == "foot" else 1 for part in table.part])
    p, on_site_scale = table[list(PROBABILITIES[:6])].to_numpy(), np.full((len(table), len(PROBABILITIES)), np.nan)
    on_site_scale[~np.isnan(p[:, 0])] = 0.0
    for k in range(p.shape[1]):
        on_site_scale[np.arange(len(table)), factor * k] = p[:, k]
    n_sites = np.array([len(s) for s in sites])
    values = np.repeat(np.column_stack([factor * table.pred.to_numpy(), on_site_scale]), n_sites, axis=0)
    mean = _mean(values, np.repeat(row, n_sites), np.concatenate(sites), (n, len(SITES)))
    return {"ratingen": moments_of(mean[..., 0], mean[..., 1:])}


# Kind of row -> function (rows of this kind, index of each row's patient, number of patients) -> fields of MemberPredictions.
PARSERS = {"sites": _sites, "films": _films, "hands": _hands, "severity": _severity, "ratingen": _ratingen}


def _column(table: pd.DataFrame, index: dict[tuple[str, str], int], second: str) -> np.ndarray:
    """Array column of each row, by its part and its `second` key (site or finding)."""
    return np.array([index[key] for key in zip(table.part, table[second], strict=True)])


def _mean(values: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Scatters values (rows, v) to (*shape, v); a cell with several rows (fold models) gets the mean of the known ones."""
    flat = row * shape[1] + column
    total, count = (np.zeros((shape[0] * shape[1], values.shape[1])) for _ in range(2))
    np.add.at(total, flat, np.nan_to_num(values))
    np.add.at(count, flat, ~np.isnan(values))
    return ratio(total, count).reshape(*shape, -1)


def moments_of(pred: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(n, 86, 4) MOMENTS of distributions p (n, 86, 11); where p is NaN, only L(pred) and pred are known."""
    grade = np.arange(p.shape[-1])
    known = ~np.isnan(p[..., 0])
    q = np.where(known[..., None], np.nan_to_num(p), np.nan)  # grades above the site's maximum have probability NaN
    elog, mean = q @ log_score(grade), q @ grade
    spread = np.sqrt(np.maximum(q @ np.square(grade) - np.square(mean), 0))
    return np.stack([np.where(known, elog, log_score(pred)), np.where(known, mean, pred), 1 - p[..., 0], spread], axis=-1)
