"""Train one member with several values of one config key, and draw its error over them (Maziarz et al. 2020, Figure 2).

python -m stage2_score.sweep CONFIG --data SET --run NAME --fold 0 --plot docs/sweep.png
    --values loss.params.smoothing=0,0.05,0.1,0.2,0.4 --values loss.params.inner=0.019,0.028,0.037,0.046

Each value is a run of its own, <run>-<key>-<value>: it is skipped when finished and goes on when killed. Each --values gives a
panel. The error is theirs: the root mean square over the held-out patients' sites of (expected grade - grade).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from ra import cli, folds, paths, tables
from ra.anatomy import FINDINGS
from ra.config import UserError
from stage2_score import config as members
from stage2_score.config import Member
from stage2_score.train import n_folds, train_members

COLUMNS = ["key", "value", *FINDINGS]
COLOURS = {"narrowing": "tab:blue", "erosion": "tab:orange"}


def parse(text: str) -> tuple[str, list[str]]:
    """('a.b', ['1', '2']) of a.b=1,2."""
    key, _, values = text.partition("=")
    found = [value for value in values.split(",") if value]
    if not key or not found:
        raise UserError(f"--values {text}: write key=value,value, for example loss.params.smoothing=0,0.1,0.2")
    return key, found


def runs_of(args: argparse.Namespace) -> dict[tuple[str, str], tuple[str, Member]]:
    """(key, value) -> run name and member of every value asked for."""
    found = {}
    for key, values in map(parse, args.values):
        for value in values:
            changed = argparse.Namespace(**{**vars(args), "sets": [*args.sets, f"{key}={value}"]})
            loaded = members.load(Member, changed)
            if len(loaded) > 1:
                raise UserError("a sweep changes one experiment; name one of the family with --run")
            name, member = loaded[0]
            found[key, value] = f"{name}-{key.rpartition('.')[2]}-{value}", member
    return found


def rmse(data: str, run: str, chosen: list[int]) -> dict[str, float]:
    """Root mean square error of the held-out sites of some folds, per finding; NaN where none is scored."""
    parts = [tables.SCORES.read(paths.fold_dir(data, 2, run, k) / "oof.parquet") for k in chosen]
    whole = pd.concat(parts)
    square = (whole.pred - whole.target) ** 2
    return {f: float(square[whole.finding == f].mean() ** 0.5) for f in FINDINGS}


def draw(table: pd.DataFrame, path: Path) -> None:
    """One panel per key, a line per finding; the values at equal distances, as in the paper."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    keys = list(dict.fromkeys(table.key))
    figure, panels = pyplot.subplots(1, len(keys), figsize=(4.5 * len(keys), 3.4), squeeze=False, layout="constrained")
    for key, panel in zip(keys, panels[0], strict=True):
        of_key = table[table.key == key]
        for finding in FINDINGS:
            panel.plot(of_key.value, of_key[finding], marker="o", color=COLOURS[finding], label=finding)
        panel.set(xlabel=key, ylabel="RMSE of site scores")
        panel.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def run() -> None:
    """Verb: train the values, print the errors, draw them."""
    p = members.parser(__doc__)
    p.add_argument("--bone-age", default="boneage-demo", metavar="SET", help="prepared set whose pretraining members start from")
    p.add_argument("--values", action="append", required=True, metavar="KEY=A,B", help="a config key and its values; repeatable")
    p.add_argument("--plot", required=True, metavar="PNG", help="the figure; its numbers are left beside it as .csv")
    args = p.parse_args()
    wanted = runs_of(args)
    train_members(list(dict(wanted.values()).items()), args)
    rows = []
    for (key, value), (name, member) in wanted.items():
        rows.append({"key": key, "value": value, **rmse(args.data, name, folds.chosen(args.fold, n_folds(args.data, member)))})
    table, path = pd.DataFrame(rows, columns=COLUMNS), Path(args.plot)
    draw(table, path)
    table.to_csv(path.with_suffix(".csv"), index=False, float_format="%.4f")
    print(table.to_string(index=False, float_format="%.4f"), f"\n{path}", flush=True)


if __name__ == "__main__":
    cli.main(run)
