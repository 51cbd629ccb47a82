"""The report of a finished run: one HTML file that opens anywhere, and its numbers as CSV and JSON.

    python -m report --data SET --run RUN
    python -m report --data SET --config stage3_stack/configs/demo/sources/scqm_joints.yaml

Reads what is on disk (the run, its reading with intervals, its members, what stage 1 and stage 2 left to look at) and writes
data/work/SET/stage3/RUN/report/{report.html, numbers.csv, numbers.json}, and each set of films' Ratingen grades and Rau score as
ratingen.csv. --if-changed leaves a report that stands and is made of the same.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ra import atomic, cli, manifest, paths
from ra.config import UserError
from stage3_stack import config as recipes

MADE_OF = "made_of.json"  # written last

if TYPE_CHECKING:
    from evaluation.raters import Raters


def run() -> None:
    p = recipes.parser(__doc__)
    p.add_argument("--if-changed", action="store_true", help="skip when what it is made of has not changed")
    args = p.parse_args()
    started = time.time()
    name, ratingen = recipes.run_name(args), recipes.ratingen_runs(args)
    record, inputs = paths.report(args.data, name) / MADE_OF, made_of(args.data, name)
    stands = record.is_file() and record.with_name("report.html").is_file() and json.loads(record.read_text()) == inputs
    if args.if_changed and stands:
        print("report: finished, skipped", flush=True)
        return
    record.unlink(missing_ok=True)
    made = write_crops(args.data, name, ratingen, args.config) if ratingen else write(args.data, name)
    atomic.write_json(record, inputs)
    print(f"{made}: {made.stat().st_size / 2**20:.1f} MB, {time.time() - started:.0f} s", flush=True)


def made_of(data: str, name: str) -> dict[str, str]:
    """The hash of every file that the page rests on, by its path in the set's folder."""
    work, folder = paths.work(data), paths.run_dir(data, 3, name)
    tables = [paths.reader(data, reader) for reader in ("gold", "reader2", "truth")]
    tables += [paths.films(data), paths.activity(data), paths.ratingen(data), paths.ratingen_gold(data)]
    runs = [folder / "run.json", folder / "intervals.json"]
    runs += [path for record in ("stage[12]/*/run.json", "stage2/*/explanations/run.json") for path in work.glob(record)]
    return {str(path.relative_to(work)): manifest.file_hash(path) for path in sorted([*tables, *runs]) if path.is_file()}


def write(data: str, name: str) -> Path:
    """The report of a finished run of stage 3 whose reading is on disk, else a UserError."""
    manifest.file_hash(paths.run_dir(data, 3, name))  # a UserError when the run is not finished
    for split in ("oof", "test"):
        if not paths.prediction_intervals(data, name, split).is_file():
            raise UserError(
                f"{paths.prediction_intervals(data, name, split)} does not exist; run "
                f"python -m stage3_stack.intervals --data {data} --run {name} first"
            )
    from evaluation import raters

    return _write(raters.load(data, name), f"--run {name}")


def write_crops(data: str, name: str, ratingen: tuple[str, ...], config_path: str) -> Path:
    """That of a set of joint crops and its finished Ratingen runs of stage 2, else a UserError."""
    for run in ratingen:
        manifest.file_hash(paths.run_dir(data, 2, run))
    from evaluation import raters

    return _write(raters.of_crops(data, name, ratingen), f"--config {config_path}")


def _write(known: Raters, which: str) -> Path:
    """The page and its numbers; `which` are the arguments that name the run, for whoever wants to make it again."""
    from evaluation import rau
    from report import page, run_facts, sections

    folder = paths.report(known.data, known.run)
    rau.write(known, folder / "ratingen.csv")
    return page.write(
        folder,
        f"{known.data}: joint damage, read and measured",
        sections.make(known),
        run_facts.facts(known),
        notice=run_facts.notice(known),
        command=f"python -m report --data {known.data} {which}",
    )


if __name__ == "__main__":
    cli.main(run)
