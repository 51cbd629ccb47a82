"""What to look at first: rules over all statistics of a report, each with its sentence and its cure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from stage3_stack.evidence.statistic import Statistic

SECTION = "alarms"
GRAVITIES = ("grave", "mild")


@dataclass(frozen=True)
class Alarm:
    """A rule that one figure breaks, the worst of those that do. label: what the figure is, in words."""

    rule: str
    gravity: str
    words: str
    label: str
    figure: Statistic
    cure: str


@dataclass(frozen=True)
class Rule:
    """`about`: pattern of the ids that it looks at (section/name/split/of/scope, * for anything). `excess`: by how much a figure
    breaks the rule, given all figures by id; 0 or less: it does not; NaN: cannot be said."""

    name: str
    gravity: str
    about: str
    excess: Callable[[Statistic, dict[str, Statistic]], float]
    words: str
    cure: str
    fine: str


RULES: tuple[Rule, ...] = (
    Rule(
        "worse-than-column-mean",
        "grave",
        "standing/sc?_below_mean/*/blend-*/percent",
        lambda one, book: -one.value,
        "A score is worse than saying the training patients' mean of everybody",
        "Look at the members' own lines below; a member that has not learned (too few epochs, wrong films) drags the blend.",
        "the run is better than the column mean on every score",
    ),
)


@dataclass(frozen=True)
class Check:
    """A rule and what came of it: `raised` of `looked` figures broke it (NaN when there was none); worst: an Alarm or None."""

    rule: Rule
    raised: Statistic
    worst: Alarm | None


def check(statistics: list[Statistic]) -> list[Check]:
    """Every rule against every statistic that it is about."""
    book = {one.id: one for one in statistics}
    return [_check(rule, book) for rule in RULES]


def _check(rule: Rule, book: dict[str, Statistic]) -> Check:
    excess = {name: rule.excess(one, book) for name, one in book.items() if fnmatchcase(name, rule.about)}
    known = {name: value for name, value in excess.items() if not np.isnan(value)}
    broken = {name: value for name, value in known.items() if value > 0}
    count = float(len(broken)) if known else float("nan")
    raised = Statistic(SECTION, "raised", "all", "model", rule.name, count, n=len(known), unit="figures", digits=0)
    if not broken:
        return Check(rule, raised, None)
    worst = book[max(broken, key=broken.get)]
    return Check(rule, raised, Alarm(rule.name, rule.gravity, rule.words, label(worst), worst, rule.cure))


def label(one: Statistic) -> str:
    """A statistic's name in words."""
    return ", ".join(word.replace("_", " ") for word in (one.name, one.of, one.scope, one.split) if word)
