"""Agreement between the model and the readers, and between the readers themselves, on totals and on grades."""

from __future__ import annotations

import numpy as np

from evaluation import agreement, site_groups, three_raters
from evaluation.agreement import COLLECTED, GAP, Statistics, pair_name
from evaluation.raters import MODEL, READER1, TRUTH, Raters
from ra.anatomy import FINDINGS
from report.blocks import Block, Cell, Section, Table, Text
from report.plotting import sentence

ID, TITLE = agreement.SECTION, "Agreement"
LABELS = {
    "icc_1_1": "ICC(1,1)",
    "icc_2_1": "ICC(2,1)",
    "icc_2_k": "ICC(2,k)",
    "bias": "bias",
    "lower": "lower limit of agreement",
    "upper": "upper limit of agreement",
    "slope": "slope of the difference",
    "distance": "mean absolute difference",
    "kappa": "quadratic kappa",
    "exact": "same grade",
    "within_one": "at most one grade apart",
    "sensitivity": "sensitivity for any damage",
    "specificity": "specificity for any damage",
    "balanced": "balanced accuracy",
    "balanced_within_one": "balanced accuracy, within one grade",
}
GAP_LABEL = "difference: model with readers − readers with each other"
# name, scope, and its short name in evaluation.agreement.GAPS
MAIN = (("icc_2_1", "total", "icc"), ("distance", "total", "distance"), ("kappa", site_groups.EVERYTHING, "kappa"),
        ("exact", site_groups.EVERYTHING, "exact"))  # fmt: skip
LIMITS = ("bias", "lower", "upper", "slope", "distance")
GRADE_STATISTICS = ("kappa", "exact", "within_one", "sensitivity", "specificity", "balanced", "balanced_within_one")
RESCORED_STATISTICS = ("icc_1_1", "kappa", "exact", "within_one", "balanced", "balanced_within_one")
SECOND_READER = (
    "Add a second reader's scores of the same films as RAW/train/reader2.csv and RAW/gold/reader2.csv and prepare the set again."
)
NOTE = (
    "How to read the tables. ICC: intraclass correlation, two-way random effects, absolute agreement, of a single rater (2,1) "
    "and of the mean of the raters compared (2,k); 1 is perfect agreement, 0 is none. Quadratic kappa: agreement beyond "
    "chance, in which a difference of two grades weighs four times as much as a difference of one. Balanced accuracy: the "
    "share of the reference's sites to which the first rater gave the same grade, computed for each grade and averaged over "
    "the grades, so that the many healthy sites do not dominate. In 'A against B' differences are A − B, and B is the "
    "reference of sensitivity, specificity and balanced accuracy. The model's grades are rounded to whole grades wherever "
    "grades are counted. Intervals are 95 % confidence intervals: classical for the ICC of totals (F distribution, patients "
    "independent), Wald intervals with persons as units for balanced accuracies, bootstrap over persons for all others. A "
    "slope below 0 means that the first rater scores lower than the second in patients with much damage."
)


def make(raters: Raters) -> Section:
    """Agreement in each split; the figures show the split with the most patients."""
    return section(raters, raters.splits)


def section(raters: Raters, splits: list[str]) -> Section:
    """The section of any raters; the split `all` is every row."""
    names = [name for name in raters.names if name != TRUTH]
    pairs = agreement.pairs(names)
    if not pairs or not splits:
        scored_by = ", ".join(names) or "none"
        return Section(ID, TITLE, f"Only one rater scored these patients ({scored_by}): agreement needs two. {SECOND_READER}")
    by_split = {split: agreement.measure(raters, split) for split in splits}
    if len(names) == 3:
        for split, statistics in by_split.items():
            statistics |= {(one.name, one.of, one.scope): one for one in three_raters.measure(raters, split, names)}
    main = main_split(raters, splits)
    blocks: list[Block] = [_main_table(by_split, pairs), *_against_truth(by_split, raters.names)]
    blocks += _figures(raters.in_split(main), pairs, names, by_split[main], patients_of(main))
    for split in sorted(splits, key=lambda split: split != main):
        blocks += _details(by_split[split], pairs, patients_of(split))
    extra = [statistic for statistics in by_split.values() for statistic in statistics.values()]
    return Section(ID, TITLE, _lead(by_split, pairs, names), [*blocks, Text(NOTE, "note")], extra)


def main_split(raters: Raters, splits: list[str]) -> str:
    """The split that figures show, which is the one with the most patients."""
    return max(splits, key=lambda split: len(raters.in_split(split).patients))


def patients_of(split: str) -> str:
    """The patients of a split, as captions name them."""
    return {"oof": "training patients, out of fold", "test": "test patients"}.get(split, "all patients")


def _lead(by_split: dict[str, Statistics], pairs: list[tuple[str, str]], names: list[str]) -> str:
    if not {MODEL, READER1} <= set(names):
        icc = next(iter(by_split.values()))["icc_2_1", pair_name(*pairs[0]), "total"]
        return f"{pair_name(*pairs[0])}, {icc.n} sets of films with a total by both: ICC(2,1) of the total is {icc.text}."
    sentences = [f"{patients_of(split)}{_verdict(statistics, pairs[0])}" for split, statistics in by_split.items()]
    missing = "" if len(names) > 2 else f" There is no second reader. {SECOND_READER}"
    question = "Does the model agree with the readers as well as they agree with each other?"
    return f"{question} {sentence('; '.join(sentences))}.{missing}"


def _verdict(statistics: Statistics, pair: tuple[str, str]) -> str:
    """The comparison in words, by the ICC of the total or, without totals, by the kappa of all sites."""
    for short, name, label, scope in (
        ("icc", "icc_2_1", "ICC", "total"),
        ("kappa", "kappa", "kappa", site_groups.EVERYTHING),
    ):
        gap, agreement_of_pair = statistics.get((f"{short}_gap", GAP, scope)), statistics[name, pair_name(*pair), scope]
        if gap is not None and not np.isnan(gap.low):
            verdict = _compared_to_zero(gap.low, gap.high)
            result = f"the model's agreement with the readers {verdict} their agreement with each other"
            return f" (n = {gap.n}): {result}, difference of {label}, {scope}: {gap.text}"
        if gap is None and agreement_of_pair.n:
            n = f"n = {agreement_of_pair.n} {agreement_of_pair.unit}"
            return f" ({n}): {label} of {pair_name(*pair)}, {scope}: {agreement_of_pair.text}"
    return ": too few patients for a comparison"


def _compared_to_zero(low: float, high: float) -> str:
    if low > 0:
        return "is better than"
    return "is worse than" if high < 0 else "does not differ significantly from"


def _cells(statistics: Statistics, name: str, columns: list[str], scope: str) -> list[Cell]:
    return [statistics.get((name, column, scope)) for column in columns]


def _main_table(by_split: dict[str, Statistics], pairs: list[tuple[str, str]]) -> Table:
    columns = [pair_name(*pair) for pair in pairs]
    with_gap = any((f"{short}_gap", GAP, scope) in known for known in by_split.values() for _, scope, short in MAIN)
    rows = []
    for name, scope, short in MAIN:
        for split, statistics in by_split.items():
            gap = [statistics.get((f"{short}_gap", GAP, scope))] if with_gap else []
            label = f"{LABELS[name]}, {scope}; {patients_of(split)}"
            rows.append([label, *_cells(statistics, name, columns, scope), *gap])
    return Table("Agreement between the raters", ["", *columns, *([GAP_LABEL] if with_gap else [])], rows)


def _against_truth(by_split: dict[str, Statistics], names: list[str]) -> list[Block]:
    if TRUTH not in names:
        return []
    columns = [pair_name(name, TRUTH) for name in names if name != TRUTH]
    rows = [
        [f"{LABELS[name]}, {scope}; {patients_of(split)}", *_cells(statistics, name, columns, scope)]
        for name, scope, _ in MAIN
        for split, statistics in by_split.items()
    ]
    return [Table("Agreement with the simulated true grades, which only synthetic sets have", ["", *columns], rows)]


def _figures(rows: Raters, pairs: list[tuple[str, str]], names: list[str], statistics: Statistics, patients: str) -> list[Block]:
    from report import rater_figures

    out: list[Block] = []
    if any(statistics["bias", pair_name(*pair), "total"].n for pair in pairs):
        out.append(rater_figures.bland_altman(rows, pairs, statistics, patients))
        out.append(rater_figures.totals(rows, pairs, patients))
    if any(statistics["kappa", pair_name(*pair), site_groups.EVERYTHING].n for pair in pairs):
        out.append(rater_figures.confusion(rows, pairs, patients))
        if len(names) == 3:
            out.append(rater_figures.venn(names, statistics, patients))
    return out


def _details(statistics: Statistics, pairs: list[tuple[str, str]], patients: str) -> list[Block]:
    columns = [pair_name(*pair) for pair in pairs]
    with_all_three = [*columns, *([COLLECTED] if ("icc_2_1", COLLECTED, "total") in statistics else [])]
    totals = ("total", *FINDINGS)
    iccs = [(name, scope) for scope in (*totals, site_groups.EVERYTHING) for name in agreement.FORMS]
    limits = [(name, scope) for scope in totals for name in LIMITS]
    kappas = [("kappa", scope) for scope in site_groups.JOINT_TYPES]
    grades = [(name, scope) for scope in (*site_groups.ALL, *site_groups.LIMB_FINDINGS) for name in GRADE_STATISTICS]
    tables = [
        _table(statistics, f"Intraclass correlation; {patients}", with_all_three, iccs),
        _table(statistics, f"Bland-Altman analysis, in points; {patients}", columns, limits),
        _table(statistics, f"Quadratic kappa by joint type; {patients}", columns, kappas),
        _table(statistics, f"Agreement on grades by limb and finding; {patients}", columns, grades),
    ]
    return [*(table for table in tables if table.rows), *_rescored(statistics, with_all_three, pairs[0][1], patients)]


def _table(statistics: Statistics, caption: str, columns: list[str], keys: list[tuple[str, str]]) -> Table:
    """A row per (name, scope) for which at least one number is known."""
    has_one_name = len({name for name, _ in keys}) == 1  # the caption then names it
    rows = []
    for name, scope in keys:
        cells = _cells(statistics, name, columns, scope)
        if any(cell is not None and not np.isnan(cell.value) for cell in cells):
            rows.append([scope if has_one_name else f"{scope}: {LABELS[name]}", *cells])
    return Table(caption, ["", *columns], rows)


def _rescored(statistics: Statistics, columns: list[str], stratified_by: str, patients: str) -> list[Block]:
    """The statistics of Rohrbach et al. 2019 on a sample with equally many sites of each grade."""
    if ("icc_1_1", COLLECTED, three_raters.RESCORED) not in statistics:
        return []
    rows = [[LABELS[name], *_cells(statistics, name, columns, three_raters.RESCORED)] for name in RESCORED_STATISTICS]
    caption = f"Equal numbers of sites of each grade of {stratified_by}, as in Rohrbach et al. 2019; {patients}"
    return [Table(caption, ["", *columns], rows)]
