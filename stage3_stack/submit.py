"""Write submissions/NAME.csv of a finished run with its manifest NAME.json, after checking it.

    python -m stage3_stack.submit --data SET --run blend [--name NAME]

By kind of run:

joints        the rows and columns of the template that came with the set (data/work/SET/template.csv). Without one: the set's
              test patients, and the challenge's final columns that the set scores. The Overall columns come from the totals'
              learners, not from sums of joints. submissions/ledger.csv gets one line.
hand_totals   Patient_ID and the total of both hands.
joint_visits  a row per visit: each joint's Ratingen grade and percent, the Rau score with its bounds, DAS28 where measured.

For a set without test rows, hand_totals and joint_visits give the training patients out of fold. A submission cannot mark a joint
that could not be scored: the imputed number is written, and the manifest lists the cell. submissions/NAME.intervals.csv has one
row per patient and column: state, value (empty where not scored; totals pro-rated), 80 and 95 % interval, number of scored
sites, bounds.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from ra import atomic, cli, manifest, paths
from ra.anatomy import ID
from ra.config import UserError
from stage3_stack import config, intervals, ledger, submission, validate
from stage3_stack.kinds import kind_of
from stage3_stack.kinds.base import Submission


def run() -> None:
    """Submit the run that the command line names."""
    p = cli.parser(__doc__, "data", "name", "force")
    p.add_argument("--run", default="blend", metavar="NAME", help="finished run of stage 3 (default %(default)s)")
    args = p.parse_args()
    submit(args.data, args.run, args.name or args.data, args.force)


def submit(data: str, run_name: str, name: str, force: bool = False) -> None:
    """Write CSV and intervals, then the manifest, then the ledger's line; skip all if the same submission is finished."""
    folder, out = paths.run_dir(data, 3, run_name), paths.submission(name)
    experiment = config.saved(folder)
    kind, record = kind_of(experiment), out.with_suffix(".json")
    files = [path for path in kind.submission_inputs(data, experiment) if path.is_file()]
    inputs = {"run": manifest.file_hash(folder)} | {path.name: manifest.file_hash(path) for path in files}
    if kind.has_intervals:
        inputs["intervals"] = intervals.require(data, run_name)
    if not force and manifest.is_current(record, inputs):
        print(f"{out.name}: finished, skipped", flush=True)
        return
    record.unlink(missing_ok=True)  # from here until the end there is no finished submission of this name
    ready = kind.submission(data, folder, experiment)
    _write(ready, out)
    outputs, more = [out], {}
    if ready.interval_columns:
        table, outputs = paths.prediction_intervals(data, run_name, ready.split), [out, intervals.csv_path(out)]
        more["imputed"] = intervals.write_csv(outputs[1], table, list(ready.table[ID]), ready.interval_columns)
    finished = json.loads((folder / "run.json").read_text())
    more |= {"oof": finished["metrics"], "config_hash": finished["config_hash"], "seed": finished["seed"]}
    more |= {"set": data, "run": run_name, "kind": experiment.kind, "split": ready.split, "versions": manifest.versions()}
    more |= {"submission": out.name, "patients": len(ready.table), "columns": ready.table.shape[1]}
    manifest.write_record(record, inputs, outputs, **more)
    if ready.ranked:
        _add_to_ledger(data, name, finished["metrics"], manifest.file_hash(record))
    print(f"{out}: {ready.summary}", flush=True)


def _write(ready: Submission, out: Path) -> None:
    """Write the CSV; it is checked against its template before it is moved into place."""
    with atomic.replacing(out) as temporary:
        ready.table.to_csv(temporary, index=False)
        faults = [] if ready.template is None else validate.faults(submission.read_text(temporary), ready.template)
        if faults:
            raise UserError(
                f"the submission would have {len(faults)} faults, the first: {faults[0]}; run stage3_stack.train again"
            )


def _add_to_ledger(data: str, name: str, metrics: dict[str, float], record_hash: str) -> None:
    """Add the submission's line, with out-of-fold scores unless the run was applied to another set."""
    oof = {f"{score}_oof": f"{metrics[score]:.4f}" for score in ("sc1", "sc2", "sc3") if score in metrics}
    ledger.append(date=date.today().isoformat(), run=name, set=data, manifest=record_hash, **oof)


if __name__ == "__main__":
    cli.main(run)
