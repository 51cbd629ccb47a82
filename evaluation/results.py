"""The results table: floors, members, learners, the blend and the readers' own noise.

    python -m evaluation.results --data SET

Out of fold against the training targets, and on test where the set knows the reader's scores (data/work/SET/gold.csv). Prints the
table, writes it as results.csv into the run's folder, then says how the blend compares with the best member (paired bootstrap
over patients), how far the noise floor is, and how many films and joints were missing. The noise floor needs the truth behind a
synthetic reader (data/work/SET/truth.csv).
"""

from __future__ import annotations

import json

from ra import cli, config, manifest, paths
from ra.config import UserError
from stage3_stack import config as recipes
from stage3_stack import ledger
from stage3_stack.config import JointStack


def run() -> None:
    p = recipes.parser(__doc__)
    p.add_argument("--name", help="name of the submission whose ledger line gets the test scores (default: the set's name)")
    args = p.parse_args()
    folder = paths.run_dir(args.data, 3, recipes.run_name(args))
    manifest.file_hash(folder)  # a UserError when the run is not finished
    if trained := json.loads((folder / "run.json").read_text()).get("trained"):
        raise UserError(f"{folder} is the run of {trained} applied to {args.data}; report has what is known of it")
    recipe = config.load(JointStack, folder / "config.yaml")  # what was stacked, whatever the config says today
    from evaluation.leaderboard import Scoreboard

    found = Scoreboard.make(args.data, folder, recipe)
    found.write(folder / "results.csv")
    print(found.text(), flush=True)
    record = paths.submission(args.name or args.data).with_suffix(".json")
    if "test" in found.gold and record.is_file():
        ledger.record_test(manifest.file_hash(record), found.test_scores())


if __name__ == "__main__":
    cli.main(run)
