"""Where the run stands: floors, members, learners, the blend and the readers' noise, on the challenge's scores."""

from __future__ import annotations

import numpy as np

from evaluation import leaderboard, runtime
from evaluation import leaderboard_statistics as evidence
from evaluation.leaderboard import Leaderboard
from evaluation.leaderboard_statistics import Line
from evaluation.raters import READER2, SPLITS, Raters
from evaluation.statistic import Statistic
from report import plotting
from report.blocks import Block, Picture, Section, Table, Text
from stage3_stack.outputs import RANKED

ID, TITLE = evidence.SECTION, "Where the run stands"
NAMES = {"sc1": "SC1 total", "sc2": "SC2 narrowing", "sc3": "SC3 erosion"}
STAGES = {"member": "stage 2, best member", "learner": "stage 3, best learner", "blend": "stage 3, blend"}
COLOUR = {"member": plotting.COLOURS[1], "learner": plotting.COLOURS[5], "blend": plotting.ACCENT}
MINUTES = (
    "Read off the record of every step that went into this run. Members that train side by side share the processor, so their "
    "minutes add up to more than the clock showed; intervals, submission and this report are not among them."
)
SCORES = (
    "The challenge's three scores are weighted errors on the scale log2(score + 1); lower is better and patients with more "
    "damage weigh more. The column mean gives every patient the training patients' mean and knows no film: it is 0 % of the way. "
)


def make(raters: Raters) -> Section:
    """The results table, the way from the column mean to the noise floor, the comparison with the best member, the minutes."""
    standing = leaderboard.of_raters(raters)
    if not standing.gold:
        return Section(ID, TITLE, "Nothing can be measured: reader 1 scored no patient of this set (gold.csv, data.prepare).")
    found = {split: evidence.lines(standing, split) for split in standing.splits}
    blocks: list[Block] = [Text(SCORES + _floor_words(standing))]
    ways = [line.way[s] for lines in found.values() for line in lines for s in RANKED if line.kind in STAGES]
    if any(not np.isnan(way.value) for way in ways):
        blocks += [_picture(found), _stages(found)]
    blocks += [_table(split, lines) for split, lines in found.items()]
    compared = {split: evidence.differences(standing, split) for split in found}
    if any(compared.values()):
        blocks.append(_compared(compared))
    blocks.append(_totals({split: evidence.totals(raters, split) for split in found}))
    if standing.note:
        blocks.append(Text(standing.note, "note"))
    steps = runtime.steps(raters)
    if steps:
        blocks += _minutes(steps)
    return Section(ID, TITLE, _lead(found), blocks, ways)


def _lead(found: dict[str, list[Line]]) -> str:
    """How far the run came, per split: percent of the way, or its plain scores where the ends of the way are not known."""
    said = []
    for split, lines in found.items():
        blend = next(line for line in lines if line.kind == "blend")
        way = {s: one for s, one in blend.way.items() if not np.isnan(one.value)}
        known = way or {s: one for s, one in blend.score.items() if not np.isnan(one.value)}
        figures = ", ".join(f"{NAMES[s]} {one.text}" for s, one in known.items())
        n = max(one.n for one in blend.score.values())
        words = "percent of the way from knowing no film to the noise floor" if way else "scores"
        said.append(f"{SPLITS[split].capitalize()}, {n} sets of films, {words}: {figures}")
    return ". ".join(said) + "."


def _floor_words(standing: Leaderboard) -> str:
    noise = next(filter(None, map(standing.noise_row, standing.splits)), None)
    if noise is None:
        return "What readers cannot tell apart themselves is not known here: the set has neither a second reading nor a truth."
    if noise[1] == READER2:
        return "100 % of the way is a second reader's distance from the first."
    return "100 % of the way is the noise floor: the distance of the synthetic truth from what the simulated reader wrote down."


def _table(split: str, lines: list[Line]) -> Table:
    head = ["", *(name for s in RANKED for name in (NAMES[s], "% below mean"))]
    rows = [[_name(line), *(cell for s in RANKED for cell in (line.score[s], line.below[s]))] for line in lines]
    return Table(
        f"Scores, {SPLITS[split]}, with 95 % intervals (bootstrap over persons), and how far below the column mean", head, rows
    )


def _totals(found: dict[str, dict[str, dict[str, Statistic]]]) -> Table:
    """How high and how different the totals are that each rater gives."""
    rows = [
        [f"{SPLITS[split]}: {name}", own["mean"], own["sd"], own.get("sd_ratio")]
        for split, raters in found.items()
        for name, own in raters.items()
    ]
    return Table(
        "Patients' totals by rater; a spread far below reader 1's means that patients are not told apart",
        ["", "mean", "standard deviation", "its ratio to reader 1's"],
        rows,
    )


def _name(line: Line) -> str:
    return f"{line.kind}: {line.name}"


def _stages(found: dict[str, list[Line]]) -> Table:
    """Percent of the way to the noise floor: the best member of stage 2, the best learner of stage 3, the blend."""
    rows = []
    for split, lines in found.items():
        for kind, words in STAGES.items():
            own = [line for line in lines if line.kind == kind]
            best = [max((line.way[s] for line in own), key=_value, default=None) for s in RANKED]
            if any(one is not None and not np.isnan(one.value) for one in best):
                rows.append([f"{SPLITS[split]}: {words}", *best])
    caption = (
        "Percent of the way from the column mean to the noise floor: what each stage adds. The best of several is flattered."
    )
    return Table(caption, ["", *NAMES.values()], rows)


def _value(one: Statistic) -> float:
    return -np.inf if np.isnan(one.value) else one.value


def _compared(compared: dict[str, list[tuple[Statistic, str]]]) -> Table:
    rows = [
        [f"{SPLITS[split]}: {NAMES[one.name.split('_')[0]]}, {one.of}", one, verdict]
        for split, pairs in compared.items()
        for one, verdict in pairs
    ]
    return Table(
        "Is the blend better than the best single member? Differences of scores on the same resampled persons; below 0 is better",
        ["", "difference", "verdict"],
        rows,
    )


def _picture(found: dict[str, list[Line]]) -> Picture:
    """A panel per score: every row on the way from 0 to 100 %, filled out of fold, hollow on test."""
    names = list(dict.fromkeys(_name(line) for lines in found.values() for line in lines if line.kind in STAGES))
    with plotting.figure(1, len(RANKED), width=9.6, height=1.5 + 0.24 * len(names), sharey=True) as (drawn, axes):
        for axis, score in zip(axes, RANKED, strict=True):
            axis.axvline(0, color=plotting.PALE, lw=1)
            axis.axvline(100, color=plotting.GOOD, lw=1)
            for step, (split, lines) in enumerate(found.items()):
                for line in lines:
                    if line.kind in STAGES and not np.isnan(line.way[score].value):
                        _mark(axis, names.index(_name(line)) + 0.24 * step - 0.12 * (len(found) - 1), line, score, split)
            axis.set_title(NAMES[score], loc="left", fontsize=10)
            axis.set_xlabel("% of the way")
            low = min([line.way[score].value for lines in found.values() for line in lines if line.kind in STAGES] + [0.0])
            axis.set_xlim(max(min(low, 0) - 8, -60), 108)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.4, -0.6)
        return plotting.picture(
            drawn,
            "From the column mean (0 %) to the noise floor (100 %)",
            "Filled: out of fold; hollow: test. Lines: 95 % intervals (persons resampled; the column mean and the noise floor "
            "are resampled with them). A point left of 0 is worse than the column mean.",
            f"Dot plot of three scores: how far {', '.join(names)} are on that way.",
            wide=True,
        )


def _mark(axis: object, y: float, line: Line, score: str, split: str) -> None:
    way, colour = line.way[score], COLOUR[line.kind]
    axis.plot([way.low, way.high], [y, y], color=colour, lw=1.3, alpha=0.7)
    axis.plot(way.value, y, "o", ms=5.5, color=colour, mfc=colour if split == "oof" else "white", mew=1.3)


def _minutes(steps: list[Statistic]) -> list[Block]:
    rows = [[one.of.replace("/", ", "), one] for one in steps]
    with plotting.figure(width=7.0, height=0.9 + 0.22 * len(steps)) as (drawn, axis):
        axis.barh(range(len(steps)), [one.value for one in steps], color=plotting.ACCENT, height=0.6)
        axis.set_yticks(range(len(steps)), [row[0] for row in rows])
        axis.set_ylim(len(steps) - 0.5, -0.5)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel("minutes")
        picture = plotting.picture(drawn, "Where the minutes went", MINUTES, "Bar chart of the minutes in the table below.")
    return [picture, Table("Minutes of each step, in the order in which they build on each other", ["", "minutes"], rows)]
