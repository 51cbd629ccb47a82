"""Write submissions/NAME.csv in the template's own rows and columns, with its manifest, after checking it.

    python -m stage3_stack.submit --data SET [--name NAME]

The template is the one that came with the set (data/work/SET/template.csv); without one, the challenge's final column order and
the set's test patients. Its columns decide what is submitted: a set that scores some sites has fewer. The Overall columns come
from the totals' own learners, not from sums of joints. One line is added to submissions/ledger.csv.

The format knows no joint that could not be scored: there the stack's imputed number is written, and the manifest lists the cell.
submissions/NAME.intervals.csv has a row per patient and column: state, value (none where not scored, totals pro-rated), 80 and
95 % interval, number scored, bounds.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from ra import atomic, cli, manifest, paths
from ra.anatomy import ID
from ra.config import UserError
from stage3_stack import config as recipes
from stage3_stack import intervals, ledger


def run() -> None:
    p = recipes.parser(__doc__)
    p.add_argument("--name", help="name of the submission (default: the set's name)")
    args = p.parse_args()
    submit(args.data, recipes.run_name(args), args.name or args.data, args.force)


def submit(data: str, run_name: str, name: str, force: bool = False) -> None:
    """Skip when the same submission stands; else write, check, move into place, write the manifest, add to the ledger."""
    folder, out = paths.run_dir(data, 3, run_name), paths.submission(name)
    template = paths.work(data) / "template.csv"
    inputs = {"run": manifest.file_hash(folder), "template": manifest.file_hash(template) if template.is_file() else ""}
    inputs["intervals"] = intervals.required(data, run_name)
    record = out.with_suffix(".json")
    if not force and _stands(out, record, inputs):
        print(f"{out.name}: finished, skipped", flush=True)
        return
    record.unlink(missing_ok=True)  # from here until the end there is no finished submission of this name
    patients, columns = _write(folder, template, out)
    rows = intervals.beside(out, paths.prediction_intervals(data, run_name, "test"), patients, columns)
    finished = json.loads((folder / "run.json").read_text())
    content = {"submission": out.name, "set": data, "run": run_name, "inputs": inputs, "sha256": manifest.file_hash(out)}
    content |= rows | {"patients": len(patients), "columns": len(columns) + 1, "oof": finished["metrics"]}
    content |= {key: finished[key] for key in ("config_hash", "seed")} | {"versions": manifest.versions()}
    atomic.write_json(record, content)
    known = [score for score in ("sc1", "sc2", "sc3") if score in finished["metrics"]]  # an applied run has none of its own
    oof = {f"{score}_oof": f"{finished['metrics'][score]:.4f}" for score in known}
    ledger.append(date=date.today().isoformat(), run=name, set=data, manifest=manifest.file_hash(record), **oof)
    print(f"{out}: {len(patients)} patients, {len(columns) + 1} columns, no fault", flush=True)


def _stands(out: Path, record: Path, inputs: dict[str, str]) -> bool:
    """Whether the submission on disk was made of the same and is whole."""
    if not (out.is_file() and record.is_file()):
        return False
    before = json.loads(record.read_text())
    whole = {out: before["sha256"], intervals.beside_path(out): before.get("intervals_sha256")}
    return before["inputs"] == inputs and all(path.is_file() and manifest.file_hash(path) == h for path, h in whole.items())


def _write(folder: Path, template_path: Path, out: Path) -> tuple[list[str], list[str]]:
    """The checked CSV in place; its patients and its score columns."""
    import pandas as pd

    from stage3_stack import submission, validate
    from stage3_stack.outputs import read_scores

    table = read_scores(folder / "test.parquet")
    if table.empty:
        raise UserError(f"{folder} has no test patients, so there is nothing to submit; prepare the set with a test folder")
    if template_path.is_file():
        template = submission.read_text(template_path)
    else:
        template = pd.DataFrame({ID: table.index}).reindex(columns=submission.columns(table))
    unknown = template[ID][~template[ID].isin(table.index)]
    if len(unknown):
        raise UserError(f"{template_path}: patient {unknown.iloc[0]} has no prediction in {folder}; prepare the set again")
    unscored = [c for c in template.columns if c != ID and (c not in table or table[c].isna().all())]
    if unscored:
        more = f" and {len(unscored) - 1} more" if len(unscored) > 1 else ""
        raise UserError(
            f"{template_path} asks for {unscored[0]}{more}, which no training patient of the set has a score for; "
            "delete the column, or train on a set that scores it"
        )
    temporary = submission.write(table, template, out)
    found = validate.faults(submission.read_text(temporary), template)
    if found:
        temporary.unlink()
        raise UserError(f"the submission would have {len(found)} faults, the first: {found[0]}; run stage3_stack.train again")
    temporary.replace(out)
    return list(template[ID]), [c for c in template.columns if c != ID]


if __name__ == "__main__":
    cli.main(run)
