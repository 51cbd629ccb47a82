"""Change over time: two visits of a person, scored by each rater, with its interval and the smallest detectable change."""

from __future__ import annotations

import numpy as np

from evaluation import detectable_change, section_ids, visit_pairs
from evaluation.detectable_change import Study
from evaluation.raters import MODEL, READER1, READER2, SPLITS, TRUTH, Raters
from evaluation.statistic import NAN, Statistic
from evaluation.visit_pairs import MEASURES, VERDICTS, Bounds, Pairs
from ra.agreement import Interval
from ra.anatomy import SITES, limb
from ra.tables import LEVELS
from report.blocks import Block, Cell, Section, Table, Text
from report.sections import change_figures
from report.sections import change_words as words
from stage3_stack.cohort import TARGETS

ID, TITLE = section_ids.CHANGE, "Change over time"
PAIRS_OF_RATERS = ((READER1, READER2), (MODEL, READER1), (MODEL, READER2))
ALL_THREE = (MODEL, READER1, READER2)
LIMB_FINDINGS = {f"{part} {finding}": np.array([limb(s.part) == part and s.finding == finding for s in SITES])
         for part in ("hand", "foot") for finding in ("erosion", "narrowing")}  # fmt: skip
SHOWN = 20  # pairs in the table of the page
FEW_PERSONS = 30  # with fewer persons the lead contains a warning


def statistic(
    name: str, rater: str, scope: str, value: Interval | float, n: int, *, split: str = "all", **more: object
) -> Statistic:
    """A number of this section; n counts pairs of visits unless `unit` gives another name."""
    ends = (value.value, value.low, value.high) if isinstance(value, Interval) else (float(value), NAN, NAN)
    return Statistic(ID, name, split, rater, scope, *ends, n=int(n), **({"unit": "pairs"} | more))


def make(raters: Raters) -> Section:
    """The section; only its lead if no person has two scored visits."""
    study, first_to_last = Study(visit_pairs.successive(raters)), visit_pairs.first_to_last(raters)
    if not study.has_change:
        return Section(ID, TITLE, words.MISSING)
    lead, extra = _lead(study)
    calibrating, n_persons = _calibration_note(study)
    blocks: list[Block] = [
        _verdict_table(study),
        _error_table(study),
        _icc_table(study),
        _coverage_table(study),
        calibrating,
        _share_table(study, first_to_last),
        change_figures.curves(study, first_to_last),
        change_figures.scatter(study),
        _sites_table(study),
        *_joints_table(study),
        _pairs_table(study),
        Text(words.NOTE, "note"),
    ]
    return Section(ID, TITLE, lead, blocks, [*extra, n_persons])


def _lead(study: Study) -> tuple[str, list[Statistic]]:
    n, n_persons = len(study.pairs), len(set(study.pairs.person.tolist()))
    pairs = statistic("pairs", READER1, "successive visits", n, n, digits=0)
    persons = statistic("persons", READER1, "successive visits", n_persons, n_persons, digits=0, unit="persons")
    a, b = study.judges
    n_both = int(np.isfinite(study.pairs.change(a)[:, 0] - study.pairs.change(b)[:, 0]).sum())
    sdc = statistic("sdc_1_reader", f"{a} and {b}", "total", study.sdc(95), n_both, digits=1)
    at_95, at_80 = (
        statistic("progressed", MODEL, f"{level} % interval above 0", (study.verdicts(level) == VERDICTS[0]).sum(), n, digits=0)
        for level in (95, 80)
    )
    lead = (
        f"{pairs.text} pairs of successive visits of {persons.text} persons. Smallest detectable change of the total for one "
        f"reader: {sdc.text} points (95 %, from {a} and {b}). The model finds progression in {at_95.text} of the pairs by its "
        f"95 % interval and in {at_80.text} by its 80 % interval.{words.FEW if n_persons < FEW_PERSONS else ''}"
    )
    return lead, [pairs, persons, sdc, at_95, at_80]


def _verdict_table(study: Study) -> Table:
    columns = [(READER1, "above_0"), (READER1, "above_sdc"), (TRUTH, "above_sdc")]
    columns = [(rater, name) for rater, name in columns if rater in study.names]
    rows = []
    for level in LEVELS:
        verdicts, limit = study.verdicts(level), {"above_0": 0.0, "above_sdc": study.sdc(level).value}
        for verdict in VERDICTS:
            chosen, scope = verdicts == verdict, f"{verdict}, {level} %"
            cells = [statistic("verdict", MODEL, scope, chosen.sum(), len(chosen), digits=0)]
            for rater, name in columns:
                share = detectable_change.above(study.pairs.change(rater)[chosen, 0], study.pairs.person[chosen], limit[name])
                cells.append(statistic(name, rater, scope, share, chosen.sum(), digits=2))
            rows.append([f"{verdict} ({level} %)", *cells])
    labels = {"above_0": "above 0", "above_sdc": "above the SDC"}
    return Table(words.VERDICT, ["the model's verdict", "pairs", *(f"{rater} {labels[name]}" for rater, name in columns)], rows)


def _pairs_of_raters(study: Study) -> list[tuple[str, str]]:
    return [(a, b) for a, b in PAIRS_OF_RATERS if a in study.names and b in study.names]


def _error_table(study: Study) -> Table:
    rows, person = [], study.pairs.person
    columns = {
        "sdc_1_reader": lambda a, b: detectable_change.sdc(a, b, person, 1),
        "sdc_mean_of_2": lambda a, b: detectable_change.sdc(a, b, person, 2),
        "sdc80_1_reader": lambda a, b: detectable_change.sdc(a, b, person, 1, z=detectable_change.Z80),
        "sdc80_mean_of_2": lambda a, b: detectable_change.sdc(a, b, person, 2, z=detectable_change.Z80),
        "sdd_1_reader": lambda a, b: detectable_change.sdd(a, b, person, 1),
        "sdd_mean_of_2": lambda a, b: detectable_change.sdd(a, b, person, 2),
    }
    for first, second in _pairs_of_raters(study):
        raters = f"{first} and {second}"
        for j, measure in enumerate(TARGETS):
            a, b = study.pairs.change(first)[:, j], study.pairs.change(second)[:, j]
            n = (~np.isnan(a - b)).sum()
            cells = [statistic(name, raters, measure, compute(a, b), n, digits=1) for name, compute in columns.items()]
            rows.append([f"{raters}: {measure}", *cells])
    head = ["", "SDC, one", "SDC, mean of two", "SDC 80 %, one", "SDC 80 %, mean of two", "SDD, one", "SDD, mean of two"]
    return Table(words.ERROR, head, rows)


def _icc_table(study: Study) -> Table:
    groups = [*_pairs_of_raters(study), *([ALL_THREE] if set(ALL_THREE) <= set(study.names) else [])]
    rows = []
    for names in groups:
        raters = " and ".join(names)
        for j, measure in enumerate(TARGETS):
            totals = np.column_stack([study.raters.by[name].totals[:, j] for name in names])
            changes = np.column_stack([study.pairs.change(name)[:, j] for name in names])
            status = _icc_cells("status", totals, study.raters.person, raters, measure, "sets of films")
            progression = _icc_cells("progression", changes, study.pairs.person, raters, measure, "pairs")
            rows.append([f"{raters}: {measure}", *status, *progression])
    head = ["", "status, one", "status, mean of all", "progression, one", "progression, mean of all"]
    return Table(words.ICC, head, rows)


def _icc_cells(kind: str, scores: np.ndarray, person: np.ndarray, raters: str, measure: str, unit: str) -> list[Statistic]:
    """ICC of a single rater, and of the mean of all raters, for scores (n, raters)."""
    n = (~np.isnan(scores).any(axis=1)).sum()
    return [
        statistic(f"{kind}_{form}", raters, measure, detectable_change.icc(scores, person, mean=mean), n, digits=2, unit=unit)
        for form, mean in (("icc_a1", False), ("icc_ak", True))
    ]


def _coverage_table(study: Study) -> Table:
    splits = [split for split in SPLITS if (study.pairs.split == split).any()]
    splits = [*splits, "all"] if len(splits) > 1 else splits
    rows = []
    for measure in MEASURES:
        for level, limits in study.bounds.items():
            rows.append([f"{measure}, {level} %", *_coverage_cells(study, measure, level, limits, splits)])
    head = ["interval of the change", *(f"coverage, {SPLITS.get(split, split)}" for split in splits), "median width", "factor"]
    return Table(words.COVERAGE, head, rows)


def _coverage_cells(study: Study, measure: str, level: int, limits: Bounds, splits: list[str]) -> list[Statistic]:
    pairs, columns = study.pairs, MEASURES[measure]
    low, high, truth = limits.low[:, columns], limits.high[:, columns], pairs.change(READER1)[:, columns]
    covered, scored = (low <= truth) & (truth <= high), ~np.isnan(low + truth)
    unit = "pairs" if measure in TARGETS else "sites of pairs"
    name, cells = f"coverage_{level}", []
    for split in splits:
        rows = np.full(len(pairs), True) if split == "all" else pairs.split == split
        share = detectable_change.share(covered[rows], scored[rows], pairs.person[rows])
        cells.append(statistic(name, MODEL, measure, share, scored[rows].sum(), split=split, digits=2, unit=unit))
    width = float(np.median((high - low)[scored])) if scored.any() else NAN
    factor = limits.factor[measure]
    return [
        *cells,
        statistic(f"width_{level}", MODEL, measure, width, scored.sum(), digits=1),
        statistic(f"factor_{level}", MODEL, measure, factor, limits.persons, digits=2, unit="persons"),
    ]


def _calibration_note(study: Study) -> tuple[Text, Statistic]:
    """A note on how the intervals were calibrated, and the number of persons on whom they were calibrated."""
    n = study.bounds[LEVELS[0]].persons
    persons = statistic("persons_calibrating", MODEL, "change intervals", n, n, digits=0, unit="persons")
    uncalibrated = [f"{level} %" for level in LEVELS if not visit_pairs.enough(n, level)]
    too_few = words.TOO_FEW.format(levels=" and ".join(uncalibrated)) if uncalibrated else ""
    return Text(words.INTERVAL.format(persons=persons.text) + too_few, "note"), persons


def _share_table(study: Study, first_to_last: Pairs) -> Table:
    rows, scope = [], "total, first to last visit"
    limits = {"0": 0, "0.5": 0.5, "sdc": study.sdc(95).value}
    for rater in study.names:
        changes = first_to_last.change(rater)[:, 0]
        n = (~np.isnan(changes)).sum()
        cells = []
        for name, limit in limits.items():
            share = detectable_change.above(changes, first_to_last.person, limit)
            cells.append(statistic(f"share_above_{name}", rater, scope, share, n, digits=2, unit="persons"))
        mean = statistic("mean_change", rater, scope, float(np.nanmean(changes)), n, digits=1, unit="persons")
        rows.append([rater, *cells, mean])
    return Table(words.SHARE, ["rater", "above 0", "above 0.5", "above the SDC", "mean change, points"], rows)


def _sites_table(study: Study) -> Table:
    pairs, rows = study.pairs, []
    low = study.bounds[95].low[:, MEASURES["joint sites"]]
    grades = {rater: study.raters.by[rater].whole for rater in study.names}
    for scope, sites in LIMB_FINDINGS.items():
        for rater in study.names:
            changes = (grades[rater][pairs.after] - grades[rater][pairs.before])[:, sites]
            cells: list[Cell] = []
            for name, sign in (("sites_rose", 1), ("sites_fell", -1)):
                share = detectable_change.share(sign * changes > 0, ~np.isnan(changes), pairs.person)
                n = (~np.isnan(changes)).sum()
                cells.append(statistic(name, rater, scope, share, n, digits=3, unit="sites of pairs"))
            if rater == MODEL:
                share = detectable_change.share(low[:, sites] > 0, ~np.isnan(low[:, sites]), pairs.person)
                n = (~np.isnan(low[:, sites])).sum()
                cells.append(statistic("sites_surely_rose", MODEL, scope, share, n, unit="sites of pairs"))
            else:
                cells.append(None)
            rows.append([f"{scope}: {rater}", *cells])
    return Table(words.SITES, ["", "rose", "fell", "rose, 95 % interval above 0"], rows)


def _pairs_table(study: Study) -> Table:
    pairs, limits, verdicts = study.pairs, study.bounds[95], study.verdicts(95)
    by_reader, by_model = (pairs.change(rater)[:, 0] for rater in (READER1, MODEL))
    largest_first = np.argsort(-np.where(np.isnan(by_reader), -np.inf, by_reader), kind="stable")
    rows = []
    for i in largest_first[:SHOWN]:
        scope, split = _visits_of_pair(study, i), pairs.split[i]
        interval = Interval(by_model[i], limits.low[i, 0], limits.high[i, 0])
        reader = statistic("change", READER1, scope, by_reader[i], 1, digits=0, split=split)
        model = statistic("change", MODEL, scope, interval, 1, digits=1, split=split)
        visits = f"{study.raters.visit[pairs.before[i]]} to {study.raters.visit[pairs.after[i]]}"
        rows.append([scope, visits, reader, model, verdicts[i]])
    return Table(words.SINGLE.format(shown=SHOWN), ["sets of films", "visits", READER1, MODEL, "the model's verdict"], rows)


def _joints_table(study: Study) -> list[Block]:
    """A table of single joint sites with progression according to the model, the most certain first; [] without such sites."""
    pairs, limits, columns = study.pairs, study.bounds[95], MEASURES["joint sites"]
    low, high = limits.low[:, columns], limits.high[:, columns]
    by_model, by_reader = (pairs.change(rater)[:, columns] for rater in (MODEL, READER1))
    progressed = sorted(zip(*np.nonzero(low > 0), strict=True), key=lambda index: -low[index])
    rows = []
    for i, j in progressed[:SHOWN]:
        films, split = _visits_of_pair(study, i), pairs.split[i]
        site = f"{SITES[j].part} {SITES[j].joint} {SITES[j].finding}"
        interval = Interval(by_model[i, j], low[i, j], high[i, j])
        reader = statistic("change", READER1, f"{films} {site}", by_reader[i, j], 1, digits=0, split=split)
        model = statistic("change", MODEL, f"{films} {site}", interval, 1, digits=1, split=split)
        rows.append([films, site, reader, model])
    return [Table(words.JOINTS.format(shown=SHOWN), ["sets of films", "joint site", READER1, MODEL], rows)] if rows else []


def _visits_of_pair(study: Study, i: int) -> str:
    """The sets of films of a pair of visits, such as: P001 to P002."""
    before, after = (study.raters.patients[rows[i]] for rows in (study.pairs.before, study.pairs.after))
    return f"{before} to {after}"
