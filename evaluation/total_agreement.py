"""Agreement on totals: intraclass correlation, Bland and Altman's limits with the slope of the difference, mean distance.

Every measure is computed from weighted sums over the rows (bootstrap.Resamples), so that the value and a thousand resamples come
from one formula. The ICC is therefore implemented here too: ra.agreement.icc (pingouin) gives the same value with the classical
interval (tests/evaluation/test_total_agreement.py).
"""

from __future__ import annotations

import numpy as np

from evaluation.bootstrap import Resamples, ratio
from ra.agreement import Z


def icc(ratings: np.ndarray, draws: Resamples) -> dict[str, np.ndarray]:
    """{ICC(1,1), ICC(A,1), ICC(A,k)}, (1 + times,) each, of ratings (n, k), or of (n, sites, k), where each site is a target.

    McGraw & Wong 1996: one-way random; two-way random with absolute agreement, of one rater and of the mean of k raters. Shrout &
    Fleiss call them ICC(1,1), ICC(2,1) and ICC(2,k). A target that a rater did not score is dropped. Only the ratio of variances
    matters, so the grand mean is subtracted first, which keeps precision. NaN if the ratings do not vary.
    """
    x = ratings if ratings.ndim == 3 else ratings[:, None]
    complete = ~np.isnan(x).any(-1)
    k = x.shape[-1]
    x = np.where(complete[..., None], x - (x[complete].mean() if complete.any() else 0.0), 0.0)
    n, squares = draws.sums(complete.sum(1)), draws.sums(np.square(x).sum((1, 2)))
    squared_means, rater_sums = draws.sums(np.square(x.mean(-1)).sum(1)), draws.sums(x.sum(1))
    grand = ratio(rater_sums.sum(-1), n * k)
    total, between = squares - n * k * grand**2, k * (squared_means - n * grand**2)
    raters = n * np.square(ratio(rater_sums, n[:, None]) - grand[:, None]).sum(-1)
    targets_ms, raters_ms = ratio(between, n - 1), raters / (k - 1)
    error_ms, within_ms = ratio(total - between - raters, (n - 1) * (k - 1)), ratio(total - between, n * (k - 1))
    is_constant = total <= 1e-9 * np.maximum(n, 1)
    agreed = targets_ms - error_ms
    forms = {
        "ICC(1,1)": ratio(targets_ms - within_ms, targets_ms + (k - 1) * within_ms),
        "ICC(A,1)": ratio(agreed, targets_ms + (k - 1) * error_ms + ratio(k * (raters_ms - error_ms), n)),
        "ICC(A,k)": ratio(agreed, targets_ms + ratio(raters_ms - error_ms, n)),
    }
    return {form: np.where(is_constant, np.nan, value) for form, value in forms.items()}


def bland_altman(first: np.ndarray, second: np.ndarray, draws: Resamples) -> dict[str, np.ndarray]:
    """{bias, lower, upper, slope, sd, distance}: (1 + times,) each, of paired totals (n,) without NaN.

    The difference is first - second. bias is its mean, the limits are bias -+ 1.96 standard deviations (Bland & Altman 1986).
    slope belongs to its least-squares line over the mean of both totals (1999). distance is the mean absolute difference.
    """
    difference, mean = first - second, (first + second) / 2
    centred = mean - (mean.mean() if len(mean) else 0.0)
    columns = np.stack(
        [np.ones(len(mean)), difference, difference**2, centred, centred**2, difference * centred, np.abs(difference)], 1
    )
    n, d, dd, m, mm, dm, size = draws.sums(columns).T
    bias = ratio(d, n)
    sd = np.sqrt(np.maximum(ratio(dd - n * bias**2, n - 1), 0.0))
    spread = mm - ratio(m * m, n)
    slope = np.where(spread > 1e-9 * np.maximum(n, 1), ratio(dm - ratio(m * d, n), spread), np.nan)
    return {"bias": bias, "lower": bias - Z * sd, "upper": bias + Z * sd, "slope": slope, "sd": sd, "distance": ratio(size, n)}
