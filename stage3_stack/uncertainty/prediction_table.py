"""A run's predictions as a reading: a row per scored place and total with its state, value, bounds and intervals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ra import paths, tables
from ra.anatomy import ALL_PARTS, BOTH_HANDS, FINDINGS, MAX_BOTH_HANDS, PARTS, SITES, TOTAL, limb
from ra.config import UserError
from stage3_stack import cohort as cohorts
from stage3_stack import outputs, submission
from stage3_stack.cohort import MAX_GRADES, TARGETS, Cohort
from stage3_stack.uncertainty import conformal, prorating, scorability
from stage3_stack.uncertainty import difficulty as clues
from stage3_stack.uncertainty.conformal import Stratum
from stage3_stack.uncertainty.prorating import Total

LIMB = np.array([limb(s.part) for s in SITES])
PART, FINDING = np.array([s.part for s in SITES]), np.array([s.finding for s in SITES])


@dataclass
class Place:
    """One column of a reading: a site or a total, of n patients. clues (n, c); `answer` is what is known of it."""

    part: str
    site: str
    finding: str
    answer: Total
    target: np.ndarray
    clues: np.ndarray

    @property
    def stratum(self) -> str:
        """The kind of place that it is calibrated with: left and right are one."""
        if self.part in (ALL_PARTS, BOTH_HANDS):
            return TOTAL
        return f"{limb(self.part)} {self.finding} {'part' if self.site == TOTAL else 'site'}"


@dataclass(frozen=True)
class Group:
    """Patients of one prepared set, who follow each other in the cohort."""

    split: str
    data: str
    patients: np.ndarray

    @property
    def persons(self) -> np.ndarray:
        people = tables.SITES.read(paths.sites(self.data)).drop_duplicates("patient_id").set_index("patient_id").person_id
        return people.loc[self.patients].to_numpy()

    def scores(self, run: str) -> pd.DataFrame:
        """What a run says of them, in the challenge's columns."""
        table = outputs.read_scores(paths.scores(self.data, 3, run, self.split))
        return table.reindex(index=self.patients, columns=list(submission.COLUMNS_A[1:]))


@dataclass(frozen=True)
class Book:
    """Everything of a run that gets an interval; person and fold (n,) of the cohort's patients, fold -1 of test patients."""

    cohort: Cohort
    places: list[Place]
    person: np.ndarray
    fold: np.ndarray
    own: tuple[str, ...]  # the splits whose patients are the set's; others are there to calibrate on


def load(data: str, folder: Path) -> Book:
    """Of a finished run of stage 3: of joints, or of hand totals.

    A run that was applied to another set (stage3_stack.predict) is calibrated on the patients whom it was trained on.
    """
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    sites = "site_learners" in saved
    if not sites and saved.get("stack") != "linear":
        raise UserError(f"{folder} is a run of classes, which have no intervals; name a run of totals or of joints with --run")
    learned = cohorts.trained_on(folder) or data
    cohort = cohorts.load(learned, tuple(saved["members"]), joints=sites)
    cohort = cohort if learned == data else cohorts.with_others(cohort, data)
    groups = Group("oof", learned, cohort.patients[cohort.train]), Group("test", data, cohort.patients[cohort.test])
    places = _places(folder.name, cohort, groups, tuple(saved["members"])) if sites else _hands(data, folder, cohort)
    person = np.concatenate([group.persons for group in groups])
    fold = np.r_[cohort.fold, np.full(len(cohort.test), -1)]
    return Book(cohort, places, person, fold, tuple(group.split for group in groups if group.data == data))


def make(data: str, folder: Path) -> tuple[dict[str, pd.DataFrame], dict]:
    """{split: PREDICTION_INTERVALS rows} and the calibration of each stratum."""
    book = load(data, folder)
    bounds, said = calibrate(book)
    rows = pd.concat([_rows(book, place, *bound) for place, bound in zip(book.places, bounds, strict=True)])
    rows = rows.sort_index(kind="stable")  # patients in the cohort's order
    return {split: rows[(rows.split == split) & (split in book.own)].reset_index(drop=True) for split in ("oof", "test")}, said


def calibrate(book: Book) -> tuple[list[tuple], dict]:
    """Per place its (low, high), each (n, levels), and what each stratum's calibration was."""
    bounds: list = [None] * len(book.places)
    said = {}
    for name in dict.fromkeys(place.stratum for place in book.places):
        own = [i for i, place in enumerate(book.places) if place.stratum == name]
        low, high, said[name] = conformal.cross_fitted(stratum(book, name), book.person, book.fold)
        for column, i in enumerate(own):
            answer = book.places[i].answer
            bounds[i] = tuple(np.clip(answer.ratio[:, None] * end[:, column], 0, answer.top) for end in (low, high))
    return bounds, said


def stratum(book: Book, name: str) -> Stratum:
    """The places of a kind together.

    Intervals lie around what was scored, and are pro-rated with it; a residual is that of the value.
    """

    def stack(values: list[np.ndarray]) -> np.ndarray:
        return np.stack(values, axis=1)

    own = [place for place in book.places if place.stratum == name]
    share = stack([np.where(np.isnan(p.answer.ratio), np.nan, p.answer.share) for p in own])
    target = stack([p.target / p.answer.ratio for p in own])
    top = np.array([p.answer.top for p in own])
    return Stratum(name, share, target, top, stack([p.clues for p in own]), own[0].site != TOTAL)


def _rows(book: Book, place: Place, low: np.ndarray, high: np.ndarray) -> pd.DataFrame:
    cohort, fold, a = book.cohort, book.fold, place.answer
    ends = {f"{end}{level}": v[:, i] for i, level in enumerate(tables.LEVELS) for end, v in (("low", low), ("high", high))}
    return pd.DataFrame(
        {"patient_id": cohort.patients, "person_id": book.person, "visit": cohort.visit, "fold": fold}
        | {"split": np.where(fold >= 0, "oof", "test"), "part": place.part, "site": place.site, "finding": place.finding}
        | {"state": a.state, "target": place.target, "value": a.value, "imputed": a.submitted, "max_score": int(a.top)}
        | {"n_scored": a.n_scored, "n_sites": a.n_sites, "lowest": a.lowest, "highest": a.highest}
        | ends
    )


def _places(run: str, cohort: Cohort, groups: tuple[Group, ...], members: tuple[str, ...]) -> list[Place]:
    """The sites that the set scores, the parts' totals and the patient's."""
    grades, totals = submission.split(pd.concat([group.scores(run) for group in groups]))
    known = cohort.scored
    seen = [outputs.sources(cohort, rows) != "none" for rows in (cohort.train, cohort.test)]
    both = zip(groups, seen, strict=True)
    state = np.concatenate([scorability.states(group.data, pd.Index(group.patients), members, own) for group, own in both])
    targets, given = _with_test(cohort, cohort.grades), _with_test(cohort, cohort.totals)
    whole = np.where(np.isnan(totals[:, 0]), np.nansum(grades, axis=1), totals[:, 0])
    of_sites = clues.of_sites(grades, whole, cohort.members)
    out = [
        Place(s.part, s.site, s.finding, _site(state[:, j], grades[:, j], s.max_grade), targets[:, j], of_sites[:, j])
        for j, s in enumerate(SITES)
        if known[j]
    ]
    for part in (*PARTS, ALL_PARTS):
        for finding in (*FINDINGS, TOTAL) if part != ALL_PARTS else TARGETS:
            within = known if finding == TOTAL else known & (finding == FINDING)
            own = within if part == ALL_PARTS else within & (part == PART)
            column = TARGETS.index(finding)
            if not own.any() or np.isnan(totals[:, column]).all():
                continue
            answer = prorating.total(totals[:, column], grades, state == "scored", MAX_GRADES, own, within)
            target = given[:, column] if part == ALL_PARTS else targets[:, own].sum(axis=1)
            of_total = clues.of_total(answer.value, grades, own, finding, cohort.members)
            out.append(Place(part, TOTAL, finding, answer, target, of_total))
    return out


def _with_test(cohort: Cohort, values: np.ndarray) -> np.ndarray:
    """Training patients' targets, NaN of the test patients."""
    return np.concatenate([values, np.full((len(cohort.test), values.shape[1]), np.nan)])


def _site(state: np.ndarray, grade: np.ndarray, top: float) -> Total:
    """One site as a total of one place."""
    scored = state == "scored"
    value = np.where(scored, grade, np.nan)
    low, high = np.where(scored, grade, 0.0), np.where(scored, grade, float(top))
    return Total(grade, value, np.where(scored, 1.0, np.nan), value, low, high, scored.astype(int), 1, float(top), state)


def _hands(data: str, folder: Path, cohort: Cohort) -> list[Place]:
    """The one total of a set of hand totals; without a film of a hand it is missing."""
    from stage3_stack.hands import totals
    from stage3_stack.predictions import load_member

    pred = load_member(data, folder.name, pd.Index(cohort.patients), cohort.n_train, stage=3).hands
    answer = _site(np.where(np.isnan(pred), "missing", "scored").astype(object), pred, MAX_BOTH_HANDS)
    target = np.r_[totals(data, cohort), np.full(len(cohort.test), np.nan)]
    return [Place(BOTH_HANDS, TOTAL, TOTAL, answer, target, clues.of_hands(pred, cohort.members))]


def write(table: pd.DataFrame, path: Path) -> None:
    """Checked and in place."""
    tables.PREDICTION_INTERVALS.write(table, path)


def summary(found: dict[str, pd.DataFrame]) -> str:
    """One line: how many places could be scored, and how wide the intervals of the total are."""
    table = pd.concat(found.values())
    site, whole = table.site != TOTAL, table.part.isin((ALL_PARTS, BOTH_HANDS)) & (table.finding == TOTAL)
    width = (table.high95 - table.low95)[whole].median()
    scored = f"{int((table.state[site] == 'scored').sum())} of {int(site.sum())} sites scored, " if site.any() else ""
    return f"{scored}95 % interval of the total: median width {width:.1f}"
