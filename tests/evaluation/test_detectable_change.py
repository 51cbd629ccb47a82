"""Smallest detectable change by hand, ICC against pingouin, shares against statsmodels."""

import numpy as np
import pytest

from evaluation import detectable_change
from ra.agreement import icc as pingouin_icc


def test_sdc_and_sdd_by_hand():
    """Differences of the two readers' changes 1, -1, 2, -2, 0: their SD is sqrt(10 / 4) = 1.581."""
    a, b, person = np.array([4.0, 2, 5, 1, 3, np.nan]), np.array([3.0, 3, 3, 3, 3, 1]), np.arange(6)
    assert detectable_change.sdc(a, b, person).value == pytest.approx(1.96 * 1.5811 / 2, rel=1e-3)  # sqrt 2 sqrt 2
    assert detectable_change.sdc(a, b, person, 1).value == pytest.approx(1.96 * 1.5811 / np.sqrt(2), rel=1e-3)
    assert detectable_change.sdc(a, b, person, 1, z=detectable_change.Z80).value == pytest.approx(
        1.28 * 1.5811 / np.sqrt(2), rel=2e-3
    )
    assert detectable_change.sdd(a, b, person).value == pytest.approx(1.96 * 1.5811 / np.sqrt(2), rel=1e-3)
    wide = detectable_change.sdc(a, b, person, 1)
    assert wide.low < wide.value < wide.high
    shifted = detectable_change.sdc(a + 7, b, person, 1)  # a constant offset between readers is no error of a change
    assert shifted.value == pytest.approx(wide.value)


@pytest.mark.parametrize("k", [2, 3])
def test_icc_is_pingouins_and_its_interval_is_over_persons(k):
    rng = np.random.default_rng(k)
    x = rng.normal(0, 3, (60, 1)) + rng.normal(0, 2, (60, k)) + np.arange(k)
    single, mean = (detectable_change.icc(x, np.arange(60), mean=m) for m in (False, True))
    for mine, theirs in ((single, pingouin_icc(x, "ICC(A,1)")), (mean, pingouin_icc(x, "ICC(A,k)"))):
        assert mine.value == pytest.approx(theirs.value, abs=1e-9)
        assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=0.08)
    doubled = detectable_change.icc(
        np.repeat(x, 4, axis=0), np.repeat(np.arange(60), 4)
    )  # the same persons, no more known of them
    assert doubled.high - doubled.low == pytest.approx(single.high - single.low, rel=0.1)


def test_shares_have_wilsons_interval_and_rows_of_one_person_count_little():
    from statsmodels.stats.proportion import proportion_confint

    hit = np.arange(40) < 12
    alone = detectable_change.share(hit, np.full(40, True), np.arange(40))
    assert (alone.low, alone.high) == pytest.approx(proportion_confint(12, 40, method="wilson"), abs=0.003)
    none = detectable_change.share(np.zeros(40, bool), np.full(40, True), np.arange(40))
    assert (none.low, none.high) == pytest.approx(proportion_confint(0, 40, method="wilson"), abs=1e-6)
    alike = detectable_change.share(np.repeat(hit, 10), np.full(400, True), np.repeat(np.arange(40), 10))
    assert (alike.low, alike.high) == pytest.approx((alone.low, alone.high), abs=0.001)
