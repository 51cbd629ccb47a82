"""Prognosis: the next total from the earlier visits, against the naive forecasts."""

from __future__ import annotations

import numpy as np

from evaluation import forecast as verb
from evaluation import prognosis as pg
from evaluation.prognosis import FORECASTS, RIDGE, SAME, Prognosis
from evaluation.raters import Raters
from evaluation.statistic import Statistic
from report import plotting
from report.blocks import Picture, Section, Table, Text

TITLE = "Prognosis: the next visit's total"
CAPTION = (
    "Error of the forecasts of reader 1's total at the next visit, in points, and the error of the ridge less that of each other "
    "forecast on the same visits: below 0 the ridge is better. 95 % bootstrap intervals over persons."
)
NOTE = (
    "The ridge regression is a linear one held back from extremes. It learns how much the total will rise from the last total, "
    "erosion and narrowing, the number of damaged joint sites, the slope so far, the number of visits and the time between them; "
    "a training person is forecast by a regression that never saw him, a test person by one of all training persons. The other "
    "forecasts: no change, the last total again; same slope, the rise between the last two visits again, known only after "
    "two earlier visits and compared on those alone; average change, the same rise for everybody. The ridge beats one or does "
    "worse when the whole 95 % interval of the difference of RMSE lies on one side of 0."
)
PICTURE = "Left: root mean squared error with its 95 % interval. Right: each mark a visit; the line is a perfect forecast."
ALT = "Errors of the forecasts, and the rise that came against the rise forecast"


def make(raters: Raters) -> Section:
    """The section; without enough histories the sentence that says how many there are."""
    learn = raters.split == "oof"
    sources = verb.of_run(raters)
    made = {source: pg.prognosis(source, visits, learn) for source, visits in sources.items()}
    done = [found for found in made.values() if found]
    lacking = [pg.learnable(source, sources[source], learn) for source, found in made.items() if not found]
    few = [verb.too_few_text(one) for one in lacking]
    sentences = [_told(found) for found in done]
    lead = " ".join([words for words, _ in sentences] + few)
    more = [one for _, statistics in sentences for one in statistics] + lacking
    blocks = [_table(done), _picture(done), Text(NOTE, "note")] if done else []
    return Section(pg.SECTION, TITLE, lead, blocks, more)


def _told(made: Prognosis) -> tuple[str, list[Statistic]]:
    """One sentence per source, and its numbers."""
    counts = {"visits": len(made.cases.row), "persons": made.cases.persons}
    visits, persons = (
        Statistic(pg.SECTION, what, "all", f"from {made.source}", "forecast", n, n=n, unit=what, digits=0)
        for what, n in counts.items()
    )
    seen = f"From the earlier scores of {made.source} ({visits.text} visits, {persons.text} persons)"
    return f"{seen} a ridge regression {made.verdicts}.", [visits, persons]


def _table(made: list[Prognosis]) -> Table:
    rows = []
    for found in made:
        for name in FORECASTS:
            less = [None, None] if name == RIDGE else [found.difference(name, measure) for measure in ("rmse", "mae")]
            errors = [found.error(name, measure) for measure in ("rmse", "mae")]
            n = errors[0].n
            visits = Statistic(pg.SECTION, "visits", "all", f"from {found.source}", name, n, n=n, unit="visits", digits=0)
            rows.append([f"from {found.source}: {name}", visits, *errors, *less])
    return Table(CAPTION, ["forecast", "visits", "RMSE", "MAE", "ridge less it, RMSE", "ridge less it, MAE"], rows)


def _picture(made: list[Prognosis]) -> Picture:
    with plotting.figure(1, 2, width=9.0, height=3.6) as (drawn, (left, right)):
        for row, (found, colour) in enumerate(zip(made, plotting.COLOURS, strict=False)):
            for place, name in enumerate(FORECASTS):
                one = found.error(name, "rmse")
                arms = np.nan_to_num([[one.value - one.low], [one.high - one.value]])
                left.errorbar([one.value], [place + 0.2 * row], xerr=arms, fmt="o", markersize=4, color=colour)
            ahead, last = (found.forecasts[:, FORECASTS.index(name)] for name in (RIDGE, SAME))
            rise = found.cases.outcome - last
            right.plot(ahead - last, rise, "o", markersize=3, alpha=0.6, color=colour, label=f"from {found.source}")
        left.set_yticks(range(len(FORECASTS)), FORECASTS)
        left.set_ylim(len(FORECASTS) - 0.5, -0.5)
        left.set(xlabel="RMSE of the next total, points", title="error of each forecast")
        ends = right.get_xlim()
        right.plot(ends, ends, color=plotting.INK, linewidth=0.8)
        right.set(xlabel="rise that the ridge forecasts, points", ylabel="rise that came, points", title="forecast and outcome")
        right.legend(fontsize=8)
        return plotting.picture(drawn, "Forecasts of the next total", PICTURE, ALT, wide=True)
