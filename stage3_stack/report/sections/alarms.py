"""What to look at first: the rules that a figure of another section breaks, and those that none does."""

from __future__ import annotations

from stage3_stack.evidence import alarms
from stage3_stack.evidence.alarms import GRAVITIES, Check
from stage3_stack.report.blocks import Alarms, Block, Section, Table, Text

ID, TITLE = alarms.SECTION, "What to look at first"
HOW = (
    "Rules that a machine can check, over the figures of all sections below. They find what is grossly wrong; that none is broken "
    "does not mean that the scores are right."
)


def make(sections: list[Section]) -> Section:
    """Of the other sections' statistics."""
    checks = alarms.check([one for section in sections for one in section.statistics()])
    raised = sorted((c.worst for c in checks if c.worst), key=lambda alarm: GRAVITIES.index(alarm.gravity))
    looked = [c for c in checks if c.raised.n]
    blocks: list[Block] = [Alarms(raised)] if raised else []
    blocks += [_table(checks), Text(HOW, "note")]
    return Section(ID, TITLE, _lead(len(raised), len(looked), len(checks)), blocks)


def _lead(raised: int, looked: int, rules: int) -> str:
    silent = f" {rules - looked} of {rules} rules found no figure to look at." if looked < rules else ""
    if not raised:
        return f"Nothing stands out: none of the {looked} rules that could be checked is broken.{silent}"
    verb = "is" if raised == 1 else "are"
    return f"{raised} of the {looked} rules that could be checked {verb} broken; the gravest first.{silent}"


def _table(checks: list[Check]) -> Table:
    rows = [[c.rule.fine, c.raised, f"of {c.raised.n}" if c.raised.n else "nothing to look at"] for c in checks]
    return Table("What was checked: how many figures say otherwise", ["", "figures", ""], rows)
