"""Write the report of a finished run: one HTML file that opens anywhere, and its numbers as CSV and JSON.

    python -m report --data SET --run NAME [--if-changed]

Reads the run of stage 3 with its prediction intervals, its members, and the pictures of stages 1 and 2. Writes
data/work/SET/stage3/NAME/report/{report.html, numbers.csv, numbers.json}, ratingen.csv with the Ratingen grades and Rau score
of each set of films and, last, run.json. With --if-changed, a report whose inputs have not changed is left as it is.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ra import cli, manifest, paths
from ra.config import UserError
from stage3_stack import config as stack_config
from stage3_stack.config import JointVisits

if TYPE_CHECKING:
    from evaluation.raters import Raters


def run() -> None:
    p = cli.parser(__doc__, "data")
    p.add_argument("--run", required=True, metavar="NAME", help="finished run of stage 3")
    p.add_argument("--if-changed", action="store_true", help="skip when the report's inputs have not changed")
    args = p.parse_args()
    started = time.time()
    record, inputs = paths.report(args.data, args.run) / "run.json", input_hashes(args.data, args.run)
    if args.if_changed and manifest.is_current(record, inputs):
        print("report: finished, skipped", flush=True)
        return
    record.unlink(missing_ok=True)
    outputs = write(args.data, args.run)
    manifest.write_record(record, inputs, outputs)
    page = outputs[0]
    print(f"{page}: {page.stat().st_size / 2**20:.1f} MB, {time.time() - started:.0f} s", flush=True)


def input_hashes(data: str, run_name: str) -> dict[str, str]:
    """The hash of every file that the report is computed from, by its path in the set's folder."""
    work, folder = paths.work(data), paths.run_dir(data, 3, run_name)
    tables = [paths.reader(data, reader) for reader in ("gold", "reader2", "truth")]
    tables += [paths.films(data), paths.activity(data), paths.ratingen(data), paths.ratingen_gold(data)]
    runs = [folder / "run.json", folder / "intervals.json"]
    runs += [path for pattern in ("stage[12]/*/run.json", "stage2/*/explanations/run.json") for path in work.glob(pattern)]
    return {str(path.relative_to(work)): manifest.file_hash(path) for path in sorted([*tables, *runs]) if path.is_file()}


def write(data: str, run_name: str) -> list[Path]:
    """Write the report of a finished run; return its files, the page first. UserError if the run is not finished."""
    raters = load(data, run_name)
    from evaluation import rau
    from report import page, run_facts, sections

    folder = paths.report(data, run_name)
    rau.write(raters, folder / "ratingen.csv")
    html = page.write(
        folder,
        f"{data}: joint damage scores and their accuracy",
        sections.make(raters),
        run_facts.facts(raters),
        notice=run_facts.notice(raters),
        command=f"python -m report --data {data} --run {run_name}",
    )
    optional = folder / "ratingen.csv"
    return [html, folder / "numbers.csv", folder / "numbers.json", *([optional] if optional.is_file() else [])]


def load(data: str, run_name: str) -> Raters:
    """The predictions of a finished run and the readers' scores, loaded by the run's kind. UserError if it is not finished."""
    stack = stack_config.saved(paths.run_dir(data, 3, run_name))
    if not isinstance(stack, JointVisits):
        _require_intervals(data, run_name)
    from evaluation import raters

    if isinstance(stack, JointVisits):
        return raters.of_crops(data, run_name, stack.members)
    return raters.load(data, run_name)


def _require_intervals(data: str, run_name: str) -> None:
    for split in ("oof", "test"):
        table = paths.prediction_intervals(data, run_name, split)
        if not table.is_file():
            raise UserError(f"{table} does not exist; run python -m stage3_stack.intervals --data {data} --run {run_name} first")


if __name__ == "__main__":
    cli.main(run)
