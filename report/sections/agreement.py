"""Model against readers and readers against each other: how close, on totals and on grades."""

from __future__ import annotations

import numpy as np

from evaluation import agreement, site_groups, three_raters
from evaluation.agreement import COLLECTED, GAP, Statistics, pair_name
from evaluation.raters import MODEL, READER1, TRUTH, Raters
from ra.anatomy import FINDINGS
from report.blocks import Block, Cell, Section, Table, Text

ID, TITLE = agreement.SECTION, "Agreement"
WORDS = {
    "icc_2_1": "ICC(2,1)",
    "icc_2_k": "ICC(2,k)",
    "bias": "bias",
    "lower": "lower limit of agreement",
    "upper": "upper limit of agreement",
    "slope": "slope of the difference",
    "distance": "mean distance",
    "kappa": "quadratic kappa",
    "exact": "same grade",
    "within_one": "at most one grade apart",
    "sensitivity": "sensitivity for any damage",
    "specificity": "specificity for any damage",
    "balanced": "balanced accuracy",
    "balanced_within_one": "balanced accuracy, within one grade",
}
CLOSE = (("icc_2_1", "total", "icc"), ("distance", "total", "distance"), ("kappa", site_groups.EVERYTHING, "kappa"),
         ("exact", site_groups.EVERYTHING, "exact"))  # fmt: skip
HOW = (
    "How to read it. ICC: intraclass correlation, two-way random, absolute agreement, of one rater (2,1) and of the mean of "
    "the raters compared (2,k); 1 is perfect, 0 is none. Quadratic kappa: agreement beyond chance in which a miss of two "
    "grades weighs four times one of a single grade. Balanced accuracy: the mean, over the grades that occur, of the share "
    "that the first rater met, so that healthy sites do not drown the rest. In 'A against B' a difference is A less B, and B "
    "is the reference of sensitivity, specificity and balanced accuracy. The model's grades are rounded to whole ones for all "
    "that counts grades. Intervals are 95 %: of the ICC of totals the classical one (F distribution, patients independent), of "
    "balanced accuracies Wald's with persons as units, of all else the bootstrap's over persons. A slope below 0 says that the "
    "first rater gives less than the second to badly damaged patients."
)


def make(raters: Raters) -> Section:
    """Per split; the split of most patients is drawn."""
    return section(raters, raters.splits)


def section(raters: Raters, splits: list[str]) -> Section:
    """The same of any raters; `all` is a split of every row."""
    names = [name for name in raters.names if name != TRUTH]
    pairs = agreement.pairs(names)
    if not pairs or not splits:
        return Section(
            ID, TITLE, f"Only one rater scored these patients ({', '.join(names) or 'none'}): there is nothing to compare. {CURE}"
        )
    founds = {split: agreement.measure(raters, split) for split in splits}
    if len(names) == 3:
        for split, found in founds.items():
            found |= {(one.name, one.of, one.scope): one for one in three_raters.measure(raters, split, names)}
    main = drawn(raters, splits)
    blocks: list[Block] = [_closeness(founds, pairs), *_truth(founds, raters.names)]
    blocks += _pictures(raters.in_split(main), pairs, names, founds[main], whose(main))
    for split in sorted(splits, key=lambda split: split != main):
        blocks += _details(founds[split], pairs, whose(split))
    more = [one for found in founds.values() for one in found.values()]
    return Section(ID, TITLE, _lead(founds, pairs, names), [*blocks, Text(HOW, "note")], more)


CURE = "Bring a second reading of the same films as RAW/train/reader2.csv and RAW/gold/reader2.csv and prepare the set again."


def drawn(raters: Raters, splits: list[str]) -> str:
    """The split whose pictures are shown: that of most patients."""
    return max(splits, key=lambda split: len(raters.in_split(split).patients))


def whose(split: str) -> str:
    """Of whom a table or a picture is."""
    return {"oof": "training patients, out of fold", "test": "test patients"}.get(split, "all patients")


def _lead(founds: dict[str, Statistics], pairs: list[tuple[str, str]], names: list[str]) -> str:
    if not {MODEL, READER1} <= set(names):
        one = next(iter(founds.values()))["icc_2_1", pair_name(*pairs[0]), "total"]
        return f"{pair_name(*pairs[0])}, {one.n} sets of films with a total by both: ICC(2,1) of the total is {one.text}."
    said = [f"{whose(split)}{_verdict(found, pairs[0])}" for split, found in founds.items()]
    cure = "" if len(names) > 2 else f" A second reader is lacking. {CURE}"
    return f"Is the model as close to the readers as they are to each other? Of {'; '.join(said)}.{cure}"


def _verdict(found: Statistics, pair: tuple[str, str]) -> str:
    """By the ICC of the total, or where there are no totals by the kappa of all sites."""
    for short, name, what, scope in (("icc", "icc_2_1", "ICC", "total"), ("kappa", "kappa", "kappa", site_groups.EVERYTHING)):
        gap, one = found.get((f"{short}_gap", GAP, scope)), found[name, pair_name(*pair), scope]
        if gap is not None and not np.isnan(gap.low):
            verdict = "cannot be told from" if gap.low <= 0 <= gap.high else "is above" if gap.low > 0 else "is below"
            how = f"{what}, {scope}: difference {gap.text}"
            return f" (n = {gap.n}): the model's agreement with the readers {verdict} theirs with each other ({how})"
        if gap is None and one.n:
            return f" (n = {one.n} {one.unit}): {what} of {pair_name(*pair)}, {scope}: {one.text}"
    return ": too few patients to say"


def _some(cells: list[Cell]) -> bool:
    """Whether a row of a table says anything."""
    return any(cell is not None and not np.isnan(cell.value) for cell in cells)


def _cells(found: Statistics, name: str, of: list[str], scope: str) -> list[Cell]:
    return [found.get((name, one, scope)) for one in of]


def _closeness(founds: dict[str, Statistics], pairs: list[tuple[str, str]]) -> Table:
    columns = [pair_name(*pair) for pair in pairs]
    gap = any((f"{short}_gap", GAP, scope) in found for found in founds.values() for _, scope, short in CLOSE)
    rows = [
        [f"{WORDS[name]}, {scope}; {whose(split)}", *_cells(found, name, columns, scope)]
        + ([found.get((f"{short}_gap", GAP, scope))] if gap else [])
        for name, scope, short in CLOSE
        for split, found in founds.items()
    ]
    return Table("How close the raters are to each other", ["", *columns, *([GAP] if gap else [])], rows)


def _truth(founds: dict[str, Statistics], names: list[str]) -> list[Block]:
    if TRUTH not in names:
        return []
    columns = [pair_name(name, TRUTH) for name in names if name != TRUTH]
    rows = [
        [f"{WORDS[name]}, {scope}; {whose(split)}", *_cells(found, name, columns, scope)]
        for name, scope, _ in CLOSE
        for split, found in founds.items()
    ]
    return [Table("Against the truth behind the synthetic readers, which no real set has", ["", *columns], rows)]


def _pictures(rows: Raters, pairs: list[tuple[str, str]], names: list[str], found: Statistics, who: str) -> list[Block]:
    from report import rater_figures

    out: list[Block] = []
    if any(found["bias", pair_name(*pair), "total"].n for pair in pairs):
        out += [rater_figures.bland_altman(rows, pairs, found, who), rater_figures.totals(rows, pairs, who)]
    if any(found["kappa", pair_name(*pair), site_groups.EVERYTHING].n for pair in pairs):
        out.append(rater_figures.confusion(rows, pairs, who))
        if len(names) == 3:
            out.append(rater_figures.venn(names, found, who))
    return out


def _details(found: Statistics, pairs: list[tuple[str, str]], who: str) -> list[Block]:
    columns = [pair_name(*pair) for pair in pairs]
    three = [*columns, *([COLLECTED] if ("icc_2_1", COLLECTED, "total") in found else [])]
    totals = ("total", *FINDINGS)
    limits = ("bias", "lower", "upper", "slope", "distance")
    counted = ("kappa", "exact", "within_one", "sensitivity", "specificity", "balanced", "balanced_within_one")

    def table(caption: str, of: list[str], keys: list[tuple[str, str]]) -> Table:
        one = len({name for name, _ in keys}) == 1  # the caption says which
        rows = [[scope if one else f"{scope}: {WORDS[name]}", *_cells(found, name, of, scope)] for name, scope in keys]
        return Table(f"{caption}; {who}", ["", *of], [row for row in rows if _some(row[1:])])

    tables = [
        table(
            "Intraclass correlation",
            three,
            [(name, scope) for scope in (*totals, site_groups.EVERYTHING) for name in agreement.FORMS],
        ),
        table("Bland and Altman, in points", columns, [(name, scope) for scope in totals for name in limits]),
        table("Quadratic kappa by joint type", columns, [("kappa", scope) for scope in site_groups.JOINT_TYPES]),
        table(
            "Grades by limb and finding",
            columns,
            [(n, scope) for scope in (*site_groups.ALL, *site_groups.LIMB_FINDINGS) for n in counted],
        ),
    ]
    return [*(one for one in tables if one.rows), *_rescored(found, three, pairs[0][1], who)]


def _rescored(found: Statistics, three: list[str], drawn_by: str, who: str) -> list[Block]:
    if ("icc_1_1", COLLECTED, three_raters.RESCORED) not in found:
        return []
    words = {
        "icc_1_1": "ICC(1,1)",
        **{name: WORDS[name] for name in ("kappa", "exact", "within_one", "balanced", "balanced_within_one")},
    }
    rows = [[text, *_cells(found, name, three, three_raters.RESCORED)] for name, text in words.items()]
    return [
        Table(
            f"On equal numbers of each grade of {drawn_by}, as Rohrbach et al. 2019 compared three raters; {who}",
            ["", *three],
            rows,
        )
    ]
