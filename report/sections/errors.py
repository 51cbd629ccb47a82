"""Errors by joint on a drawn hand and foot, calibration of the probabilities, healthy joints of damaged patients."""

from __future__ import annotations

import numpy as np

from evaluation import calibration, halo_effect, site_errors, site_groups
from evaluation.agreement import pair_name
from evaluation.raters import MODEL, READER1, READER2, Raters
from evaluation.site_errors import Sites, site_name
from evaluation.statistic import Statistic
from report.blocks import Block, Section, Table, Text
from report.plotting import sentence
from report.sections.agreement import main_split, patients_of

ID, TITLE = site_errors.SECTION, "Errors by joint"
N_LARGEST = 12  # sites in the table
MISSING = "Errors by site need grades of the same sites by two raters, which this set does not have."
NO_PROBABILITIES = "No member of this run predicts probabilities of grades, so calibration cannot be computed."
NO_REFERENCE = (
    "A second reader or the simulated true grades are needed to find out whether healthy joints of damaged patients are scored "
    "higher; this set has neither."
)
HALO = (
    "Halo effect: readers score a healthy joint higher when the patient's other joints are damaged. A stack that uses a "
    "patient's other joints learns this bias from the reader; a stack that uses each joint alone cannot. A model's mean grade at "
    "healthy sites is also above 0 where it is uncertain, because its grade is an expected value. For the line of a model that "
    "uses each joint alone, train the variant own_site_only: python -m stage3_stack.train "
    "configs/papers/stack/ablations.yaml --data SET."
)
RISE_LABEL = "third band − first band"


def make(raters: Raters) -> Section:
    """Errors of the model against reader 1, next to those of reader 1 against reader 2."""
    splits = raters.splits
    if MODEL not in raters.names or READER1 not in raters.names:
        return Section(ID, TITLE, MISSING)
    pairs = [(MODEL, READER1)] + ([(READER1, READER2)] if READER2 in raters.names else [])
    out = section(raters, splits, pairs)
    if not out.blocks:
        return out
    main = main_split(raters, splits)
    calibrations = {split: calibration.measure(raters, split) for split in splits}
    with_own_site = halo_effect.with_own_site_run(raters)
    healthy = {split: halo_effect.measure(with_own_site, split) for split in splits}
    out.blocks += [*_calibration(calibrations, main), *_healthy(raters, healthy, main)]
    out.extra += [one for statistics in (*calibrations.values(), *healthy.values()) for one in statistics.values()]
    return out


def section(raters: Raters, splits: list[str], pairs: list[tuple[str, str]]) -> Section:
    """Error and bias by site of any pairs of raters; the lead is about the first pair, figures show the largest split."""
    graded = [pair for pair in pairs if not np.isnan(raters.by[pair[0]].grades + raters.by[pair[1]].grades).all()]
    if not graded or not splits:
        return Section(ID, TITLE, MISSING)
    main = main_split(raters, splits)
    patients = patients_of(main)
    by_split = {split: {pair_name(*pair): site_errors.by_site(raters, split, pair) for pair in graded} for split in splits}
    extra = [
        statistic
        for by_pair in by_split.values()
        for sites in by_pair.values()
        for statistics in sites.values()
        for statistic in statistics.values()
    ]
    return Section(ID, TITLE, _lead(graded[0], by_split[main], patients), _sites(by_split[main], patients), extra)


def _largest(sites: Sites) -> list[tuple[str, str, str]]:
    """The sites with the largest mean absolute error, largest first."""
    scored = [key for key, statistics in sites.items() if not np.isnan(statistics["mae"].value)]
    return sorted(scored, key=lambda key: -sites[key]["mae"].value)[:N_LARGEST]


def _lead(pair: tuple[str, str], by_pair: dict[str, Sites], patients: str) -> str:
    sites = by_pair[pair_name(*pair)]
    error = sites[_largest(sites)[0]]["mae"]
    between = f"{sentence(pair[0])} and {pair[1]}"
    return f"{between} differ most at {error.scope}: by {error.text} grades on average ({patients}, n = {error.n} sites)."


def _sites(by_pair: dict[str, Sites], patients: str) -> list[Block]:
    from report import error_figures

    (first, sites), *_ = by_pair.items()
    start = f"{sentence(patients)}; left and right side together, drawn as on the film of a left hand and foot. "
    size = f"{start}Mean absolute difference of two grades. Erosion is graded to 10 in feet and to 5 in hands, narrowing to 4."
    sign = f"{start}Mean difference of two grades: red where the first rater's grades are higher, blue where they are lower."
    labels = {"mae": "mean absolute error", "bias": "bias"}
    columns = [(pair, name) for pair in by_pair for name in labels]
    rows = [[site_name(key), *(by_pair[pair][key][name] for pair, name in columns)] for key in _largest(sites)]
    caption = f"Sites with the largest errors of {first}, in grades; {patients}; numbers.csv lists all sites"
    return [
        error_figures.by_site(by_pair, "mae", "Error by site", size),
        error_figures.by_site(by_pair, "bias", "Bias by site", sign),
        Table(caption, ["site", *(f"{labels[name]}, {pair}" for pair, name in columns)], rows),
    ]


def _calibration(by_split: dict[str, dict[tuple[str, str], Statistic]], main: str) -> list[Block]:
    from report import error_figures

    if not by_split[main]:
        return [Text(NO_PROBABILITIES, "note")]
    rows = [
        [f"{scope}; {patients_of(split)}", *(statistics.get((name, scope)) for name in ("expected", "observed", "excess", "ece"))]
        for split, statistics in by_split.items()
        for scope in site_groups.LIMB_FINDINGS
        if ("ece", scope) in statistics
    ]
    head = ["", "predicted", "observed", "predicted − observed", "calibration error"]
    caption = (
        "Probabilities of the joint members, before stacking: predicted and observed share of sites with any damage by reader 1, "
        "and the expected calibration error (mean absolute difference over tenths of the predicted probability)"
    )
    return [error_figures.calibration(by_split[main], patients_of(main)), Table(caption, head, rows)]


def _healthy(raters: Raters, by_split: dict[str, dict[tuple[str, str, str], Statistic]], main: str) -> list[Block]:
    from report import error_figures

    if not by_split[main]:
        return [Text(NO_REFERENCE, "note")]
    reference = halo_effect.reference(raters)
    bands = halo_effect.band_names()
    rows = []
    for split, statistics in by_split.items():
        for rater in dict.fromkeys(rater for _, rater, _ in by_split[main]):
            means = [statistics.get(("mean_at_healthy", rater, band)) for band in bands]
            rise = statistics.get(("rise_at_healthy", rater, halo_effect.RISE))
            rows.append([f"{rater}; {patients_of(split)}", *means, rise])
    head = ["", *(f"{band} points" for band in bands), RISE_LABEL]
    caption = (
        f"Mean grade at sites that are healthy according to {halo_effect.called(reference)}, by the points at the patient's "
        "other sites"
    )
    figure = error_figures.healthy(by_split[main], reference, patients_of(main))
    return [figure, Table(caption, head, rows), Text(HALO, "note")]
