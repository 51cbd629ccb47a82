"""Prognosis: the next total from the earlier visits, compared with simple forecasts."""

from __future__ import annotations

import numpy as np

from evaluation import forecast, prognosis
from evaluation.prognosis import FORECASTS, RIDGE, SAME, Prognosis
from evaluation.raters import Raters
from evaluation.statistic import Statistic
from report import plotting
from report.blocks import Picture, Section, Table, Text

ID, TITLE = prognosis.SECTION, "Prognosis: the next visit's total"
CAPTION = (
    "Error of the forecasts of reader 1's total at the next visit, in points, and the ridge regression's error minus that of "
    "each other forecast on the same visits: below 0 the ridge is better. 95 % bootstrap intervals over persons."
)
NOTE = (
    "The ridge regression is a linear regression with a penalty on large coefficients. It predicts the rise of the total from "
    "the last total, erosion and narrowing, the number of damaged joint sites, the previous slope, the number of visits and "
    "the time between them. Training persons are forecast by a regression that was fitted without them, test persons by one "
    "fitted on all training persons. The other forecasts: no change repeats the last total; same slope repeats the rise "
    "between the last two visits, needs two earlier visits and is compared on those persons only; average change adds the mean "
    "rise of the training persons. The ridge is called better or worse if the whole 95 % interval of the difference of RMSE "
    "lies on one side of 0."
)
FIGURE = "Left: root mean squared error with its 95 % interval. Right: each mark is a visit; on the line the forecast is exact."
ALT = "Errors of the forecasts, and the observed over the predicted rise"


def make(raters: Raters) -> Section:
    """The section; without enough histories its lead states how many there are."""
    training = raters.split == "oof"
    sources = forecast.of_run(raters)
    results = {source: prognosis.prognosis(source, visits, training) for source, visits in sources.items()}
    done = [result for result in results.values() if result]
    numbers = [prognosis.learnable(source, sources[source], training) for source, result in results.items() if not result]
    leads = [_lead(result) for result in done]
    lead = " ".join([text for text, _ in leads] + [forecast.too_few_text(number) for number in numbers])
    extra = [statistic for _, statistics in leads for statistic in statistics] + numbers
    blocks = [_table(done), _figure(done), Text(NOTE, "note")] if done else []
    return Section(ID, TITLE, lead, blocks, extra)


def _lead(result: Prognosis) -> tuple[str, list[Statistic]]:
    """The lead's sentence about one source, and the numbers in it."""
    counts = {"visits": len(result.cases.row), "persons": result.cases.persons}
    visits, persons = (
        Statistic(ID, what, "all", f"from {result.source}", "forecast", n, n=n, unit=what, digits=0) for what, n in counts.items()
    )
    history = f"From the earlier scores of {result.source} ({visits.text} visits, {persons.text} persons)"
    return f"{history} a ridge regression {result.verdicts}.", [visits, persons]


def _table(results: list[Prognosis]) -> Table:
    rows = []
    for result in results:
        source = f"from {result.source}"
        for name in FORECASTS:
            errors = [result.error(name, measure) for measure in ("rmse", "mae")]
            differences = [None if name == RIDGE else result.difference(name, measure) for measure in ("rmse", "mae")]
            n = errors[0].n
            visits = Statistic(ID, "visits", "all", source, name, n, n=n, unit="visits", digits=0)
            rows.append([f"{source}: {name}", visits, *errors, *differences])
    return Table(CAPTION, ["forecast", "visits", "RMSE", "MAE", "RMSE, ridge − this", "MAE, ridge − this"], rows)


def _figure(results: list[Prognosis]) -> Picture:
    with plotting.figure(1, 2, width=9.0, height=3.6) as (fig, (left, right)):
        for k, (result, colour) in enumerate(zip(results, plotting.COLOURS, strict=False)):
            for y, name in enumerate(FORECASTS):
                error = result.error(name, "rmse")
                arms = np.nan_to_num([[error.value - error.low], [error.high - error.value]])
                left.errorbar([error.value], [y + 0.2 * k], xerr=arms, fmt="o", markersize=4, color=colour)
            predicted, last = (result.forecasts[:, FORECASTS.index(name)] for name in (RIDGE, SAME))
            rise = result.cases.outcome - last
            right.plot(predicted - last, rise, "o", markersize=3, alpha=0.6, color=colour, label=f"from {result.source}")
        left.set_yticks(range(len(FORECASTS)), FORECASTS)
        left.set_ylim(len(FORECASTS) - 0.5, -0.5)
        left.set(xlabel="RMSE of the next total, points", title="error of each forecast")
        ends = right.get_xlim()
        right.plot(ends, ends, color=plotting.INK, linewidth=0.8)
        right.set(xlabel="rise predicted by the ridge, points", ylabel="observed rise, points", title="forecast and outcome")
        right.legend(fontsize=8)
        return plotting.picture(fig, "Forecasts of the next total", FIGURE, ALT, wide=True)
