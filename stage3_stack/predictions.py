"""What a run of stage 2 believes, as arrays over a set's patients: one reader for every kind of member.

A Scores table may hold rows of several kinds; `_kinds` tells them apart by part and site. Rows that the stack has no use for
(percentages of Ratingen members, say) are left alone.
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
from ra.schema import ContractError
from ra.tables import PROBABILITIES

MOMENTS = ("elog", "grade", "any", "spread")  # E[L(y)], E[y], P(y > 0), SD(y)
SITE_OF = {(s.part, s.site): j for j, s in enumerate(SITES)}
FILM_OF = {(part, finding): i for i, (part, finding) in enumerate((p, f) for p in PARTS for f in FINDINGS)}
N_CLASSES = 10  # of severity (Bo, section 2.2)


def _ratingen_sites() -> dict[tuple[str, str], list[int]]:
    """(part, Ratingen joint) -> its erosion sites; the wrist is one joint of six sites."""
    out: dict[tuple[str, str], list[int]] = {}
    for j, s in enumerate(SITES):
        if s.finding == "erosion":
            out.setdefault((s.part, "wrist" if s.joint.startswith("wrist") else s.joint), []).append(j)
    return out


RATINGEN_SITES = _ratingen_sites()


@dataclass
class Member:
    """What a member predicts for n patients; what it does not predict is None, a missing film is NaN.

    belief (n, 86, 11) distributions over grades, moments (n, 86, 4) and template (n, 86; the box was the template's) of a joint
    member; films (n, 8) part totals of a whole-film member; hands (n,) the total of both hands, 0..280; severity (n, 10)
    probabilities of the ordered classes; ratingen (n, 86, 4) moments of a joint's Ratingen grade at its erosion sites, on the
    site's own scale (NaN at narrowing).
    """

    name: str
    moments: np.ndarray | None = None
    template: np.ndarray | None = None
    films: np.ndarray | None = None
    hands: np.ndarray | None = None
    severity: np.ndarray | None = None
    ratingen: np.ndarray | None = None
    belief: np.ndarray | None = None
    stage: int = 2  # whose run it is


def load_member(data: str, run: str, patients: pd.Index, n_train: int, stage: int = 2) -> Member:
    """Out-of-fold rows of the training patients (the first n_train), and the mean over fold models of the test rows."""
    splits = (("oof", patients[:n_train]), ("test", patients[n_train:]))
    table = pd.concat(_read(paths.scores(data, stage, run, split), wanted) for split, wanted in splits if len(wanted))
    row, n, out = patients.get_indexer(table.patient_id), len(patients), Member(run, stage=stage)
    for kind, use in _kinds(table).items():
        if use.any():
            vars(out).update(READ[kind](table[use], row[use], n))
    return out


def joined(first: Member, n: int, second: Member) -> Member:
    """What a run says of the first n patients of one set, then of all of another."""
    out = Member(first.name, stage=first.stage)
    for name in (field.name for field in fields(Member) if field.name not in ("name", "stage")):
        ours, theirs = getattr(first, name), getattr(second, name)
        if (ours is None) != (theirs is None):
            raise UserError(f"run {first.name} says nothing of {name} in one of the two sets; apply it again")
        setattr(out, name, None if ours is None else np.concatenate([ours[:n], theirs]))
    return out


def _read(path: Path, wanted: pd.Index) -> pd.DataFrame:
    """Rows of the wanted patients; ContractError where one has none, or an out-of-fold row is there twice."""
    table = tables.SCORES.read(path)
    lacking = wanted.difference(table.patient_id.unique())
    if len(lacking):
        raise ContractError(f"{path}: {len(lacking)} patients have no row, the first is {lacking[0]}; predict again")
    table = table[table.patient_id.isin(wanted)]
    if path.stem == "oof":
        tables.check_coverage(table, table[["patient_id", "part", "site", "finding"]], str(path))
    return table


def _kinds(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """kind of row -> which rows are of it."""
    part, total, hands = table.part.isin(PARTS), table.site == TOTAL, table.part == BOTH_HANDS
    known = [key in SITE_OF for key in zip(table.part, table.site, strict=True)]
    masks = {
        "sites": np.array(known, dtype=bool),
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
        "belief": mean[..., 1:],
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
    """A joint's grade 0..5 stands for each of its erosion sites; a foot's counts twice, as its two sides do in SvdH 0..10."""
    joint = table.site.str.removeprefix(RATINGEN)
    sites = [RATINGEN_SITES[key] for key in zip(table.part, joint, strict=True)]
    times = np.array([2 if limb(part) == "foot" else 1 for part in table.part])
    p, wide = table[list(PROBABILITIES[:6])].to_numpy(), np.full((len(table), len(PROBABILITIES)), np.nan)
    wide[~np.isnan(p[:, 0])] = 0.0
    for k in range(p.shape[1]):
        wide[np.arange(len(table)), times * k] = p[:, k]
    repeat = np.array([len(s) for s in sites])
    values = np.repeat(np.column_stack([times * table.pred.to_numpy(), wide]), repeat, axis=0)
    mean = _mean(values, np.repeat(row, repeat), np.concatenate(sites), (n, len(SITES)))
    return {"ratingen": moments_of(mean[..., 0], mean[..., 1:])}


READ = {"sites": _sites, "films": _films, "hands": _hands, "severity": _severity, "ratingen": _ratingen}


def _column(table: pd.DataFrame, places: dict[tuple[str, str], int], second: str) -> np.ndarray:
    return np.array([places[key] for key in zip(table.part, table[second], strict=True)])


def _mean(values: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(rows, v) scattered to (*shape, v), the mean over repeated cells (fold models) of what is not NaN."""
    flat = row * shape[1] + column
    total, count = (np.zeros((shape[0] * shape[1], values.shape[1])) for _ in range(2))
    np.add.at(total, flat, np.nan_to_num(values))
    np.add.at(count, flat, ~np.isnan(values))
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0).reshape(*shape, -1)


def moments_of(pred: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(n, 86, 4) MOMENTS of distributions p (n, 86, 11); a member without distributions gives L(pred) and pred alone."""
    grade = np.arange(p.shape[-1])
    known = ~np.isnan(p[..., 0])
    q = np.where(known[..., None], np.nan_to_num(p), np.nan)
    elog, mean = q @ log_score(grade), q @ grade
    spread = np.sqrt(np.maximum(q @ np.square(grade) - np.square(mean), 0))
    return np.stack([np.where(known, elog, log_score(pred)), np.where(known, mean, pred), 1 - p[..., 0], spread], axis=-1)
