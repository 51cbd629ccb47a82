"""Challenge scores of the run, its members and its learners, between the column mean and the noise floor of the readers."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from evaluation import leaderboard, leaderboard_statistics, runtime
from evaluation.leaderboard import Leaderboard
from evaluation.leaderboard_statistics import Line
from evaluation.raters import READER2, SPLITS, Raters
from evaluation.statistic import Statistic
from report import plotting
from report.blocks import Block, Picture, Section, Table, Text
from report.plotting import sentence
from stage3_stack.outputs import RANKED

ID, TITLE = leaderboard_statistics.SECTION, "Challenge scores"
NAMES = {"sc1": "SC1 total", "sc2": "SC2 narrowing", "sc3": "SC3 erosion"}
STAGES = {"member": "stage 2, best member", "learner": "stage 3, best learner", "blend": "stage 3, blend"}
COLOURS = {"member": plotting.COLOURS[1], "learner": plotting.COLOURS[5], "blend": plotting.ACCENT}
MISSING = "The run cannot be scored: reader 1 scored no patient of this set. Add reader 1's scores and prepare the set again."
RUNTIME = (
    "From the records of all steps on which this run is based. Members that train at the same time share the processor, so their "
    "minutes add up to more than the elapsed time; intervals, submission and this report are not included."
)
SCORES = (
    "The challenge's three scores are weighted errors on the scale log2(score + 1); lower is better, and patients with more "
    "damage weigh more. The column mean predicts the training patients' mean for every patient without using any film: it is 0 "
    "%. "
)
PROGRESS = "Percent of the way from the column mean (no film used) to the noise floor of the readers."
STAGE_TABLE = (
    "What each stage adds, in percent of the way from the column mean to the noise floor. The best of several members or "
    "learners is chosen on the same patients, so its result is optimistic."
)
COMPARED = (
    "Is the blend better than the best single member? Differences of scores on the same resampled persons; below 0 the blend is "
    "better"
)
TOTALS = "Patients' totals by rater; a spread far below reader 1's means that the model hardly distinguishes between patients"


def make(raters: Raters) -> Section:
    """Scores, progress from the column mean to the noise floor, the comparison with the best member, and the run time."""
    rows = leaderboard.of_raters(raters)
    if not rows.gold:
        return Section(ID, TITLE, MISSING)
    by_split = {split: leaderboard_statistics.lines(rows, split) for split in rows.splits}
    blocks: list[Block] = [Text(SCORES + _noise_floor(rows))]
    progress = [line.way[s] for lines in by_split.values() for line in lines for s in RANKED if line.kind in STAGES]
    if any(not np.isnan(percent.value) for percent in progress):
        blocks += [_progress_figure(by_split), _stage_table(by_split)]
    blocks += [_score_table(split, lines) for split, lines in by_split.items()]
    differences = {split: leaderboard_statistics.differences(rows, split) for split in by_split}
    if any(differences.values()):
        blocks.append(_difference_table(differences))
    blocks.append(_totals_table({split: leaderboard_statistics.totals(raters, split) for split in by_split}))
    if rows.note:
        blocks.append(Text(rows.note, "note"))
    minutes = runtime.steps(raters)
    if minutes:
        blocks += _runtime(minutes)
    return Section(ID, TITLE, _lead(by_split), blocks, progress)


def _lead(by_split: dict[str, list[Line]]) -> str:
    """The blend's progress per split, or its plain scores where the column mean or the noise floor is not known."""
    sentences, with_progress = [], []
    for split, lines in by_split.items():
        blend = next(line for line in lines if line.kind == "blend")
        progress = {s: percent for s, percent in blend.way.items() if not np.isnan(percent.value)}
        shown = progress or {s: score for s, score in blend.score.items() if not np.isnan(score.value)}
        numbers = ", ".join(f"{NAMES[s]} {number.text}" for s, number in shown.items())
        n = max(score.n for score in blend.score.values())
        sentences.append(f"{sentence(SPLITS[split])}, {n} sets of films: {'' if progress else 'scores '}{numbers}.")
        with_progress.append(bool(progress))
    return " ".join([PROGRESS, *sentences] if any(with_progress) else sentences)


def _noise_floor(rows: Leaderboard) -> str:
    noise = next(filter(None, map(rows.noise_row, rows.splits)), None)
    if noise is None:
        return "The noise floor is not known: the set has neither a second reader nor simulated true grades."
    if noise[1] == READER2:
        return "100 % is the noise floor: the score of a second reader against the first."
    return (
        "100 % is the noise floor: the score of the simulated true grades against the grades that the simulated reader recorded."
    )


def _score_table(split: str, lines: list[Line]) -> Table:
    head = ["", *(name for s in RANKED for name in (NAMES[s], "% below mean"))]
    rows = [[_label(line), *(cell for s in RANKED for cell in (line.score[s], line.below[s]))] for line in lines]
    caption = f"Scores, {SPLITS[split]}, with 95 % intervals (bootstrap over persons), and percent below the column mean's score"
    return Table(caption, head, rows)


def _totals_table(by_split: dict[str, dict[str, dict[str, Statistic]]]) -> Table:
    """Mean and standard deviation of each rater's totals."""
    rows = [
        [f"{SPLITS[split]}: {name}", moments["mean"], moments["sd"], moments.get("sd_ratio")]
        for split, raters in by_split.items()
        for name, moments in raters.items()
    ]
    return Table(TOTALS, ["", "mean", "standard deviation", "its ratio to reader 1's"], rows)


def _label(line: Line) -> str:
    return f"{line.kind}: {line.name}"


def _stage_table(by_split: dict[str, list[Line]]) -> Table:
    """Progress of the best member of stage 2, the best learner of stage 3 and the blend, per score."""
    rows = []
    for split, lines in by_split.items():
        for kind, label in STAGES.items():
            of_kind = [line for line in lines if line.kind == kind]
            best = [max((line.way[s] for line in of_kind), key=_value_or_lowest, default=None) for s in RANKED]
            if any(percent is not None and not np.isnan(percent.value) for percent in best):
                rows.append([f"{SPLITS[split]}: {label}", *best])
    return Table(STAGE_TABLE, ["", *NAMES.values()], rows)


def _value_or_lowest(statistic: Statistic) -> float:
    return -np.inf if np.isnan(statistic.value) else statistic.value


def _difference_table(differences: dict[str, list[tuple[Statistic, str]]]) -> Table:
    rows = []
    for split, pairs in differences.items():
        for difference, verdict in pairs:
            name = NAMES[difference.name.split("_")[0]]
            compared = difference.of.replace(" less ", " − ")
            rows.append([f"{SPLITS[split]}: {name}, {compared}", difference, verdict])
    return Table(COMPARED, ["", "difference", "verdict"], rows)


def _progress_figure(by_split: dict[str, list[Line]]) -> Picture:
    """A panel per score with the progress of each member, learner and the blend; marks are filled out of fold, hollow on test."""
    names = list(dict.fromkeys(_label(line) for lines in by_split.values() for line in lines if line.kind in STAGES))
    with plotting.figure(1, len(RANKED), width=9.6, height=1.5 + 0.24 * len(names), sharey=True) as (fig, axes):
        for ax, score in zip(axes, RANKED, strict=True):
            _progress_panel(ax, score, by_split, names)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.4, -0.6)
        return plotting.picture(
            fig,
            "From the column mean (0 %) to the noise floor (100 %)",
            "Filled: out of fold; hollow: test. Lines: 95 % intervals (persons resampled; the column mean and the noise floor "
            "are resampled with them). A point left of 0 is worse than the column mean.",
            f"Dot plot of three scores: percent of the way of {', '.join(names)}.",
            wide=True,
        )


def _progress_panel(ax: Axes, score: str, by_split: dict[str, list[Line]], names: list[str]) -> None:
    ax.axvline(0, color=plotting.PALE, lw=1)
    ax.axvline(100, color=plotting.GOOD, lw=1)
    lowest = 0.0
    for k, (split, lines) in enumerate(by_split.items()):
        for line in lines:
            if line.kind in STAGES and not np.isnan(line.way[score].value):
                _mark(ax, names.index(_label(line)) + 0.24 * k - 0.12 * (len(by_split) - 1), line, score, split)
                lowest = min(lowest, line.way[score].value)
    ax.set_title(NAMES[score], loc="left", fontsize=10)
    ax.set_xlabel("% of the way")
    ax.set_xlim(max(lowest - 8, -60), 108)


def _mark(ax: Axes, y: float, line: Line, score: str, split: str) -> None:
    percent, colour = line.way[score], COLOURS[line.kind]
    ax.plot([percent.low, percent.high], [y, y], color=colour, lw=1.3, alpha=0.7)
    ax.plot(percent.value, y, "o", ms=5.5, color=colour, mfc=colour if split == "oof" else "white", mew=1.3)


def _runtime(minutes: list[Statistic]) -> list[Block]:
    rows = [[step.of.replace("/", ", "), step] for step in minutes]
    with plotting.figure(width=7.0, height=0.9 + 0.22 * len(minutes)) as (fig, ax):
        ax.barh(range(len(minutes)), [step.value for step in minutes], color=plotting.ACCENT, height=0.6)
        ax.set_yticks(range(len(minutes)), [row[0] for row in rows])
        ax.set_ylim(len(minutes) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel("minutes")
        picture = plotting.picture(fig, "Run time", RUNTIME, "Bar chart of the minutes in the table below.")
    return [picture, Table("Minutes of each step, in the order in which the steps depend on each other", ["", "minutes"], rows)]
