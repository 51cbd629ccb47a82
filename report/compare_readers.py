"""How far two or three readers agree, of tables in the RA2 layout, so that a trial can compare its own.

    python -m report.compare_readers A.csv B.csv [C.csv] [--names A B C] [--people people.csv] [--out DIR]

A table has Patient_ID and any of RA2-DREAM's columns, in any order; an empty cell was not scored. Sets of films that are not in
every table are left out, and said. --people gives Patient_ID, person_id (and visit): intervals then take a person's visits
together. Prints the figures; with --out writes agreement.html, numbers.csv and numbers.json there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from evaluation.raters import Raters
from ra import cli
from ra.config import UserError

SHOWN = 8  # rows named of those left out


def run() -> None:
    p = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tables", metavar="TABLE.csv", nargs="+", type=Path, help="two or three readings of the same films")
    p.add_argument("--names", nargs="+", metavar="NAME", help="what the raters are called (default: the names of the files)")
    p.add_argument("--people", type=Path, metavar="people.csv", help="which sets of films are one person's")
    p.add_argument("--out", type=Path, metavar="DIR", help="write a page and its numbers there")
    args = p.parse_args()
    names = args.names or [path.stem for path in args.tables]
    if len(args.tables) not in {2, 3}:
        raise UserError(f"{len(args.tables)} tables are given; agreement is between two or three")
    if len(names) != len(args.tables) or len(set(names)) < len(names):
        raise UserError(f"{len(args.tables)} tables need as many different names, not {', '.join(names)}; give them with --names")
    from evaluation import reader_tables

    tables = {name: reader_tables.read(path) for name, path in zip(names, args.tables, strict=True)}
    known = reader_tables.load(tables, None if args.people is None else reader_tables.read_people(args.people))
    for line in left_out(tables, known):
        print(line)
    compare(known, args.out)


def left_out(tables: dict[str, pd.DataFrame], known: Raters) -> list[str]:
    """A sentence per table that lists sets of films which another does not; rows count from 2, below the header."""
    out = []
    for name, table in tables.items():
        rows = [str(i + 2) for i, gone in enumerate(~table.index.isin(known.patients)) if gone]
        if rows:
            more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
            out.append(f"{name}: {len(rows)} of {len(table)} left out, not in every table (rows {', '.join(rows[:SHOWN])}{more})")
    return out


def compare(known: Raters, out: Path | None) -> None:
    """Prints the tables of the sections that the report has; writes them as a page."""
    from evaluation import agreement as agree
    from report import page
    from report.blocks import Table
    from report.sections import agreement, errors

    sections = [agreement.section(known, ["all"]), errors.section(known, ["all"], agree.pairs(known.names))]
    for section in sections:
        print(f"\n{section.title}. {section.lead}")
        for block in section.blocks:
            if isinstance(block, Table):
                print(f"\n{block.caption}\n{_plain(block)}")
    if out is not None:
        facts = {
            "readings": ", ".join(known.names),
            "sets of films": str(len(known.patients)),
            "persons": str(len(set(known.person))),
        }
        made = page.write(out, f"Agreement of {' and '.join(known.names)}", sections, facts, page="agreement")
        print(f"\n{made}")


def _plain(table: object) -> str:
    """In columns, for a terminal."""
    rows = [
        table.head,
        *([cell if isinstance(cell, str) else "" if cell is None else cell.text for cell in row] for row in table.rows),
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(len(table.head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


if __name__ == "__main__":
    cli.main(run)
