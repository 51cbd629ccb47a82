"""Train one member with several values of one config key, and plot its error over them (Maziarz et al. 2021, Figure 2).

    python -m stage2_score.sweep CONFIG.yaml --run NAME --data SET --fold 0 --plot docs/sweep.png
        --values loss.params.smoothing=0,0.05,0.1,0.2,0.4 --values loss.params.inner=0.019,0.028,0.037,0.046

Each value is a separate run, <run>-<key>-<value>, which is skipped when finished and resumes when killed. Each --values gives a
panel. The error is that of the paper: the root mean square of (expected grade - grade) over the held-out patients' sites.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from ra import atomic, cli, folds, paths, tables
from ra.anatomy import FINDINGS
from ra.config import UserError
from stage2_score.config import MEMBERS, Member, add_configs, load_members
from stage2_score.train import FLAGS, n_folds, train_members

COLUMNS = ["key", "value", *FINDINGS]
COLOURS = {"narrowing": "tab:blue", "erosion": "tab:orange"}


def run() -> None:
    """Verb: train one run per value, print the errors and plot them."""
    p = cli.parser(__doc__, *FLAGS)
    add_configs(p, MEMBERS)
    p.add_argument("--values", action="append", required=True, metavar="KEY=A,B", help="a config key and its values; repeatable")
    p.add_argument("--plot", required=True, metavar="PNG", help="the plot; its numbers are written next to it as .csv")
    args = p.parse_args()
    runs = runs_of(args)
    train_members(list(dict(runs.values()).items()), args)
    rows = []
    for (key, value), (name, member) in runs.items():
        chosen = folds.chosen(args.fold, n_folds(args.data, member))
        rows.append({"key": key, "value": value, **rmse(args.data, name, chosen)})
    table, path = pd.DataFrame(rows, columns=COLUMNS), Path(args.plot)
    draw(table, path)
    atomic.write_text(path.with_suffix(".csv"), table.to_csv(index=False, float_format="%.4f"))
    print(table.to_string(index=False, float_format="%.4f"), f"\n{path}", flush=True)


def parse(text: str) -> tuple[str, list[str]]:
    """Key and values in a value of --values: a.b=1,2 -> ('a.b', ['1', '2'])."""
    key, _, listed = text.partition("=")
    values = [value for value in listed.split(",") if value]
    if not key or not values:
        raise UserError(f"--values {text}: write key=value,value, for example loss.params.smoothing=0,0.1,0.2")
    return key, values


def runs_of(args: argparse.Namespace) -> dict[tuple[str, str], tuple[str, Member]]:
    """(key, value) -> run name and member of every requested value."""
    runs = {}
    for key, values in map(parse, args.values):
        for value in values:
            members = load_members(argparse.Namespace(**{**vars(args), "sets": [*args.sets, f"{key}={value}"]}))
            if len(members) > 1:
                raise UserError("a sweep changes one member; name it with --run")
            name, member = members[0]
            runs[key, value] = f"{name}-{key.rpartition('.')[2]}-{value}", member
    return runs


def rmse(data: str, run: str, chosen: list[int]) -> dict[str, float]:
    """Root mean square error of the held-out sites of some folds, per finding; NaN for a finding without scores."""
    table = pd.concat([tables.SCORES.read(paths.fold_dir(data, 2, run, fold) / "oof.parquet") for fold in chosen])
    square = (table.pred - table.target) ** 2
    return {f: float(square[table.finding == f].mean() ** 0.5) for f in FINDINGS}


def draw(table: pd.DataFrame, path: Path) -> None:
    """Plot one panel per key with a line per finding; values are evenly spaced, as in the paper."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    keys = list(dict.fromkeys(table.key))
    figure, panels = pyplot.subplots(1, len(keys), figsize=(4.5 * len(keys), 3.4), squeeze=False, layout="constrained")
    for key, panel in zip(keys, panels[0], strict=True):
        rows = table[table.key == key]
        for finding in FINDINGS:
            panel.plot(rows.value, rows[finding], marker="o", color=COLOURS[finding], label=finding)
        panel.set(xlabel=key, ylabel="RMSE of site scores")
        panel.legend(frameon=False)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix[1:] or "png")
    pyplot.close(figure)


if __name__ == "__main__":
    cli.main(run)
