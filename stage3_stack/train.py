"""Train runs of stage 3 from experiment files: cross-fitted predictions of the training patients, a refit for the test patients.

    python -m stage3_stack.train configs/joints/stack --data SET --profile demo
    python -m stage3_stack.train configs/joints/stack/blend.yaml --data SET --set inner_folds=3 --run small

An experiment's `kind` is joints (a stack of members), hand_totals (a linear ensemble of both-hands members) or joint_visits (the
mean of Ratingen members). Writes data/work/SET/stage3/RUN/{oof,test}.parquet, metrics.json, log.csv, run.json and, by kind,
weights.json, learners.parquet and fold_k/ (fitted learners, for people to read). Fold k is predicted from a fit on the other
folds alone, blend weights and thresholds included; the test patients are predicted from a fit on all training patients.
"""

from __future__ import annotations

import math

from ra import atomic, cli, config, manifest, paths, training_log
from stage3_stack.config import KINDS, StackConfig
from stage3_stack.kinds import kind_of


def run() -> None:
    """Train the experiments that the command line names."""
    p = cli.parser(__doc__, "data", "profile", "set", "run", "force", "wandb")
    p.add_argument("experiments", nargs="+", metavar="CONFIG", help="experiment files, or folders of them")
    args = p.parse_args()
    for name, experiment in config.experiments(KINDS, args.experiments, args.profile, args.sets, args.run):
        train(args.data, name, experiment, force=args.force, wandb=args.wandb)


def train(data: str, name: str, experiment: StackConfig, *, force: bool = False, wandb: bool = False) -> None:
    """Train one run unless it is finished; run.json is written last."""
    kind, folder = kind_of(experiment), paths.run_dir(data, 3, name)
    this = manifest.Run(folder, experiment, kind.inputs(data, experiment), force)
    if not this.begin():
        return
    trained = kind.train(data, experiment, folder)
    metrics = {}
    for learner, values in trained.by_learner.items():
        metrics[learner] = {metric: None if math.isnan(value) else value for metric, value in values.items()}
    atomic.write_json(folder / "metrics.json", metrics)
    log = training_log.Log(folder / "log.csv", wandb, name, config.as_dict(experiment))
    for learner, values in trained.by_learner.items():
        log.row(learner=learner, **values)
    log.close()
    this.finish([*trained.files, folder / "metrics.json"], trained.metrics, trained.seed)
    print(f"{name}: out of fold {trained.summary}", flush=True)


if __name__ == "__main__":
    cli.main(run)
