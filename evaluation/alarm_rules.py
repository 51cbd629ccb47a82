"""The rules behind what to look at first. A new one is a line of RULES; tests hold that a broken model breaks its own.

An excess above 0 breaks a rule, above 1 gravely: so each is divided by the step between the two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evaluation.agreement import named
from evaluation.alarms import Book, Rule
from evaluation.raters import MODEL, READER1, READER2
from evaluation.site_groups import GROUPS
from evaluation.statistic import NAN, Statistic

FEWEST = 20  # patients or pairs; of fewer a rule about their totals says nothing
MODELS = "model-against-reader-1"  # `of` as an id has it
READERS = named(READER1, READER2)
LITTLE = 2.0  # points of a total; a smaller bias is not worth an alarm


def _of_readers(one: Statistic, book: Book) -> Statistic | None:
    """The same figure between the two readers, if there is one."""
    return book.get(replace(one, of=READERS).id)


def _from_zero(one: Statistic) -> float:
    """How far its interval is from 0: negative when it holds 0, NaN without an interval."""
    return max(one.low, -one.high)


def _below_mean(one: Statistic, _: Book) -> float:
    """At least a percent above the column mean; grave where the score is a quarter higher."""
    return (-one.value - 1) / 25


def _chance(one: Statistic, _: Book) -> float:
    """An ICC of at most 0.2 is grave; an interval that reaches down to 0 is not."""
    if one.n < FEWEST or np.isnan(one.value):
        return NAN
    return 20 * (0.25 - one.value) if one.value <= 0.2 else 0.5 if one.low <= 0 else 0.0


def _flat(one: Statistic, _: Book) -> float:
    """A standard deviation that is surely less than half of the reader's."""
    return NAN if one.n < FEWEST else (0.5 - np.fmax(one.value, one.high)) / 0.08


def _biased(one: Statistic, book: Book) -> float:
    """Clear of 0 and beyond what the readers have between themselves; grave from 10 points more."""
    other = _of_readers(one, book)
    readers = 0.0 if other is None or np.isnan(other.low) else max(abs(other.low), abs(other.high))
    return min(_from_zero(one), abs(one.value) - max(readers, LITTLE)) / 10


def _sloped(one: Statistic, book: Book) -> float:
    """Clear of 0 and at least 0.15 steeper than the readers' own."""
    other = _of_readers(one, book)
    readers = 0.0 if other is None or np.isnan(other.value) else abs(other.value)
    return min(_from_zero(one), abs(one.value) - readers - 0.15) / 0.4


def _few(one: Statistic, _: Book) -> float:
    """A share that is below 0.2, and surely below one half."""
    return min(0.2 - one.value, 0.5 - np.fmax(one.value, one.high)) / 0.05


def _below_readers(one: Statistic, book: Book) -> float:
    """An agreement at least 0.15 below the readers' own, with intervals apart; of places, not of a sample of them."""
    other = _of_readers(one, book) if one.scope in GROUPS else None
    return NAN if other is None else min(other.low - one.high, other.value - one.value - 0.15) / 0.3


def _uncovered(one: Statistic, _: Book) -> float:
    """95 % intervals that hold less than 90 %, and surely less than 95 %."""
    return NAN if one.n < FEWEST else min(0.90 - one.value, 0.95 - one.high) / 0.1


def _unscored(one: Statistic, _: Book) -> float:
    """How many were scored, of n: less than 90 %."""
    return (0.9 - one.value / one.n) / 0.2


def _missed(one: Statistic, _: Book) -> float:
    """A percentage of joints that is below 95."""
    return (95 - one.value) / 10


def _guessed(one: Statistic, _: Book) -> float:
    """A percentage of joints that is above 5."""
    return (one.value - 5) / 10


def _no_better(one: Statistic, _: Book) -> float:
    """A difference of errors that is surely above 0."""
    return one.low / 5


RULES: tuple[Rule, ...] = (
    Rule(
        "worse-than-column-mean",
        "standing/sc?_below_mean/*/blend-*/percent",
        _below_mean,
        "A score is worse than saying the training patients' mean of everybody.",
        "Look at the members' lines: one that has not learned (too few epochs, wrong films) drags the blend.",
        "Better than the column mean on every score",
    ),
    Rule(
        "flat",
        f"standing/sd_ratio/*/{MODEL}/total",
        _flat,
        "The model's totals hardly vary: it says nearly the same of every patient.",
        "Look whether members learned at all (training curves) and whether films and patients belong together.",
        "The model's totals differ between patients as the readers' do",
    ),
    Rule(
        "chance",
        f"agreement/icc_2_1/*/{MODELS}/*",
        _chance,
        "The model's {scope} is as far from the reader's as another patient's would be.",
        "Patients may have been mixed up between films and scores, or nothing was learned; look at the contact sheets.",
        "A patient's totals are nearer to the reader's than another patient's",
    ),
    Rule(
        "bias",
        f"agreement/bias/*/{MODELS}/*",
        _biased,
        "The model's {scope} is off by more than the readers are from each other, in one direction.",
        "Look at the error by site: is one joint type off, or all? Another reader or another machine shifts totals.",
        "No bias beyond the readers' own",
    ),
    Rule(
        "slope",
        f"agreement/slope/*/{MODELS}/*",
        _sloped,
        "The error of the model's {scope} changes with its size: severe patients are read with another bias than mild ones.",
        "Few severe patients to learn from, or a model that stays near the mean; read severe totals with their interval.",
        "No steep slope of the error over the score",
    ),
    Rule(
        "blind",
        f"agreement/sensitivity/*/{MODELS}/*",
        _few,
        "Almost all damage is missed: {scope}.",
        "Look at crops and boxes of these joints: they may be off the joint, or the films missing.",
        "No limb or joint type whose damage is almost all missed",
    ),
    Rule(
        "alarmist",
        f"agreement/specificity/*/{MODELS}/*",
        _few,
        "Almost every healthy joint is called damaged: {scope}.",
        "Look at the confusion matrices: grades that are all too high, or a model that never says 0.",
        "No limb or joint type whose healthy joints are almost all called damaged",
    ),
    Rule(
        "below-readers",
        f"agreement/kappa/*/{MODELS}/*",
        _below_readers,
        "The model agrees with the reader far less than the readers with each other: {scope}.",
        "Look at the largest errors of these joints, and at how many of them were there to learn from.",
        "No joint type far below the readers' own agreement",
    ),
    Rule(
        "uncovered",
        f"intervals/coverage_95/*/{MODEL}/*",
        _uncovered,
        "The 95 % intervals hold too few of the reader's numbers: {scope}.",
        "These patients are unlike those whom the intervals were calibrated on; do not rest a decision on the interval here.",
        "No group whose 95 % intervals surely hold too little",
    ),
    Rule(
        "unscorable",
        f"intervals/sites/*/{MODEL}/scored",
        _unscored,
        "More than one site in ten could not be scored.",
        "The table of states says why: films missing, refused by the quality gate, or joints off the film.",
        "At least nine sites in ten were scored",
    ),
    Rule(
        "joints-missed",
        "films/within-2-of-the-long-side/*",
        _missed,
        "Many joint boxes are not on their joint: {scope}.",
        "Look at the overlays; correct boxes with stage1_detect.annotate and train on them with stage1_detect.finetune.",
        "At least 95 % of the joint boxes lie on their joint",
    ),
    Rule(
        "joints-guessed",
        "films/placed-by-the-template/*",
        _guessed,
        "Many joints were not seen by the detector and stand where the template puts them: {scope}.",
        "Look at the overlays: films of another kind than the detector knows, fused joints, or the wrong part.",
        "At most 5 % of the joints were placed by the template",
    ),
    Rule(
        "no-progression",
        f"change/progression_icc_a1/*/{MODEL}-and-reader-1/total",
        _chance,
        "The model's change between two visits has little to do with the reader's.",
        "A single reading of two visits is not enough here; read change as cannot tell unless it exceeds its interval.",
        "Change between visits agrees with the reader's",
    ),
    Rule(
        "change-uncovered",
        f"change/coverage_95/*/{MODEL}/*",
        _uncovered,
        "The 95 % intervals of change hold too few of the reader's changes: {scope}.",
        "Do not call a patient progressed on the interval alone.",
        "No 95 % intervals of change that surely hold too little",
    ),
    Rule(
        "naive-forecast",
        "prognosis/rmse_less/*",
        _no_better,
        "The prognosis is worse than a naive forecast: {scope}.",
        "Use the naive forecast.",
        "No naive forecast that is surely better than the prognosis",
    ),
    Rule(
        "rau-chance",
        f"ratingen/icc_2_1/*/{MODELS}/*",
        _chance,
        "The model's Rau score is as far from the reader's as another patient's would be.",
        "Look at the Ratingen grades and at how many joints were scored.",
        "A patient's Rau score is nearer to the reader's than another patient's",
    ),
)
