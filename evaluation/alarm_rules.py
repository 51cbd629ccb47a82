"""The rules that decide what a report asks its reader to look at first. A new rule is one more entry of RULES.

The function of a rule returns an excess: a rule is broken above 0, and gravely broken above 1. Each function therefore divides by
the step from mild to grave. "Surely" means that the whole 95 % interval meets the condition.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evaluation.agreement import pair_name
from evaluation.alarms import Rule, StatisticsById
from evaluation.raters import MODEL, READER1, READER2
from evaluation.section_ids import AGREEMENT, CHANGE, FILMS, INTERVALS, LEADERBOARD, PROGNOSIS, RATINGEN
from evaluation.site_groups import GROUPS
from evaluation.statistic import NAN, Statistic

MIN_N = 20  # with fewer patients or pairs, rules about totals are not decided
MODELS = "model-against-reader-1"  # the pair of model and reader 1, as an id contains it
READERS = pair_name(READER1, READER2)
SMALL_BIAS = 2.0  # points of a total; a smaller bias raises no alarm


def _of_readers(statistic: Statistic, by_id: StatisticsById) -> Statistic | None:
    """The same measure between the two readers; None if it is not known."""
    return by_id.get(replace(statistic, of=READERS).id)


def _from_zero(statistic: Statistic) -> float:
    """Distance of the interval from 0: negative if it contains 0, NaN without an interval."""
    return max(statistic.low, -statistic.high)


def _below_mean(statistic: Statistic, _: StatisticsById) -> float:
    """A score more than 1 % above that of the column mean; grave if it is a quarter above it."""
    return (-statistic.value - 1) / 25


def _chance(statistic: Statistic, _: StatisticsById) -> float:
    """An ICC of at most 0.2 is grave; one whose interval reaches down to 0 is mild."""
    if statistic.n < MIN_N or np.isnan(statistic.value):
        return NAN
    if statistic.value <= 0.2:
        return 20 * (0.25 - statistic.value)
    return 0.5 if statistic.low <= 0 else 0.0


def _flat(statistic: Statistic, _: StatisticsById) -> float:
    """A ratio of the model's standard deviation to the reader's that is surely below one half."""
    return NAN if statistic.n < MIN_N else (0.5 - np.fmax(statistic.value, statistic.high)) / 0.08


def _biased(statistic: Statistic, by_id: StatisticsById) -> float:
    """A bias whose interval excludes 0 and that exceeds the bias between the readers; grave if it does so by 10 points."""
    readers = _of_readers(statistic, by_id)
    limit = 0.0 if readers is None or np.isnan(readers.low) else max(abs(readers.low), abs(readers.high))
    return min(_from_zero(statistic), abs(statistic.value) - max(limit, SMALL_BIAS)) / 10


def _sloped(statistic: Statistic, by_id: StatisticsById) -> float:
    """A slope whose interval excludes 0 and that is at least 0.15 steeper than the readers'."""
    readers = _of_readers(statistic, by_id)
    limit = 0.0 if readers is None or np.isnan(readers.value) else abs(readers.value)
    return min(_from_zero(statistic), abs(statistic.value) - limit - 0.15) / 0.4


def _few(statistic: Statistic, _: StatisticsById) -> float:
    """A share below 0.2 that is surely below one half."""
    return min(0.2 - statistic.value, 0.5 - np.fmax(statistic.value, statistic.high)) / 0.05


def _below_readers(statistic: Statistic, by_id: StatisticsById) -> float:
    """An agreement at least 0.15 below that of the readers, if the intervals do not overlap; only for the groups of sites."""
    readers = _of_readers(statistic, by_id) if statistic.scope in GROUPS else None
    return NAN if readers is None else min(readers.low - statistic.high, readers.value - statistic.value - 0.15) / 0.3


def _uncovered(statistic: Statistic, _: StatisticsById) -> float:
    """95 % intervals that contain less than 90 % of the scores, and surely less than 95 %."""
    return NAN if statistic.n < MIN_N else min(0.90 - statistic.value, 0.95 - statistic.high) / 0.1


def _unscored(statistic: Statistic, _: StatisticsById) -> float:
    """A number of scored sites below 90 % of n."""
    return (0.9 - statistic.value / statistic.n) / 0.2


def _missed(statistic: Statistic, _: StatisticsById) -> float:
    """A percentage of joints below 95."""
    return (95 - statistic.value) / 10


def _from_template(statistic: Statistic, _: StatisticsById) -> float:
    """A percentage of joints above 5."""
    return (statistic.value - 5) / 10


def _no_better(statistic: Statistic, _: StatisticsById) -> float:
    """A difference of errors that is surely above 0."""
    return statistic.low / 5


RULES: tuple[Rule, ...] = (
    Rule(
        "worse-than-column-mean",
        f"{LEADERBOARD}/sc?_below_mean/*/blend-*/percent",
        _below_mean,
        "A score is worse than giving every patient the training patients' mean.",
        "Look at the members' rows: a member that has not learned (too few epochs, wrong films) makes the blend worse.",
        "Better than the column mean on every score",
    ),
    Rule(
        "flat",
        f"{LEADERBOARD}/sd_ratio/*/{MODEL}/total",
        _flat,
        "The model's totals hardly vary: it gives nearly the same total to every patient.",
        "Check that the members learned at all (training curves) and that films and patients belong together.",
        "The model's totals vary between patients as much as the readers'",
    ),
    Rule(
        "chance",
        f"{AGREEMENT}/icc_2_1/*/{MODELS}/*",
        _chance,
        "The model's {scope} is as far from the reader's as another patient's would be.",
        "Films and scores of patients may have been mixed up, or the model has not learned; look at the contact sheets.",
        "A patient's totals are closer to the reader's than another patient's",
    ),
    Rule(
        "bias",
        f"{AGREEMENT}/bias/*/{MODELS}/*",
        _biased,
        "The model's {scope} is biased by more than the readers are relative to each other.",
        "Look at the errors by site: is one joint type biased, or are all? Another reader or X-ray machine shifts totals.",
        "No bias beyond that between the readers",
    ),
    Rule(
        "slope",
        f"{AGREEMENT}/slope/*/{MODELS}/*",
        _sloped,
        "The error of the model's {scope} depends on its size: severe patients are scored with another bias than mild ones.",
        "There are few severe patients to learn from, or the model stays near the mean; use intervals with high totals.",
        "No steep slope of the error over the score",
    ),
    Rule(
        "blind",
        f"{AGREEMENT}/sensitivity/*/{MODELS}/*",
        _few,
        "Almost all damage is missed: {scope}.",
        "Look at the crops and boxes of these joints: the boxes may miss the joint, or films may be missing.",
        "No limb or joint type whose damage is almost all missed",
    ),
    Rule(
        "alarmist",
        f"{AGREEMENT}/specificity/*/{MODELS}/*",
        _few,
        "Almost every healthy joint is called damaged: {scope}.",
        "Look at the confusion matrices: all grades may be too high, or the model may never predict 0.",
        "No limb or joint type whose healthy joints are almost all called damaged",
    ),
    Rule(
        "below-readers",
        f"{AGREEMENT}/kappa/*/{MODELS}/*",
        _below_readers,
        "The model agrees with the reader far less than the readers agree with each other: {scope}.",
        "Look at the largest errors of these joints, and at how many damaged ones the model could learn from.",
        "No joint type far below the readers' agreement",
    ),
    Rule(
        "uncovered",
        f"{INTERVALS}/coverage_95/*/{MODEL}/*",
        _uncovered,
        "The 95 % intervals cover too few of the reader's scores: {scope}.",
        "These patients differ from those that the intervals were calibrated on; do not base a decision on the interval here.",
        "No group whose 95 % intervals surely cover too little",
    ),
    Rule(
        "unscorable",
        f"{INTERVALS}/sites/*/{MODEL}/scored",
        _unscored,
        "More than one site in ten could not be scored.",
        "The table of states shows why: films missing, rejected by the quality check, or joints outside the film.",
        "At least nine sites in ten were scored",
    ),
    Rule(
        "joints-missed",
        f"{FILMS}/within-2-of-the-long-side/*",
        _missed,
        "Many joint boxes are not on their joint: {scope}.",
        "Look at the overlays; correct boxes with stage1_detect.annotate and train on them with stage1_detect.finetune.",
        "At least 95 % of the joint boxes lie on their joint",
    ),
    Rule(
        "joints-guessed",
        f"{FILMS}/placed-by-the-template/*",
        _from_template,
        "Many joints were not detected and have template positions: {scope}.",
        "Look at the overlays: films unlike the detector's training films, fused joints, or the wrong body part.",
        "At most 5 % of the joints were placed by the template",
    ),
    Rule(
        "no-progression",
        f"{CHANGE}/progression_icc_a1/*/{MODEL}-and-reader-1/total",
        _chance,
        "The model's change between two visits hardly agrees with the reader's.",
        "One score per visit is not enough here; treat a change as undecided unless its interval excludes 0.",
        "Change between visits agrees with the reader's",
    ),
    Rule(
        "change-uncovered",
        f"{CHANGE}/coverage_95/*/{MODEL}/*",
        _uncovered,
        "The 95 % intervals of change cover too few of the reader's changes: {scope}.",
        "Do not call a patient progressed because of the interval alone.",
        "No 95 % intervals of change that surely cover too little",
    ),
    Rule(
        "naive-forecast",
        f"{PROGNOSIS}/rmse_less/*",
        _no_better,
        "The prognosis is worse than a naive forecast: {scope}.",
        "Use the naive forecast.",
        "No naive forecast that is surely better than the prognosis",
    ),
    Rule(
        "rau-chance",
        f"{RATINGEN}/icc_2_1/*/{MODELS}/*",
        _chance,
        "The model's Rau score is as far from the reader's as another patient's would be.",
        "Look at the Ratingen grades and at how many joints were scored.",
        "A patient's Rau score is closer to the reader's than another patient's",
    ),
)
