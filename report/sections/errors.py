"""Where the errors lie: by site on a drawn hand and foot, the probabilities, healthy joints of damaged patients."""

from __future__ import annotations

import numpy as np

from evaluation import calibration, halo_effect, site_errors, site_groups
from evaluation.agreement import pair_name
from evaluation.raters import MODEL, READER1, READER2, Raters
from evaluation.site_errors import Sites, site_name
from evaluation.statistic import Statistic
from report.blocks import Block, Section, Table, Text
from report.sections.agreement import drawn, whose

ID, TITLE = site_errors.SECTION, "Where the errors lie"
LARGEST = 12  # sites in the table
NOTHING = "Errors by site need grades of the same sites by two raters, which this set does not have."
SHADOW = (
    "Readers score a healthy joint worse when the patient's other joints are damaged (a known bias of labels). A stack that "
    "sees a patient's other joints learns it; a stack that sees the joint alone cannot. A model is also above 0 at healthy "
    "sites where it is unsure, since its grade is the expected one. Run 'own' (stage3_stack.train --config "
    "stage3_stack/configs/demo/own.yaml) adds the line of the joint alone."
)


def make(raters: Raters) -> Section:
    """Of the model against reader 1, beside reader 1 against reader 2; the split of most patients is drawn."""
    splits = raters.splits
    if MODEL not in raters.names or READER1 not in raters.names:
        return Section(ID, TITLE, NOTHING)
    made = section(raters, splits, [(MODEL, READER1), *([(READER1, READER2)] if READER2 in raters.names else [])])
    if not made.blocks:
        return made
    main = drawn(raters, splits)
    said = {split: calibration.measure(raters, split) for split in splits}
    beside = halo_effect.with_own_site_run(raters)
    healthy = {split: halo_effect.measure(beside, split) for split in splits}
    made.blocks += [*_probabilities(said, main), *_healthy(raters, healthy, main)]
    made.more += [one for found in (*said.values(), *healthy.values()) for one in found.values()]
    return made


def section(raters: Raters, splits: list[str], pairs: list[tuple[str, str]]) -> Section:
    """Error and bias by site of any pairs of raters; the lead is of the first."""
    graded = [pair for pair in pairs if not np.isnan(raters.by[pair[0]].grades + raters.by[pair[1]].grades).all()]
    if not graded or not splits:
        return Section(ID, TITLE, NOTHING)
    main = drawn(raters, splits)
    by_split = {split: {pair_name(*pair): site_errors.by_site(raters, split, pair) for pair in graded} for split in splits}
    more = [one for of in by_split.values() for sites in of.values() for ones in sites.values() for one in ones.values()]
    return Section(ID, TITLE, _lead(graded[0], by_split[main], whose(main)), _sites(by_split[main], whose(main)), more)


def _largest(sites: Sites) -> list[tuple[str, str, str]]:
    known = [key for key, ones in sites.items() if not np.isnan(ones["mae"].value)]
    return sorted(known, key=lambda key: -sites[key]["mae"].value)[:LARGEST]


def _lead(pair: tuple[str, str], of: dict[str, Sites], who: str) -> str:
    worst = _largest(of[pair_name(*pair)])
    one, first = of[pair_name(*pair)][worst[0]]["mae"], f"{pair[0][:1].upper()}{pair[0][1:]}"
    n = f"({who}, n = {one.n} sites)"
    return f"{first} and {pair[1]} are furthest apart at {one.scope}: by {one.text} grades on average {n}."


def _sites(of: dict[str, Sites], who: str) -> list[Block]:
    from report import error_figures

    (first, sites), *_ = of.items()
    start = f"{who[:1].upper()}{who[1:]}; left and right together, drawn as a left hand and foot seen on a film. "
    size = start + "Mean size of the difference of two grades. Foot erosion has grades to 10, hand erosion to 5, narrowing to 4."
    sign = start + "Mean difference of two grades: red where the first rater gives more, blue where he gives less."
    columns = [(pair, name) for pair in of for name in ("mae", "bias")]
    words = {"mae": "mean error", "bias": "bias"}
    rows = [[site_name(key), *(of[pair][key][name] for pair, name in columns)] for key in _largest(sites)]
    return [
        error_figures.by_site(of, "mae", "Error by site", size),
        error_figures.by_site(of, "bias", "Bias by site", sign),
        Table(
            f"The sites of the largest errors of {first}, in grades; {who}; all sites are in the CSV",
            ["site", *(f"{words[name]}, {pair}" for pair, name in columns)],
            rows,
        ),
    ]


def _probabilities(said: dict[str, dict[tuple[str, str], Statistic]], main: str) -> list[Block]:
    from report import error_figures

    if not said[main]:
        return [Text("No member of this run gives probabilities of grades, so that there is nothing to calibrate.", "note")]
    rows = [
        [f"{scope}; {whose(split)}", *(found.get((name, scope)) for name in ("expected", "observed", "excess", "ece"))]
        for split, found in said.items()
        for scope in site_groups.LIMB_FINDINGS
        if ("ece", scope) in found
    ]
    head = ["", "damage expected", "damage found", "expected less found", "calibration error"]
    caption = (
        "Probabilities of the joint members, before stacking: the share of sites with any damage that they expect and that "
        "reader 1 found, and the expected calibration error (mean gap over tenths of probability)"
    )
    return [error_figures.calibration(said[main], whose(main)), Table(caption, head, rows)]


def _healthy(raters: Raters, found: dict[str, dict], main: str) -> list[Block]:
    from report import error_figures

    if not found[main]:
        return [Text("Whether healthy joints of damaged patients are scored worse needs a second reader or the truth.", "note")]
    judge = halo_effect.reference(raters)
    names = list(dict.fromkeys(of for _, of, _ in found[main]))
    rows = [
        [
            f"{name}; {whose(split)}",
            *(ones.get(("mean_at_healthy", name, band)) for band in halo_effect.band_names()),
            ones.get(("rise_at_healthy", name, halo_effect.RISE)),
        ]
        for split, ones in found.items()
        for name in names
    ]
    head = ["", *(f"{band} points" for band in halo_effect.band_names()), halo_effect.RISE]
    caption = f"Mean grade at sites that {halo_effect.called(judge)} calls healthy, by the points at the patient's other sites"
    return [error_figures.healthy(found[main], judge, whose(main)), Table(caption, head, rows), Text(SHADOW, "note")]
