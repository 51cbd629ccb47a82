"""Apply a finished joint stack to another prepared set.

    python -m stage3_stack.predict --trained SET --data OTHER [--run blend]

Every patient of OTHER gets grades and totals. The members of SET's stack must have been applied to OTHER before, with
stage2_score.predict --trained SET --data OTHER. Nothing is unpickled: the stack is fitted again on SET's tables with the config
of the finished run, which gives the same learners. Writes data/work/OTHER/stage3/RUN/{test.parquet, oof.parquet (without rows)}
and run.json. Readers' scores of OTHER's patients are not read.
"""

from __future__ import annotations

import json
from pathlib import Path

from ra import cli, manifest, paths, tables
from ra.config import UserError
from stage3_stack import cohort as cohorts
from stage3_stack import config, outputs
from stage3_stack.config import JointStack
from stage3_stack.stack import REFIT, Stack


def run() -> None:
    """Apply the stack that the command line names to another set."""
    p = cli.parser(__doc__, "trained", "data", "force")
    p.add_argument("--run", default="blend", metavar="NAME", help="finished run of stage 3 (default %(default)s)")
    args = p.parse_args()
    if args.data == args.trained:
        raise UserError("--data and --trained are the same set, which stage3_stack.train has predicted; give another --data")
    trained = paths.run_dir(args.trained, 3, args.run)
    experiment = config.saved(trained)
    if not isinstance(experiment, JointStack):
        raise UserError(
            f"{trained} is a run of kind {experiment.kind}; only runs of kind joints can be applied to another set. "
            f"Name one with --run, or prepare {args.data} with training patients and train on it"
        )
    members = [applied_run(args.data, member, args.trained) for member in experiment.members]
    inputs = [trained, paths.sites(args.data), *members]
    this = manifest.Run(paths.run_dir(args.data, 3, args.run), experiment, inputs, args.force)
    if this.begin():
        predict(args.trained, args.data, experiment, this)


def applied_run(data: str, member: str, trained: str) -> Path:
    """The folder of a member's run that was trained on one set and applied to another; UserError if there is none."""
    folder = paths.run_dir(data, 2, member)
    record = folder / "run.json"
    if not record.is_file() or json.loads(record.read_text()).get("trained") != trained:
        saved = paths.run_dir(trained, 2, member) / "config.yaml"
        raise UserError(
            f"{folder} is not the run of {trained} applied to {data}; "
            f"run python -m stage2_score.predict {saved} --trained {trained} --data {data}"
        )
    return folder


def predict(trained: str, data: str, experiment: JointStack, this: manifest.Run) -> None:
    """Fit on all training patients, as stage3_stack.train did for the test patients, and predict the other set's patients."""
    cohort = cohorts.load(trained, experiment.members)
    others = cohorts.with_patients_of(cohort, data)
    stack = Stack(cohort, experiment).fit(cohort.train)
    name = this.folder.name
    weights = json.loads((paths.run_dir(trained, 3, name) / "weights.json").read_text())[f"fold_{REFIT}"]
    if json.loads(json.dumps(stack.describe())) != weights:
        print(f"{name}: the stack of {trained}, refitted on this machine, differs from its weights.json in the last digits")
    pred = stack.for_cohort(others).predict(others.test)
    test = outputs.write_scores(this.folder, "test", others, pred, experiment.seed)
    oof = this.folder / "oof.parquet"
    tables.SCORES.write(tables.SCORES.read(test).iloc[:0], oof)
    this.finish([test, oof], {}, experiment.seed, trained=trained)
    print(f"{name}: {len(others.test)} sets of films of {data} scored by the stack of {trained}", flush=True)


if __name__ == "__main__":
    cli.main(run)
