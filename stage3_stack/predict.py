"""Apply a finished stack to another prepared set.

    python -m stage3_stack.predict --trained SET --data OTHER [--run blend]

Every patient of OTHER gets final grades and totals, from what the members of SET's stack say of him (stage2_score.predict
--trained SET --data OTHER). Nothing is unpickled: the stack is fitted again on SET's own tables, by the config that it was made
with, to the same learners. Writes data/work/OTHER/stage3/RUN/{test.parquet, oof.parquet (without rows)} and run.json; of OTHER's
readings nothing is read.
"""

from __future__ import annotations

import json

from ra import cli, config, manifest, paths, tables
from ra.config import UserError
from stage3_stack import config as recipes
from stage3_stack.config import Recipe
from stage3_stack.train import ALL


def run() -> None:
    p = recipes.parser(__doc__)
    p.add_argument("--trained", required=True, metavar="SET", help="prepared set whose stack is applied")
    args = p.parse_args()
    name = recipes.run_name(args)
    if args.data == args.trained:
        raise UserError("--data and --trained are the same set; its test.parquet was written by stage3_stack.train")
    trained = paths.run_dir(args.trained, 3, name)
    manifest.file_hash(trained)  # a UserError when the run is not finished
    recipe = config.load(Recipe, trained / "config.yaml")  # what was stacked, whatever the config says today
    members = [applied(args.data, member, args.trained) for member in recipe.members]
    made = manifest.Run(paths.run_dir(args.data, 3, name), recipe, [trained, paths.sites(args.data), *members], args.force)
    if made.begin():
        predict(args.trained, args.data, recipe, made)


def applied(data: str, member: str, trained: str):
    """The folder of a member's run that was applied to a set; UserError when there is none of the trained set's."""
    folder = paths.run_dir(data, 2, member)
    record = folder / "run.json"
    if not record.is_file() or json.loads(record.read_text()).get("trained") != trained:
        saved = paths.run_dir(trained, 2, member) / "config.yaml"
        raise UserError(
            f"{folder} is not the run of {trained} applied to {data}; "
            f"run python -m stage2_score.predict {saved} --trained {trained} --data {data}"
        )
    return folder


def predict(trained: str, data: str, recipe: Recipe, made: manifest.Run) -> None:
    """Fit as stage3_stack.train did for the test patients, predict the other set's, write, run.json last."""
    from stage3_stack import cohort as cohorts
    from stage3_stack import outputs
    from stage3_stack.stack import Stack

    own = cohorts.load(trained, recipe.members)
    others = cohorts.with_others(own, data)
    stack = Stack(own, recipe).fit(own.train)
    chosen = json.loads((paths.run_dir(trained, 3, made.folder.name) / "weights.json").read_text())[f"fold_{ALL}"]
    if json.loads(json.dumps(stack.describe())) != chosen:
        print(f"{made.folder.name}: on this machine the stack of {trained} is not fitted to the last digit of its weights.json")
    test = outputs.write_scores(made.folder, "test", others, stack.on(others).predict(others.test), recipe.seed)
    oof = made.folder / "oof.parquet"
    tables.SCORES.write(tables.SCORES.read(test).iloc[:0], oof)
    made.finish([test, oof], {}, recipe.seed, trained=trained)
    print(f"{made.folder.name}: {len(others.test)} sets of films of {data} scored by the stack of {trained}", flush=True)


if __name__ == "__main__":
    cli.main(run)
