"""Change over time: two visits of a person, by whom, how sure, and whether it is more than error."""

from __future__ import annotations

import numpy as np

from evaluation import change, progression
from evaluation.change import MEASURES, VERDICTS, Pairs
from evaluation.progression import Study
from evaluation.raters import MODEL, READER1, READER2, SPLITS, TRUTH, Raters
from evaluation.statistic import NAN, Statistic
from ra.agreement import Interval
from ra.anatomy import SITES, limb
from ra.tables import LEVELS
from report.blocks import Block, Section, Table, Text
from report.sections import change_figures
from report.sections import change_words as words
from stage3_stack.cohort import TARGETS

ID, TITLE = "change", "Change over time"
TWO = ((READER1, READER2), (MODEL, READER1), (MODEL, READER2))
THREE = (MODEL, READER1, READER2)
KINDS = {f"{part} {finding}": np.array([limb(s.part) == part and s.finding == finding for s in SITES])
         for part in ("hand", "foot") for finding in ("erosion", "narrowing")}  # fmt: skip
SHOWN = 20  # pairs in the table of the page
MANY = 30  # persons, below which the page warns


def statistic(
    name: str, of: str, scope: str, found: Interval | float, n: int, *, split: str = "all", **more: object
) -> Statistic:
    """A number of this section; n pairs unless `unit` says otherwise."""
    ends = (found.value, found.low, found.high) if isinstance(found, Interval) else (float(found), NAN, NAN)
    return Statistic(ID, name, split, of, scope, *ends, n=int(n), **({"unit": "pairs"} | more))


def make(raters: Raters) -> Section:
    """The section; without second visits its lead alone."""
    study, ends = Study(change.successive(raters)), change.first_to_last(raters)
    if not study.has_change:
        return Section(ID, TITLE, words.LACKING)
    told, more = _told(study)
    blocks: list[Block] = [_verdict_table(study), _error_table(study), _icc_table(study), _coverage_table(study)]
    blocks += [_coverage_note(study, more), _share_table(study, ends)]
    blocks += [change_figures.curves(study, ends), change_figures.scatter(study)]
    blocks += [_sites_table(study), *_joints_table(study), _pairs_table(study), Text(words.NOTE, "note")]
    return Section(ID, TITLE, told, blocks, more)


def _told(study: Study) -> tuple[str, list[Statistic]]:
    n, persons = len(study.pairs), len(set(study.pairs.person.tolist()))
    count = statistic("pairs", READER1, "successive visits", n, n, digits=0)
    people = statistic("persons", READER1, "successive visits", persons, persons, digits=0, unit="persons")
    a, b = study.judges
    both = int(np.isfinite(study.pairs.change(a)[:, 0] - study.pairs.change(b)[:, 0]).sum())
    sdc = statistic("sdc_1_reader", f"{a} and {b}", "total", study.sdc(95), both, digits=1)
    sure, likely = (
        statistic("progressed", MODEL, f"{level} % interval above 0", (study.verdicts(level) == VERDICTS[0]).sum(), n, digits=0)
        for level in (95, 80)
    )
    told = (
        f"{count.text} pairs of successive visits of {people.text} persons. A change of the total below {sdc.text} points is not "
        f"told from the error of one reader (95 %, {a} against {b}). By its own 95 % interval the model calls {sure.text} of the "
        f"pairs progressed, by its 80 % interval {likely.text}.{words.FEW if persons < MANY else ''}"
    )
    return told, [count, people, sdc, sure, likely]


def _verdict_table(study: Study) -> Table:
    columns = [(READER1, "above_0"), (READER1, "above_sdc"), (TRUTH, "above_sdc")]
    columns = [(name, word) for name, word in columns if name in study.names]
    rows = []
    for level in LEVELS:
        found, limit = study.verdicts(level), {"above_0": 0.0, "above_sdc": study.sdc(level).value}
        for verdict in VERDICTS:
            own, scope = found == verdict, f"{verdict}, {level} %"
            cells = [statistic("verdict", MODEL, scope, own.sum(), len(own), digits=0)]
            for name, word in columns:
                share = progression.above(study.pairs.change(name)[own, 0], study.pairs.person[own], limit[word])
                cells.append(statistic(word, name, scope, share, own.sum(), digits=2))
            rows.append([f"{verdict} ({level} %)", *cells])
    head = ["the model says", "pairs", *(f"{name} {word.replace('_', ' ').replace('sdc', 'the SDC')}" for name, word in columns)]
    return Table(words.VERDICT, head, rows)


def _pairs_of(study: Study) -> list[tuple[str, str]]:
    return [(a, b) for a, b in TWO if a in study.names and b in study.names]


def _error_table(study: Study) -> Table:
    rows, person = [], study.pairs.person
    columns = {
        "sdc_1_reader": lambda a, b: progression.sdc(a, b, person, 1),
        "sdc_mean_of_2": lambda a, b: progression.sdc(a, b, person, 2),
        "sdc80_1_reader": lambda a, b: progression.sdc(a, b, person, 1, z=progression.Z80),
        "sdc80_mean_of_2": lambda a, b: progression.sdc(a, b, person, 2, z=progression.Z80),
        "sdd_1_reader": lambda a, b: progression.sdd(a, b, person, 1),
        "sdd_mean_of_2": lambda a, b: progression.sdd(a, b, person, 2),
    }
    for one, other in _pairs_of(study):
        for j, measure in enumerate(TARGETS):
            a, b = study.pairs.change(one)[:, j], study.pairs.change(other)[:, j]
            n = (~np.isnan(a - b)).sum()
            cells = [statistic(name, f"{one} and {other}", measure, of(a, b), n, digits=1) for name, of in columns.items()]
            rows.append([f"{one} and {other}: {measure}", *cells])
    head = ["", "SDC, one", "SDC, mean of two", "SDC 80 %, one", "SDC 80 %, mean of two", "SDD, one", "SDD, mean of two"]
    return Table(words.ERROR, head, rows)


def _icc_table(study: Study) -> Table:
    groups = [*_pairs_of(study), *([THREE] if set(THREE) <= set(study.names) else [])]
    rows = []
    for names in groups:
        of = " and ".join(names)
        for j, measure in enumerate(TARGETS):
            status = np.column_stack([study.raters.by[name].totals[:, j] for name in names])
            moved = np.column_stack([study.pairs.change(name)[:, j] for name in names])
            cells = []
            for kind, scores, person, unit in (
                ("status", status, study.raters.person, "sets of films"),
                ("progression", moved, study.pairs.person, "pairs"),
            ):
                n = (~np.isnan(scores).any(axis=1)).sum()
                for form, mean in (("icc_a1", False), ("icc_ak", True)):
                    found = progression.icc(scores, person, mean=mean)
                    cells.append(statistic(f"{kind}_{form}", of, measure, found, n, digits=2, unit=unit))
            rows.append([f"{of}: {measure}", *cells])
    head = ["", "status, one", "status, mean of all", "progression, one", "progression, mean of all"]
    return Table(words.ICC, head, rows)


def _coverage_table(study: Study) -> Table:
    pairs, rows = study.pairs, []
    seen = pairs.change(READER1)
    splits = [split for split in SPLITS if (pairs.split == split).any()]
    splits = [*splits, "all"] if len(splits) > 1 else splits
    for measure, use in MEASURES.items():
        for level, limits in study.bounds.items():
            low, high, truly = limits.low[:, use], limits.high[:, use], seen[:, use]
            inside, known, cells = (low <= truly) & (truly <= high), ~np.isnan(low + truly), []
            for split in splits:
                own = np.full(len(pairs), True) if split == "all" else pairs.split == split
                share = progression.share(inside[own], known[own], pairs.person[own])
                unit = "pairs" if measure in TARGETS else "sites of pairs"
                cells.append(
                    statistic(f"coverage_{level}", MODEL, measure, share, known[own].sum(), split=split, digits=2, unit=unit)
                )
            width = float(np.median((high - low)[known])) if known.any() else NAN
            cells.append(statistic(f"width_{level}", MODEL, measure, width, known.sum(), digits=1))
            factor = limits.factor[measure]
            cells.append(statistic(f"factor_{level}", MODEL, measure, factor, limits.persons, digits=2, unit="persons"))
            rows.append([f"{measure}, {level} %", *cells])
    head = ["interval of the change", *(f"covers, {SPLITS.get(split, split)}" for split in splits), "median width", "factor"]
    return Table(words.COVERAGE, head, rows)


def _coverage_note(study: Study, more: list[Statistic]) -> Text:
    persons = study.bounds[LEVELS[0]].persons
    count = statistic("persons_calibrating", MODEL, "change intervals", persons, persons, digits=0, unit="persons")
    more.append(count)
    short = [f"{level} %" for level in LEVELS if not change.enough(persons, level)]
    told = words.INTERVAL.format(persons=count.text) + (words.TOO_FEW.format(levels=" and ".join(short)) if short else "")
    return Text(told, "note")


def _share_table(study: Study, ends: Pairs) -> Table:
    sdc, rows = study.sdc(95).value, []
    for name in study.names:
        moved = ends.change(name)[:, 0]
        n = (~np.isnan(moved)).sum()
        cells = [
            statistic(f"share_above_{word}", name, "total, first to last visit", progression.above(moved, ends.person, limit), n,
                      digits=2, unit="persons")
            for word, limit in (("0", 0), ("0.5", 0.5), ("sdc", sdc))
        ]  # fmt: skip
        mean = statistic("mean_change", name, "total, first to last visit", float(np.nanmean(moved)), n, digits=1, unit="persons")
        rows.append([name, *cells, mean])
    return Table(words.SHARE, ["rater", "above 0", "above 0.5", "above the SDC", "mean change, points"], rows)


def _sites_table(study: Study) -> Table:
    rows = []
    scored = {name: study.raters.by[name].whole for name in study.names}
    sure = study.bounds[95].low[:, MEASURES["joint sites"]]
    for kind, use in KINDS.items():
        for name in study.names:
            moved = (scored[name][study.pairs.after] - scored[name][study.pairs.before])[:, use]
            known = ~np.isnan(moved)
            cells = [statistic(f"sites_{way}", name, kind, progression.share(sign * moved > 0, known, study.pairs.person),
                               known.sum(), digits=3, unit="sites of pairs")
                     for way, sign in (("rose", 1), ("fell", -1))]  # fmt: skip
            own = sure[:, use]
            share = progression.share(own > 0, ~np.isnan(own), study.pairs.person) if name == MODEL else None
            last = share and statistic("sites_surely_rose", MODEL, kind, share, (~np.isnan(own)).sum(), unit="sites of pairs")
            rows.append([f"{kind}: {name}", *cells, last])
    return Table(words.SITES, ["", "rose", "fell", "rose, 95 % sure"], rows)


def _pairs_table(study: Study) -> Table:
    pairs, seen, limits = study.pairs, study.pairs.change(READER1)[:, 0], study.bounds[95]
    said, moved = study.verdicts(95), study.pairs.change(MODEL)[:, 0]
    rows = []
    for i in np.argsort(-np.where(np.isnan(seen), -np.inf, seen), kind="stable")[:SHOWN]:
        before, after = (study.raters.patients[rows_of[i]] for rows_of in (pairs.before, pairs.after))
        scope = f"{before} to {after}"
        theirs = statistic("change", READER1, scope, seen[i], 1, digits=0, split=pairs.split[i])
        own = Interval(moved[i], limits.low[i, 0], limits.high[i, 0])
        visits = f"{study.raters.visit[pairs.before[i]]} to {study.raters.visit[pairs.after[i]]}"
        rows.append([scope, visits, theirs, statistic("change", MODEL, scope, own, 1, digits=1, split=pairs.split[i]), said[i]])
    return Table(words.SINGLE.format(shown=SHOWN), ["sets of films", "visits", READER1, MODEL, "the model says"], rows)


def _joints_table(study: Study) -> list[Block]:
    """Single joint sites that rose, by the model, surest first; nothing where it is sure of none."""
    pairs, limits, use = study.pairs, study.bounds[95], MEASURES["joint sites"]
    low, high = limits.low[:, use], limits.high[:, use]
    moved, seen = (pairs.change(name)[:, use] for name in (MODEL, READER1))
    places = [(i, j) for i, j in zip(*np.nonzero(low > 0), strict=True)]
    rows = []
    for i, j in sorted(places, key=lambda place: -low[place])[:SHOWN]:
        films = f"{study.raters.patients[pairs.before[i]]} to {study.raters.patients[pairs.after[i]]}"
        place, split = f"{SITES[j].part} {SITES[j].joint} {SITES[j].finding}", pairs.split[i]
        theirs = statistic("change", READER1, f"{films} {place}", seen[i, j], 1, digits=0, split=split)
        own = Interval(moved[i, j], low[i, j], high[i, j])
        rows.append([films, place, theirs, statistic("change", MODEL, f"{films} {place}", own, 1, digits=1, split=split)])
    return [Table(words.JOINTS.format(shown=SHOWN), ["sets of films", "joint site", READER1, MODEL], rows)] if rows else []
