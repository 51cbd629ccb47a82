"""From predictions of pictures to Scores tables, the null member, and the figures of a table (no torch here)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ra import challenge_scores, tables
from ra.anatomy import BOTH_HANDS, BY_COLUMN, FINDINGS, MAX_GRADE, N_GRADES, PARTS, SITES, TOTAL, limb
from ra.tables import PROBABILITIES, SCORES

KEY = ["patient_id", "part", "joint", "finding"]
PERSON = ["patient_id", "person_id", "visit", "split"]
WHOLE_HANDS = ("LH", "RH", BOTH_HANDS)
MAXIMUM = {(s.part, s.site): s.max_grade for s in SITES}
PART_MAXIMUM = {
    (part, f): sum(s.max_grade for s in SITES if s.part == part and s.finding == f) for part in PARTS for f in FINDINGS
}


def site_rows(sites: pd.DataFrame) -> pd.DataFrame:
    """The 86 scored sites of each patient with their maxima, without the totals."""
    rows = sites[sites.site != TOTAL].reset_index(drop=True)
    return rows.assign(max_score=[MAXIMUM[place] for place in zip(rows.part, rows.site, strict=True)])


def part_totals(sites: pd.DataFrame) -> pd.DataFrame:
    """One row per patient, part and finding with site=total: the sum of its sites, NaN when one is not scored.

    Where there is no sum, a set that scores whole parts gives the total itself.
    """
    keys = [*PERSON, "part", "finding"]
    summed = site_rows(sites).groupby(keys, sort=False, as_index=False).target.agg(lambda t: t.sum(skipna=False))
    own = sites[(sites.site == TOTAL) & sites.part.isin(PARTS) & sites.finding.isin(FINDINGS)]
    both = pd.concat([summed, own[[*keys, "target"]]]).groupby(keys, sort=False, as_index=False).target.first()
    maximum = [PART_MAXIMUM[place] for place in zip(both.part, both.finding, strict=True)]
    return both.assign(site=TOTAL, joint=both.part.map(limb), max_score=maximum)


def hands_totals(sites: pd.DataFrame) -> pd.DataFrame:
    """One row per patient: the sum of the hands' part totals, NaN when a site is not scored.

    Where there is no sum, a set that scores hands as a whole gives the total itself: of both, or of the one that its film
    shows. Such a patient's picture has the other half black, so that its target too is the total of what is seen.
    """
    parts = part_totals(sites)
    summed = parts[parts.joint == "hand"].groupby(PERSON, sort=False, as_index=False).target.agg(lambda t: t.sum(skipna=False))
    own = sites[(sites.site == TOTAL) & (sites.finding == TOTAL) & sites.part.isin(WHOLE_HANDS)]
    return pd.concat([summed, own[[*PERSON, "target"]]]).groupby(PERSON, sort=False, as_index=False).target.first()


def gold_totals(sites: pd.DataFrame) -> pd.Series:
    """Sum of each patient's scored grades, else its hands' total, indexed by patient_id; NaN when nothing is scored."""
    summed = site_rows(sites).groupby("patient_id").target.sum(min_count=1)
    return summed.combine_first(hands_totals(sites).set_index("patient_id").target)


def table(rows: pd.DataFrame, run: str, split: str, fold: int, seed: int) -> pd.DataFrame:
    """Scores rows from rows (with max_score) that carry pred, p0..p10 and box_source where they are known."""
    filled = {p: rows.get(p, np.nan) for p in PROBABILITIES}
    named = rows[["patient_id", "visit", "part", "site", "finding", "target", "pred", "max_score"]]
    source = rows.box_source.fillna("none")
    out = named.assign(run=run, split=split, fold=fold, seed=seed, box_source=source, **filled)
    return SCORES.check(out)


def with_probabilities(rows: pd.DataFrame, index: pd.DataFrame, p: dict[str, np.ndarray]) -> pd.DataFrame:
    """Site rows joined with the distributions of their pictures.

    rows: with max_score; index: one row per picture (patient_id, part, joint, box_source); p: finding -> (n pictures, n grades).
    Above a site's maximum p is NaN; a site without a picture has NaN everywhere.
    """
    frames = []
    for finding, known in p.items():
        wide = np.full((len(index), N_GRADES), np.nan)
        wide[:, : known.shape[1]] = known
        frame = index[["patient_id", "part", "joint", "box_source"]].assign(finding=finding)
        frames.append(pd.concat([frame.reset_index(drop=True), pd.DataFrame(wide, columns=list(PROBABILITIES))], axis=1))
    out = rows.merge(pd.concat(frames), on=KEY, how="left", validate="many_to_one")
    return _expect(out)


def _expect(rows: pd.DataFrame) -> pd.DataFrame:
    """Close the grades above each site's maximum, make the rest sum to 1 and add pred = sum(k p_k)."""
    p = rows[list(PROBABILITIES)].to_numpy(float, copy=True)
    p[np.arange(N_GRADES) > rows.max_score.to_numpy()[:, None]] = np.nan
    p = p / np.nansum(p, 1, keepdims=True).clip(1e-12)
    pred = np.where(np.isnan(p[:, 0]), np.nan, np.nansum(p * np.arange(N_GRADES), 1))
    return rows.assign(pred=pred, **{name: p[:, k] for k, name in enumerate(PROBABILITIES)})


def with_values(rows: pd.DataFrame, index: pd.DataFrame, values: dict[str, np.ndarray]) -> pd.DataFrame:
    """Rows joined with a number of their pictures, finding -> (n pictures,); pred stays within 0..max_score."""
    frames = [index[["patient_id", "part", "joint", "box_source"]].assign(finding=f, pred=v) for f, v in values.items()]
    out = rows.merge(pd.concat(frames), on=KEY, how="left", validate="many_to_one")
    return out.assign(pred=out.pred.clip(0, out.max_score))


def site_means(train: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The null model: each site's grade frequencies among `train` site rows, given to every one of `rows`.

    pred is the column's mean. A site that no training patient has scored takes those of its finding and limb; NaN where nobody
    has scored any.
    """
    known = train.dropna(subset="target")
    by_site = known.groupby(["part", "site"]).target
    counts = {key: np.bincount(target.round().astype(int), minlength=N_GRADES) for key, target in by_site}
    pooled = {key: np.zeros(N_GRADES) for key in MAX_GRADE}
    for (part, site), count in counts.items():
        pooled[limb(part), BY_COLUMN[f"{part}_{site}"].finding] += count
    p = np.empty((len(rows), N_GRADES))
    for i, (part, site, finding) in enumerate(zip(rows.part, rows.site, rows.finding, strict=True)):
        p[i] = counts.get((part, site), pooled[limb(part), finding])
        p[i] = p[i] if p[i].sum() else np.nan
    return _expect(rows.assign(box_source="none", **{name: p[:, k] for k, name in enumerate(PROBABILITIES)}))


def decode_log(scores: pd.DataFrame) -> np.ndarray:
    """Best point answer in log space of each row: 2^E[log2(k + 1)] - 1 of its distribution, or pred where it has none."""
    p = scores[list(PROBABILITIES)].to_numpy(float)
    answer = challenge_scores.unlog_score(np.nansum(p * challenge_scores.log_score(np.arange(N_GRADES)), 1))
    return np.where(np.isnan(p[:, 0]), scores.pred, answer)


def figures(scores: pd.DataFrame, totals: pd.Series) -> dict[str, float]:
    """SC2- and SC3-like figures of a Scores table: weighted mean over patients of the RMS error of log2(grade + 1).

    Missing predictions and targets are left out. Whole-film tables give the same over the part totals.
    totals: gold_totals. NaN when nothing can be compared.
    """
    error = challenge_scores.log_score(decode_log(scores)) - challenge_scores.log_score(scores.target.to_numpy(float))
    found = {}
    for name, finding in (("sc2", "narrowing"), ("sc3", "erosion")):
        square = pd.Series(error**2)[scores.finding.to_numpy() == finding]
        rms = np.sqrt(square.groupby(scores.patient_id).mean())
        found[name] = challenge_scores.weighted_mean(rms.to_numpy(), challenge_scores.patient_weight(totals.reindex(rms.index)))
    return found


def write(parts: list[pd.DataFrame], expected: pd.DataFrame | None, path: Path) -> pd.DataFrame:
    """Join fold tables, check that each expected row is covered once, write."""
    joined = pd.concat(parts, ignore_index=True)
    if expected is not None:
        tables.check_coverage(joined, expected, str(path))
    return SCORES.write(joined, path)
