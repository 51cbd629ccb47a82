"""The same reading on Ratingen's scale, and disease activity beside the damage."""

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
from report.run_facts import notice
from report.sections import ratingen_figures as pictures
from stage3_stack.cohort import TARGETS

ID, TITLE = rau.SECTION, "Ratingen grades, Rau score, disease activity"
NOTHING = (
    "Ratingen grades are not shown: this run grades no erosions joint by joint. A stack of joint members (stage3_stack.train) "
    "does, and so do Ratingen members of stage 2."
)
UNREAD = "Ratingen grades and Rau scores are given for these films, but reader 1 scored none of them: their error is not known."
NO_ACTIVITY = (
    "Disease activity (DAS28) is not shown: the set holds none. Put train/activity.csv and test/activity.csv beside the films "
    "(data/sources/ra2dream.py names their columns) and prepare the set again."
)
GRADES = {
    "exact": "same grade",
    "balanced": "balanced accuracy",
    "balanced_within_one": "within one grade, balanced",
    "kappa": "quadratic kappa",
}
SCORES = {
    "icc_2_1": "ICC(2,1)",
    "pearson": "Pearson",
    "bias": "bias",
    "mae": "mean distance",
    "coverage_80": "80 % interval holds",
    "coverage_95": "95 % interval holds",
    "width_95": "its median width",
}
HOW = (
    "Intervals are 95 %: by resampling persons, of balanced accuracies Wald's with persons as units, of the ICC the classical "
    "one. Bias is model less reader 1. The intervals of the Rau score are conformal, from the errors on other persons; out "
    "of fold they hold less than they say where the folds' stacks lie at different levels, which the others cannot tell. For "
    "orientation, not for ranking, as films, readers and the mix of grades are others: Rohrbach et al. 2019 report of their "
    "network, on joints of a Swiss registry, a balanced accuracy of 47.5 %, within one grade 83.0 %, and a quadratic kappa of "
    "0.675 with reader 1; of two readers with each other 0.562."
)
NEVER = (
    "Activity is measured by a doctor and a laboratory (tender and swollen joints, ESR or CRP, the patient's own judgement), "
    "never read from a film. Damage is what past inflammation left, so the two hang together only weakly: the thesis behind "
    "Rohrbach et al. found a correlation with the Rau score of 0.15 for DAS28-ESR and 0.08 for DAS28-CRP."
)
SIMULATED = " The items of this synthetic set are simulated with that weak correlation built in: finding it again proves nothing."


def make(raters: Raters) -> Section:
    """Ratingen grades and Rau scores against reader 1's; the DAS28 against the damage."""
    found, measured = svdh_to_ratingen.scores(raters), disease_activity.load(raters)
    lead, blocks, more = (NOTHING, [], []) if found is None else _reading(raters, found)
    if measured is None:
        return Section(ID, TITLE, lead, [*blocks, Text(NO_ACTIVITY)], more)
    return Section(ID, TITLE, lead, blocks + _activity(raters, found, measured), more)


def _reading(raters: Raters, found: RatingenScores) -> tuple[str, list[Block], list[Statistic]]:
    count, figures = rau.joints_scored(found), rau.measure(raters, found)
    splits = [split for split in SPLITS if ("kappa", split) in figures]
    blocks: list[Block] = [Text(_source(found)), Text(_joints(*count), "note")]
    if not splits:
        return UNREAD, blocks, count
    for caption, names in (("Joint grades", GRADES), ("Rau score, 0 to 190", SCORES)):
        rows = [[figures[name, split] for name in names] for split in splits]
        rows = [[f"{SPLITS[split]}, {_n(row[0])}", *row] for split, row in zip(splits, rows, strict=True)]
        blocks.append(Table(f"{caption}: model against reader 1.", ["", *names.values()], rows))
    last = splits[-1]
    lead = (
        f"Erosions on Ratingen's scale. {SPLITS[last].capitalize()}: quadratic kappa of a joint's grade with reader 1 "
        f"{figures['kappa', last].text}, ICC of the Rau score {figures['icc_2_1', last].text}."
    )
    return lead, [*blocks, Text(HOW, "note"), pictures.scores(raters, found, splits)], count


def _n(one: Statistic) -> str:
    return f"{one.n} {one.unit}"


def _source(found: RatingenScores) -> str:
    """Where the grades come from, in words."""
    if found.runs:
        chosen = "the set's best such member out of fold" if len(found.runs) == 1 else "averaged"
        whose = f"They are the answers of {', '.join(found.runs)}, trained on Ratingen grades: {chosen}."
    else:
        whose = (
            "They are translated from the erosion grades of the SvdH reading, by a curve for each kind of joint (finger, wrist, "
            "toe) fitted to reader 1's Ratingen grades of other patients: expected grades, rounded where joints are compared but "
            "not in the Rau score."
        )
    reader = (
        " Reader 1 gave no Ratingen grades; his are his erosion grades converted, 20 % of the surface for each grade of a hand's "
        "site and 10 % of a foot's, so the figures below say nothing of true Ratingen readings."
    )
    return (
        "Ratingen grades, 0 to 5, count the eroded share of a joint's surface in steps of 20 %; the Rau score is 38 times their "
        f"mean over the joints scored. {whose}{reader if found.readers == svdh_to_ratingen.CONVERTED else ''}"
    )


def _joints(median: Statistic, fewest: Statistic) -> str:
    by_part = {part: [joint.replace("_", " ") for own, joint in RAU_SITES if own == part] for part in PARTS}
    hand, foot = by_part["LH"], by_part["LF"]
    return (
        f"The joints that may be scored: of each hand {', '.join(hand)} (the wrist as one); of each foot {', '.join(foot)}. "
        f"Scored per set of films: median {median.text}, fewest {fewest.text}. What could not be scored is left out of the mean, "
        "not counted as healthy."
    )


def _activity(raters: Raters, found: RatingenScores | None, measured: pd.DataFrame) -> list[Block]:
    """Bands and correlations as tables, the correlations drawn."""
    indices = {name: measured[column].to_numpy() for column, name in disease_activity.INDICES.items()}
    damage = damages(raters, found)
    bands = [[name, *disease_activity.bands(values, raters.person, name)] for name, values in indices.items()]
    blocks: list[Block] = [
        Text(NEVER + (SIMULATED if notice(raters) else "")),
        Table(
            "Disease activity of the visits: remission below 2.6, low below 3.2, high above 5.1; shares with 95 % intervals.",
            ["", "median", *disease_activity.BANDS],
            [[f"{row[0]}, {_n(row[1])}", *row[1:]] for row in bands],
        ),
    ]
    if not damage:
        return blocks
    rows = []
    for (scope, of), values in damage.items():
        cells = [
            c
            for name, v in indices.items()
            for c in disease_activity.correlations(values, v, raters.person, of, f"{scope} {name}")
        ]
        rows.append([f"{scope}, {of}", *cells])
    head = [f"{name}, {kind}" for name in indices for kind in ("Pearson", "Spearman")]
    caption = "Correlation of damage and activity, all visits (the model's answers to films held out), with 95 % intervals."
    blocks.append(Table(caption, ["", *head], rows))
    return blocks + [pictures.activity(scope, damage, indices) for scope in dict.fromkeys(scope for scope, _ in damage)]


def damages(raters: Raters, found: RatingenScores | None) -> dict[tuple[str, str], np.ndarray]:
    """(what, whose) -> (n,) scores of damage, where anybody has one."""
    column = TARGETS.index("total")
    of_rau = {} if found is None else {READER1: svdh_to_ratingen.rau(found.reader), MODEL: svdh_to_ratingen.rau(found.model)}
    of_total = {name: raters.by[name].totals[:, column] for name in (READER1, MODEL)}
    scales = {"Rau score": of_rau, "SvdH total": of_total}
    every = {(scale, of): values for scale, own in scales.items() for of, values in own.items()}
    return {key: values for key, values in every.items() if not np.isnan(values).all()}
