"""Numbers and tables as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ra.agreement import Interval


def number(value: float | Interval | None, digits: int = 3) -> str:
    """A number with fixed digits, followed by its interval if it has one; `-` for None and NaN."""
    if isinstance(value, Interval):
        interval = "" if np.isnan(value.low) else f" ({value.low:.{digits}f}, {value.high:.{digits}f})"
        return number(value.value, digits) + interval
    return "-" if value is None or np.isnan(value) else f"{value:.{digits}f}"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table whose columns are as wide as their widest cell: the first `left` left-aligned, the others right-aligned.

    An empty row gives an empty line.
    """
    full = [head, *(row for row in rows if row)]
    width = [max(len(row[i]) for row in full) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [f"{c:<{w}}" if i < left else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, width, strict=False))]
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in (head, *rows))
