"""Ratingen grades and Rau scores against reader 1's, and disease activity against joint damage."""

from __future__ import annotations

import numpy as np
import pandas as pd

from evaluation import disease_activity, rau, svdh_to_ratingen
from evaluation.raters import MODEL, READER1, SPLITS, Raters
from evaluation.statistic import Statistic
from evaluation.svdh_to_ratingen import RatingenScores
from ra.anatomy import PARTS
from ra.clinical import RAU_SITES
from report.blocks import Block, Section, Table, Text
from report.plotting import sentence
from report.run_facts import notice
from report.sections import ratingen_figures as figures
from stage3_stack.cohort import TARGETS

ID, TITLE = rau.SECTION, "Ratingen grades, Rau score, disease activity"
NO_GRADES = (
    "Ratingen grades are not shown: this run does not grade erosions joint by joint. A stack of joint members "
    "(stage3_stack.train) does, and so do Ratingen members of stage 2."
)
NO_READER = (
    "The model's Ratingen grades and Rau scores are in ratingen.csv; reader 1 scored none of these films, so their error is not "
    "known."
)
NO_ACTIVITY = (
    "Disease activity (DAS28) is not shown: the set has no activity data. Put train/activity.csv and test/activity.csv next to "
    "the films (data/sources/ra2dream.py lists their columns) and prepare the set again."
)
GRADES = {
    "exact": "same grade",
    "balanced": "balanced accuracy",
    "balanced_within_one": "balanced accuracy, within one grade",
    "kappa": "quadratic kappa",
}
SCORES = {
    "icc_2_1": "ICC(2,1)",
    "pearson": "Pearson",
    "bias": "bias",
    "mae": "MAE",
    "coverage_80": "80 % coverage",
    "coverage_95": "95 % coverage",
    "width_95": "95 % width",
}
NOTE = (
    "Intervals are 95 % confidence intervals: Wald intervals with persons as units for balanced accuracies, the classical one "
    "for the ICC, bootstrap over persons for all others. Bias is the mean of model − reader 1, MAE the mean absolute "
    "difference. Coverage and width (median) are those of the prediction intervals, which are conformal, from the errors on "
    "other persons; out of fold they cover less than stated if the stacks of the folds differ in level. For orientation only, "
    "because films, readers and the distribution of grades differ: Rohrbach et al. 2019 report for their network, on joints of a "
    "Swiss registry, a balanced accuracy of 47.5 % (83.0 % within one grade) and a quadratic kappa of 0.675 with reader 1; the "
    "kappa between two readers was 0.562."
)
ACTIVITY = (
    "Disease activity is measured clinically (tender and swollen joints, ESR or CRP, the patient's global assessment), never "
    "from a film. Joint damage results from past inflammation, so the two are only weakly correlated: the thesis behind "
    "Rohrbach et al. reports a correlation with the Rau score of 0.15 for DAS28-ESR and 0.08 for DAS28-CRP."
)
SIMULATED = " The activity of this synthetic set is simulated with that weak correlation, so finding it here proves nothing."


def make(raters: Raters) -> Section:
    """Ratingen grades and Rau scores of the model against reader 1's, and DAS28 against damage."""
    scores, activity = svdh_to_ratingen.scores(raters), disease_activity.load(raters)
    lead, blocks, extra = (NO_GRADES, [], []) if scores is None else _scores(raters, scores)
    if activity is None:
        return Section(ID, TITLE, lead, [*blocks, Text(NO_ACTIVITY)], extra)
    return Section(ID, TITLE, lead, blocks + _activity(raters, scores, activity), extra)


def _scores(raters: Raters, scores: RatingenScores) -> tuple[str, list[Block], list[Statistic]]:
    """Lead, blocks and further statistics of the Ratingen grades."""
    n_scored, statistics = rau.joints_scored(scores), rau.measure(raters, scores)
    splits = [split for split in SPLITS if ("kappa", split) in statistics]
    blocks: list[Block] = [Text(_source(scores)), Text(_joints(*n_scored), "note")]
    if not splits:
        return NO_READER, blocks, n_scored
    for caption, names in (("Joint grades", GRADES), ("Rau score, 0 to 190", SCORES)):
        rows = []
        for split in splits:
            cells = [statistics[name, split] for name in names]
            rows.append([f"{SPLITS[split]}, {_n(cells[0])}", *cells])
        blocks.append(Table(f"{caption}: model against reader 1.", ["", *names.values()], rows))
    last = splits[-1]
    lead = (
        f"Erosions on Ratingen's scale. {sentence(SPLITS[last])}: quadratic kappa of the joint grades with reader 1 "
        f"{statistics['kappa', last].text}, ICC of the Rau score {statistics['icc_2_1', last].text}."
    )
    return lead, [*blocks, Text(NOTE, "note"), figures.scores(raters, scores, splits)], n_scored


def _n(statistic: Statistic) -> str:
    return f"{statistic.n} {statistic.unit}"


def _source(scores: RatingenScores) -> str:
    """How the model's and the reader's grades were obtained."""
    if scores.runs:
        choice = "the set's best such member out of fold" if len(scores.runs) == 1 else "averaged"
        model = f"The model's grades are those of {', '.join(scores.runs)}, trained on Ratingen grades: {choice}."
    else:
        model = (
            "The model's grades are converted from its SvdH erosion grades by a curve for each kind of joint (finger, wrist, "
            "toe), fitted to reader 1's Ratingen grades of other patients: expected grades, which are rounded where joints are "
            "compared but not in the Rau score."
        )
    reader = (
        " Reader 1 gave no Ratingen grades; they are converted from that reader's erosion grades, 20 % of the surface for each "
        "grade of a hand's site and 10 % of a foot's, so the numbers below do not show the agreement with true Ratingen "
        "readings."
    )
    return (
        "Ratingen grades, 0 to 5, measure the eroded share of a joint's surface in steps of 20 %; the Rau score is 38 times "
        f"their mean over the joints scored. {model}{reader if scores.readers == svdh_to_ratingen.CONVERTED else ''}"
    )


def _joints(median: Statistic, fewest: Statistic) -> str:
    by_part = {part: [joint.replace("_", " ") for site_part, joint in RAU_SITES if site_part == part] for part in PARTS}
    return (
        f"Joints of the Rau score: in each hand {', '.join(by_part['LH'])} (the wrist is one joint); in each foot "
        f"{', '.join(by_part['LF'])}. Joints scored per set of films: median {median.text}, minimum {fewest.text}. Joints that "
        "could not be scored are left out of the mean; they are not counted as healthy."
    )


def _activity(raters: Raters, scores: RatingenScores | None, activity: pd.DataFrame) -> list[Block]:
    """Tables of activity and of its correlation with damage, and figures of the correlation."""
    indices = {name: activity[column].to_numpy() for column, name in disease_activity.INDICES.items()}
    bands = [[name, *disease_activity.bands(values, raters.person, name)] for name, values in indices.items()]
    blocks: list[Block] = [
        Text(ACTIVITY + (SIMULATED if notice(raters) else "")),
        Table(
            "Disease activity of the visits: remission below 2.6, low below 3.2, high above 5.1; shares with 95 % intervals.",
            ["", "median", *disease_activity.BANDS],
            [[f"{row[0]}, {_n(row[1])}", *row[1:]] for row in bands],
        ),
    ]
    damage = damage_scores(raters, scores)
    if not damage:
        return blocks
    rows = []
    for (scale, rater), values in damage.items():
        cells = []
        for name, index in indices.items():
            cells += disease_activity.correlations(values, index, raters.person, rater, f"{scale} {name}")
        rows.append([f"{scale}, {rater}", *cells])
    head = [f"{name}, {kind}" for name in indices for kind in ("Pearson", "Spearman")]
    caption = "Correlation of damage with disease activity, all visits (the model's scores are out of fold), with 95 % intervals."
    blocks.append(Table(caption, ["", *head], rows))
    return blocks + [figures.activity(scale, damage, indices) for scale in dict.fromkeys(scale for scale, _ in damage)]


def damage_scores(raters: Raters, scores: RatingenScores | None) -> dict[tuple[str, str], np.ndarray]:
    """(scale, rater) -> (n,) damage scores, of the raters who have any on that scale."""
    out = {}
    if scores is not None:
        out["Rau score", READER1] = svdh_to_ratingen.rau(scores.reader)
        out["Rau score", MODEL] = svdh_to_ratingen.rau(scores.model)
    for rater in (READER1, MODEL):
        out["SvdH total", rater] = raters.by[rater].totals[:, TARGETS.index("total")]
    return {key: values for key, values in out.items() if not np.isnan(values).all()}
