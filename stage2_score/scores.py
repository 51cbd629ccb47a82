"""Turn predictions of pictures into Scores tables; the null model; the metrics of a table (no torch here)."""

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
    return rows.assign(max_score=[MAXIMUM[key] for key in zip(rows.part, rows.site, strict=True)])


def part_totals(sites: pd.DataFrame) -> pd.DataFrame:
    """One row per patient, part and finding with site=total: the sum of its sites, NaN when one is not scored.

    Where that sum is NaN, the total given by a set that scores whole parts is used.
    """
    keys = [*PERSON, "part", "finding"]
    summed = site_rows(sites).groupby(keys, sort=False, as_index=False).target.agg(lambda t: t.sum(skipna=False))
    given = sites[(sites.site == TOTAL) & sites.part.isin(PARTS) & sites.finding.isin(FINDINGS)]
    totals = pd.concat([summed, given[[*keys, "target"]]]).groupby(keys, sort=False, as_index=False).target.first()
    maximum = [PART_MAXIMUM[key] for key in zip(totals.part, totals.finding, strict=True)]
    return totals.assign(site=TOTAL, joint=totals.part.map(limb), max_score=maximum)


def hands_totals(sites: pd.DataFrame) -> pd.DataFrame:
    """One row per patient: the sum of the hands' part totals, NaN when a site is not scored.

    Where that sum is NaN, the total given by a set that scores hands as a whole is used: of both hands, or of the only hand
    with a film. The picture of such a patient has a black half, so that picture and target show the same hand.
    """
    parts = part_totals(sites)
    summed = parts[parts.joint == "hand"].groupby(PERSON, sort=False, as_index=False).target.agg(lambda t: t.sum(skipna=False))
    given = sites[(sites.site == TOTAL) & (sites.finding == TOTAL) & sites.part.isin(WHOLE_HANDS)]
    return pd.concat([summed, given[[*PERSON, "target"]]]).groupby(PERSON, sort=False, as_index=False).target.first()


def gold_totals(sites: pd.DataFrame) -> pd.Series:
    """Sum of each patient's scored grades, else the total of the hands, indexed by patient_id; NaN when nothing is scored."""
    summed = site_rows(sites).groupby("patient_id").target.sum(min_count=1)
    return summed.combine_first(hands_totals(sites).set_index("patient_id").target)


def table(rows: pd.DataFrame, run: str, split: str, fold: int, seed: int) -> pd.DataFrame:
    """A Scores table from rows with max_score, pred and box_source, and with p0..p10 if the member predicts them."""
    probabilities = {p: rows.get(p, np.nan) for p in PROBABILITIES}
    columns = rows[["patient_id", "visit", "part", "site", "finding", "target", "pred", "max_score"]]
    source = rows.box_source.fillna("none")
    out = columns.assign(run=run, split=split, fold=fold, seed=seed, box_source=source, **probabilities)
    return SCORES.check(out)


def with_probabilities(rows: pd.DataFrame, index: pd.DataFrame, p: dict[str, np.ndarray]) -> pd.DataFrame:
    """Site rows joined with the distributions of their pictures.

    rows: with max_score; index: one row per picture (patient_id, part, joint, box_source); p: finding -> (n pictures, n grades).
    Above a site's maximum p is NaN; a site without a picture has NaN everywhere.
    """
    frames = []
    for finding, grades in p.items():
        wide = np.full((len(index), N_GRADES), np.nan)
        wide[:, : grades.shape[1]] = grades
        frame = index[["patient_id", "part", "joint", "box_source"]].assign(finding=finding)
        frames.append(pd.concat([frame.reset_index(drop=True), pd.DataFrame(wide, columns=list(PROBABILITIES))], axis=1))
    out = rows.merge(pd.concat(frames), on=KEY, how="left", validate="many_to_one")
    return _with_expected(out)


def _with_expected(rows: pd.DataFrame) -> pd.DataFrame:
    """Set p above each site's maximum to NaN, normalise the others to sum 1 and add pred = sum(k p_k)."""
    p = rows[list(PROBABILITIES)].to_numpy(float, copy=True)
    p[np.arange(N_GRADES) > rows.max_score.to_numpy()[:, None]] = np.nan
    p = p / np.nansum(p, 1, keepdims=True).clip(1e-12)
    pred = np.where(np.isnan(p[:, 0]), np.nan, np.nansum(p * np.arange(N_GRADES), 1))
    return rows.assign(pred=pred, **{name: p[:, k] for k, name in enumerate(PROBABILITIES)})


def with_values(rows: pd.DataFrame, index: pd.DataFrame, values: dict[str, np.ndarray]) -> pd.DataFrame:
    """Rows joined with one number per picture, finding -> (n pictures,); pred is clipped to 0..max_score."""
    frames = [index[["patient_id", "part", "joint", "box_source"]].assign(finding=f, pred=v) for f, v in values.items()]
    out = rows.merge(pd.concat(frames), on=KEY, how="left", validate="many_to_one")
    return out.assign(pred=out.pred.clip(0, out.max_score))


def site_means(train: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The null model: each site's grade frequencies among `train` site rows, assigned to each of `rows`.

    pred is the site's mean. A site that is not scored in any training patient takes the frequencies of its finding and limb;
    NaN if those are not scored either.
    """
    by_site = train.dropna(subset="target").groupby(["part", "site"]).target
    counts = {key: np.bincount(target.round().astype(int), minlength=N_GRADES) for key, target in by_site}
    pooled = {key: np.zeros(N_GRADES) for key in MAX_GRADE}
    for (part, site), count in counts.items():
        pooled[limb(part), BY_COLUMN[f"{part}_{site}"].finding] += count
    p = np.empty((len(rows), N_GRADES))
    for i, (part, site, finding) in enumerate(zip(rows.part, rows.site, rows.finding, strict=True)):
        p[i] = counts.get((part, site), pooled[limb(part), finding])
        p[i] = p[i] if p[i].sum() else np.nan
    return _with_expected(rows.assign(box_source="none", **{name: p[:, k] for k, name in enumerate(PROBABILITIES)}))


def decode_log(scores: pd.DataFrame) -> np.ndarray:
    """Best point prediction in log space of each row: 2^E[log2(k + 1)] - 1 of its distribution, or pred if it has none."""
    p = scores[list(PROBABILITIES)].to_numpy(float)
    best = challenge_scores.unlog_score(np.nansum(p * challenge_scores.log_score(np.arange(N_GRADES)), 1))
    return np.where(np.isnan(p[:, 0]), scores.pred, best)


def metrics(scores: pd.DataFrame, totals: pd.Series) -> dict[str, float]:
    """Metrics like SC2 and SC3 of a Scores table: weighted mean over patients of the RMS error of log2(grade + 1).

    Missing predictions and targets are left out; in tables of whole parts the grades are totals. totals: gold_totals. NaN when
    no row can be compared.
    """
    error = challenge_scores.log_score(decode_log(scores)) - challenge_scores.log_score(scores.target.to_numpy(float))
    metrics = {}
    for name, finding in (("sc2", "narrowing"), ("sc3", "erosion")):
        square = pd.Series(error**2)[scores.finding.to_numpy() == finding]
        rms = np.sqrt(square.groupby(scores.patient_id).mean())
        metrics[name] = challenge_scores.weighted_mean(rms.to_numpy(), challenge_scores.patient_weight(totals.reindex(rms.index)))
    return metrics


def write(parts: list[pd.DataFrame], expected: pd.DataFrame | None, path: Path) -> pd.DataFrame:
    """Join fold tables, check that each expected row is covered once, and write the Scores table."""
    joined = pd.concat(parts, ignore_index=True)
    if expected is not None:
        tables.check_coverage(joined, expected, str(path))
    return SCORES.write(joined, path)
