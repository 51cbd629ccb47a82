"""Fit the stack and predict: final grades of the 86 sites and the three totals, out of fold and for the test patients.

    python -m stage3_stack.train --data SET --config stage3_stack/configs/demo/blend.yaml

Reads the tables of the members that the config names; writes data/work/SET/stage3/RUN/{oof,test}.parquet, learners.parquet,
fold_k/ (the learners, readable), weights.json, metrics.json and run.json. Fold k is predicted by a stack that was fitted on the
other folds alone, blend weights and thresholds included; the test patients by one fitted on all training patients.
"""

from __future__ import annotations

import numpy as np

from ra import atomic, cli, config, manifest, paths, track
from ra.config import UserError
from stage3_stack import config as recipes
from stage3_stack.config import Recipe

ALL = "all"  # the "fold" whose stack was fitted on all training patients; it predicts the test patients


def run() -> None:
    args = recipes.parser(__doc__).parse_args()
    if args.fold != "all":
        raise UserError(f"--fold {args.fold}: the stack fits all folds at once; leave --fold out")
    recipe = config.load(Recipe, args.config, args.sets)
    folder = paths.run_dir(args.data, 3, recipes.run_name(args))
    members = [paths.run_dir(args.data, 2, member) for member in recipe.members]
    made = manifest.Run(folder, recipe, [paths.sites(args.data), paths.folds(args.data), *members], args.force)
    if made.begin():
        fit(args.data, recipe, made, args.wandb)


def fit(data: str, recipe: Recipe, made: manifest.Run, wandb: bool = False) -> None:
    """Cross-fit, refit, write everything, run.json last."""
    from stage3_stack import cohort as cohorts
    from stage3_stack import outputs
    from stage3_stack.stack import Prediction, Stack

    cohort = cohorts.load(data, recipe.members)
    if not cohort.n_train:
        raise UserError(f"{data} has no training patients; stage3_stack.predict applies what was trained on another set")
    stack, oof = Stack(cohort, recipe), Prediction.empty(cohort.n_train, recipe)
    chosen, files = {}, []
    for fold in track.progress([*sorted(set(cohort.fold.tolist())), ALL], "stack: folds and refit"):
        apply = cohort.test if fold == ALL else cohort.train[cohort.fold == fold]
        pred = stack.fit(np.setdiff1d(cohort.train, apply)).predict(apply)
        if fold == ALL:
            test = pred
        else:
            oof.put(apply, pred)
        chosen[f"fold_{fold}"] = stack.describe()
        files += stack.save(made.folder / f"fold_{fold}")
    metrics = outputs.learner_scores(cohort, oof)
    files += outputs.write(made.folder, cohort, oof, test, recipe.seed)
    known = {name: {k: None if np.isnan(v) else v for k, v in values.items()} for name, values in metrics.items()}
    for name, value in (("weights.json", chosen), ("metrics.json", known)):
        atomic.write_json(made.folder / name, value)
        files.append(made.folder / name)
    log = track.Log(made.folder / "log.csv", wandb, made.folder.name, config.as_dict(recipe))
    for name, values in metrics.items():
        log.row(learner=name, **values)
    log.close()
    blend = metrics["blend"]
    made.finish(files, blend, recipe.seed)
    print(f"{made.folder.name}: out of fold SC1 {blend['sc1']:.4f}, SC2 {blend['sc2']:.4f}, SC3 {blend['sc3']:.4f}", flush=True)


if __name__ == "__main__":
    cli.main(run)
