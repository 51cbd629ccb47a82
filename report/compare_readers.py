"""Compare two or three readers whose scores are tables in the RA2 layout, for example the readers of a trial.

    python -m report.compare_readers A.csv B.csv [C.csv] [--names A B C] [--people people.csv] [--out DIR]

A table has Patient_ID and any of RA2-DREAM's columns, in any order; an empty cell means not scored. Sets of films that are not in
every table are left out and listed. --people gives Patient_ID, person_id (and visit); intervals then resample all visits of a
person together. Prints the tables; with --out writes agreement.html, numbers.csv and numbers.json there.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from evaluation.raters import Raters
from ra import cli
from ra.config import UserError
from ra.text_table import grid
from report.blocks import Cell, Table

MAX_LISTED = 8  # of the sets of films that are left out, at most this many row numbers are printed


def run() -> None:
    p = cli.parser(__doc__)
    p.add_argument("tables", metavar="TABLE.csv", nargs="+", type=Path, help="scores of the same films by two or three readers")
    p.add_argument("--names", nargs="+", metavar="NAME", help="names of the readers (default: the names of the files)")
    p.add_argument("--people", type=Path, metavar="people.csv", help="person of each set of films")
    p.add_argument("--out", type=Path, metavar="DIR", help="write a page and its numbers there")
    args = p.parse_args()
    names = args.names or [path.stem for path in args.tables]
    if len(args.tables) not in {2, 3}:
        raise UserError(f"{len(args.tables)} tables are given; give two or three")
    if len(names) != len(args.tables) or len(set(names)) < len(names):
        raise UserError(f"{len(args.tables)} tables need as many different names, not {', '.join(names)}; give them with --names")
    from evaluation import reader_tables

    tables = {name: reader_tables.read(path) for name, path in zip(names, args.tables, strict=True)}
    raters = reader_tables.load(tables, None if args.people is None else reader_tables.read_people(args.people))
    for line in left_out(tables, raters):
        print(line)
    compare(raters, args.out)


def left_out(tables: dict[str, pd.DataFrame], raters: Raters) -> list[str]:
    """One sentence per table with sets of films that another table lacks; rows count from 2, below the header."""
    sentences = []
    for name, table in tables.items():
        rows = [str(i + 2) for i, absent in enumerate(~table.index.isin(raters.patients)) if absent]
        if rows:
            more = f" and {len(rows) - MAX_LISTED} more" if len(rows) > MAX_LISTED else ""
            listed = f"{', '.join(rows[:MAX_LISTED])}{more}"
            sentences.append(f"{name}: {len(rows)} of {len(table)} left out because another table lacks them (rows {listed})")
    return sentences


def compare(raters: Raters, out: Path | None) -> None:
    """Print the tables of agreement and errors, as in the report of a run; write them as a page if `out` is given."""
    from evaluation.agreement import pairs
    from report import page
    from report.sections import agreement, errors

    sections = [agreement.section(raters, ["all"]), errors.section(raters, ["all"], pairs(raters.names))]
    for section in sections:
        print(f"\n{section.title}. {section.lead}")
        for block in section.blocks:
            if isinstance(block, Table):
                print(f"\n{block.caption}\n{grid(block.head, [[_plain(cell) for cell in row] for row in block.rows])}")
    if out is not None:
        facts = {
            "readers": ", ".join(raters.names),
            "sets of films": str(len(raters.patients)),
            "persons": str(len(set(raters.person))),
        }
        path = page.write(out, f"Agreement of {' and '.join(raters.names)}", sections, facts, stem="agreement")
        print(f"\n{path}")


def _plain(cell: Cell) -> str:
    """A table's cell as text for a terminal."""
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else cell.text


if __name__ == "__main__":
    cli.main(run)
