"""The results table: floors, members, learners, the blend and the readers' own noise.

    python -m stage3_stack.results --data SET [--gold GOLD.csv] [--truth TRUTH.csv] [--train-truth TRUTH.csv]

Out of fold against the training targets, and on test when --gold is given. Prints the table, writes it as results.csv into the
run's folder, then says how the blend compares with the best member (paired bootstrap over patients), how far the noise floor is,
and how many films and joints were missing. --truth and --train-truth are the truth behind a synthetic reader, in the challenge's
columns; a path that does not exist is left out. This module and stage3_stack.score alone read gold.
"""

from __future__ import annotations

from ra import config, manifest, paths
from stage3_stack import ledger
from stage3_stack import recipe as recipes
from stage3_stack.recipe import Recipe


def run() -> None:
    p = recipes.parser(__doc__)
    p.add_argument("--gold", metavar="CSV", help="the readers' scores of the test patients")
    p.add_argument("--truth", metavar="CSV", help="the truth of the test patients: the noise floor")
    p.add_argument("--train-truth", metavar="CSV", help="the truth of the training patients")
    p.add_argument("--name", help="name of the submission whose ledger line gets the test scores (default: the set's name)")
    args = p.parse_args()
    folder = paths.run_dir(args.data, 3, recipes.run_name(args))
    manifest.file_hash(folder)  # a UserError when the run is not finished
    recipe = config.load(Recipe, folder / "config.yaml")  # what was stacked, whatever the config says today
    from stage3_stack import report

    gold, truth, train_truth = (report.read_patients(path) for path in (args.gold, args.truth, args.train_truth))
    found = report.Report.make(args.data, folder, recipe, gold, {"oof": train_truth, "test": truth})
    found.write(folder / "results.csv")
    print(found.text(), flush=True)
    record = paths.submission(args.name or args.data).with_suffix(".json")
    if gold is not None and record.is_file():
        ledger.record_test(manifest.file_hash(record), found.test_scores())


if __name__ == "__main__":
    config.main(run)
