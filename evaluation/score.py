"""The nine RA2-DREAM scores of a submission, as JSON.

    python -m evaluation.score PRED.csv GOLD.csv [--bootstrap OTHER.csv]

sc1 is the total, sc2 narrowing, sc3 erosion; sc2_total and sc3_total are the SC1 formula on Overall_narrowing and
Overall_erosion. A score that the challenge would refuse is null; the reason goes to standard error and the exit code is 1.
Columns that GOLD lacks are not scored; without totals its patients are weighted by the sum of their grades.
--bootstrap adds the challenge's tie test between PRED and OTHER, and the difference with its 95 % interval over patients.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from ra import challenge_scores, cli
from ra.config import UserError
from stage3_stack.outputs import RANKED
from stage3_stack.submission import read_numbers


def compare(pred: pd.DataFrame, other: pd.DataFrame, gold: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Tie test and paired bootstrap over patients of the three ranked scores; difference = score(PRED) - score(OTHER)."""
    out = {}
    for name in (name for name in RANKED if name in challenge_scores.scored(gold)):
        difference, low, high = challenge_scores.paired_bootstrap(pred, other, gold, name)
        out[name] = challenge_scores.tie_test(pred, other, gold, name) | {"difference": difference, "low": low, "high": high}
    return out


def run() -> None:
    p = cli.parser(__doc__)
    p.add_argument("pred", metavar="PRED.csv", type=Path, help="the submission")
    p.add_argument("gold", metavar="GOLD.csv", type=Path, help="the readers' scores, in the same columns")
    p.add_argument("--bootstrap", metavar="OTHER.csv", type=Path, help="a second submission to compare with")
    args = p.parse_args()
    pred, gold = read_numbers(args.pred), read_numbers(args.gold)
    reasons = challenge_scores.refusals(pred, gold)
    scores: dict[str, object] = {
        name: None if name in reasons else challenge_scores.RA2[name].fn(pred, gold) for name in challenge_scores.scored(gold)
    }
    if args.bootstrap:
        other = read_numbers(args.bootstrap)
        refused = reasons | challenge_scores.refusals(other, gold)
        if refused:
            raise UserError(
                f"no tie test: {next(iter(refused.values()))}; correct the submissions (stage3_stack.validate lists all faults)"
            )
        scores["bootstrap"] = compare(pred, other, gold)
    print(json.dumps(scores, indent=1))
    for name, reason in reasons.items():
        print(f"{name} is NA: {reason}", file=sys.stderr)
    if reasons:
        raise SystemExit(1)


if __name__ == "__main__":
    cli.main(run)
