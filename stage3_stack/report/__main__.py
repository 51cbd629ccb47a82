"""The report of a finished run: one HTML file that opens anywhere, and its numbers as CSV and JSON.

    python -m stage3_stack.report --data SET --run RUN

Reads what is on disk (the run, its reading with intervals, its members, what stage 1 and stage 2 left to look at) and writes
data/work/SET/stage3/RUN/report/{report.html, numbers.csv, numbers.json}.
"""

from __future__ import annotations

import time
from pathlib import Path

from ra import config, manifest, paths
from ra.config import UserError
from stage3_stack import recipe as recipes


def run() -> None:
    p = recipes.parser(__doc__)
    args = p.parse_args()
    started = time.time()
    made = write(args.data, recipes.run_name(args))
    print(f"{made}: {made.stat().st_size / 2**20:.1f} MB, {time.time() - started:.0f} s", flush=True)


def write(data: str, name: str) -> Path:
    """The report of a finished run whose reading is on disk, else a UserError."""
    manifest.file_hash(paths.run_dir(data, 3, name))  # a UserError when the run is not finished
    for split in ("oof", "test"):
        if not paths.reading(data, name, split).is_file():
            raise UserError(
                f"{paths.reading(data, name, split)} does not exist; run "
                f"python -m stage3_stack.intervals --data {data} --run {name} first"
            )
    from stage3_stack.evidence import raters
    from stage3_stack.report import facts, page, sections

    known = raters.load(data, name)
    return page.write(
        paths.report(data, name),
        f"{data}: joint damage, read and measured",
        sections.make(known),
        facts.facts(known),
        notice=facts.notice(known),
        command=f"python -m stage3_stack.report --data {data} --run {name}",
    )


if __name__ == "__main__":
    config.main(run)
