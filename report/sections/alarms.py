"""What to look at first: the rules that a figure of another section breaks, and those that none does."""

from __future__ import annotations

from evaluation import alarms
from evaluation.alarm_rules import RULES
from evaluation.alarms import Alarm, Check
from report.blocks import Alarms, Block, Section, Table, Text

ID, TITLE = alarms.SECTION, "What to look at first"
HOW = (
    "These are rules that a machine can check, over the figures of all sections below. They find what is grossly wrong; that "
    "none is broken does not mean that the scores are right. Each alarm shows the figure that breaks its rule most."
)


def make(sections: list[Section]) -> Section:
    """Of the other sections' statistics."""
    checks = alarms.check([one for section in sections for one in section.statistics()], RULES)
    found = alarms.gravest_first(checks)
    blocks: list[Block] = [Alarms(found)] if found else []
    blocks += [_table(checks), Text(HOW, "note")]
    return Section(ID, TITLE, _lead(found, checks), blocks)


def _lead(found: list[Alarm], checks: list[Check]) -> str:
    looked = sum(1 for one in checks if one.raised.n)
    silent = f" {len(checks) - looked} more found nothing to look at." if looked < len(checks) else ""
    if not found:
        return f"Nothing stands out: none of the {looked} rules that could be checked is broken.{silent}"
    grave = sum(alarm.gravity == "grave" for alarm in found)
    return f"{len(found)} of {looked} rules that could be checked are broken, {grave} of them gravely.{silent}"


def _table(checks: list[Check]) -> Table:
    """Unbroken rules first, as a list of what was checked and is fine."""
    rows = [[one.rule.fine, _verdict(one), one.raised, f"of {one.raised.n}"] for one in sorted(checks, key=_order)]
    return Table("What was checked: how many figures say otherwise", ["should be", "is", "otherwise", "figures"], rows)


def _order(one: Check) -> int:
    return 2 if not one.raised.n else int(one.alarm is not None)


def _verdict(one: Check) -> str:
    return "cannot be checked" if not one.raised.n else "fine" if one.alarm is None else "see above"
