"""Results of a finished run of stage 3, as a table on the terminal.

    python -m evaluation.results --data SET [--run RUN] [--name NAME]

The table depends on the run's kind. It shows results out of fold and, where the set has gold scores, on test:

    joints        the leaderboard: floors, members, learners, the blend and the readers' noise floor; also written as results.csv
                  into the run's folder. Below it the blend against the best member (paired bootstrap over patients), the distance
                  to the noise floor, and how many films and joints were missing. The test scores are entered into the ledger line
                  of the submission NAME.
    hand_totals   errors and correlation of the column mean, of every member and of the ensemble
    joint_visits  agreement of every member and of their mean with the reader's Ratingen grades

A noise floor needs the truth behind a synthetic reader (data/work/SET/truth.csv).
"""

from __future__ import annotations

from evaluation import runs
from ra import cli, manifest, paths
from ra.config import UserError
from stage3_stack import config, ledger
from stage3_stack.config import JointStack


def run() -> None:
    p = cli.parser(__doc__, "data", "name")
    p.add_argument("--run", default="blend", metavar="RUN", help="run of stage 3 (default %(default)s)")
    args = p.parse_args()
    folder = paths.run_dir(args.data, 3, args.run)
    saved = config.saved(folder)
    if trained := runs.record(folder).get("trained"):
        raise UserError(f"{folder} is the run of {trained} applied to {args.data}; use python -m report for its results")
    if isinstance(saved, JointStack):
        joints(args.data, args.run, saved, args.name or args.data)
        return
    from evaluation import hand_totals, joint_visits

    text = {"hand_totals": hand_totals.text, "joint_visits": joint_visits.text}[saved.kind]
    print(text(args.data, args.run), flush=True)


def joints(data: str, run: str, saved: JointStack, submission: str) -> None:
    """Print the leaderboard of a joint stack, write results.csv, and enter the test scores into the submission's ledger line."""
    from evaluation import leaderboard

    board = leaderboard.of_run(data, run, saved)
    board.write(paths.run_dir(data, 3, run) / "results.csv")
    print(board.text(), flush=True)
    record = paths.submission(submission).with_suffix(".json")
    if "test" in board.gold and record.is_file():
        ledger.record_test(manifest.file_hash(record), board.score(board.blend, "test"))


if __name__ == "__main__":
    cli.main(run)
