"""Train members fold by fold and write their out-of-fold and test tables.

    python -m stage2_score.train CONFIG.yaml|FOLDER [MORE ...] --data SET --bone-age SET

One run per member; all their folds share the cores. A finished fold is kept, a killed one resumes after its last whole epoch.
Each run's folder gets oof.parquet, test.parquet, metrics.json, log.csv and, last, run.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ra import atomic, cli, config, folds, manifest, paths, tables, training_log
from ra.config import UserError
from stage2_score import parallel, scores
from stage2_score.config import MEMBERS, Member, TrainingContext, add_configs, load_members
from stage2_score.whole_films import centre_file

if TYPE_CHECKING:
    from stage2_score.engine import Runtime

FOLD_RECORD = "fold.json"  # written last in a fold's folder, which marks the fold as finished
FLAGS = ("data", "profile", "set", "run", "bone-age", "fold", "device", "jobs", "workers", "force", "wandb")


def run() -> None:
    """Verb: train the members that the configs describe."""
    p = cli.parser(__doc__, *FLAGS)
    add_configs(p, MEMBERS)
    args = p.parse_args()
    train_members(load_members(args), args)


def train_members(members: list[tuple[str, Member]], args: argparse.Namespace) -> None:
    """Train every run that is not finished: all their folds share the cores."""
    started = []
    for name, member in members:
        files = inputs(args.data, args.bone_age, member)
        run_record = manifest.Run(paths.run_dir(args.data, 2, name), member, files, args.force)
        if run_record.begin():
            started.append((name, member, run_record))
    unfinished = [
        (name, member, fold)
        for name, member, _ in started
        for fold in folds.chosen(args.fold, n_folds(args.data, member))
        if not (paths.fold_dir(args.data, 2, name, fold) / FOLD_RECORD).is_file()
    ]
    if unfinished:
        train_all(unfinished, args)
    for name, member, run_record in started:
        finish(run_record, name, member, args.data, args.wandb)


def inputs(data: str, bone_age: str, member: Member) -> list[Path]:
    """The files and runs that a member depends on; the bone-age run only if it can be used."""
    files = [paths.sites(data), paths.folds(data)]
    if member.kind == "ratingen":
        if not paths.ratingen(data).is_file():
            raise UserError(
                f"{data} has no Ratingen percentages; add train/ratingen.csv and prepare it again, or leave the run out"
            )
        files.append(paths.ratingen(data))
    if member.kind == "film":
        files.append(centre_file(data))
    if not member.sees_pictures:
        return files
    files.append(paths.run_dir(data, 2, member.pictures))
    if member.trained:
        return [*files, paths.run_dir(data, 2, member.trained)]
    start = paths.run_dir(bone_age, 2, member.pretrained) if member.pretrained else None
    if start and (member.weights == ("bone_age",) or (start / "run.json").is_file()):
        files.append(start)
    return files


def n_folds(data: str, member: Member) -> int:
    """How many models a run trains: one per fold, or a single one if it has a holdout."""
    fold = folds.load(data)
    if fold.empty:
        raise UserError(f"{data} has no training patients; stage2_score.predict applies members trained on another set")
    return 1 if member.holdout else int(fold.max()) + 1


def split_fold(data: str, member: Member, fold: int, sites: pd.DataFrame) -> tuple[set[str], set[str], set[str]]:
    """Patients to train on, held back (from the other folds), and predicted (the fold's own); no person is split between them."""
    from stage2_score.data import hold_back

    fold_of, rng = folds.load(data), np.random.default_rng((member.seed, fold))
    persons = sites.drop_duplicates("patient_id").set_index("patient_id").person_id
    totals = scores.gold_totals(sites)

    def draw(patients: pd.Index, frac: float) -> set[str]:
        return hold_back(persons.reindex(patients), totals.reindex(patients), frac, rng)

    if member.holdout:
        _, validate, predict = member.holdout
        predicted = draw(fold_of.index, predict)
        held_back = draw(fold_of.index.difference(predicted, sort=False), validate / (1 - predict))
    else:
        predicted = set(fold_of.index[fold_of == fold])
        held_back = draw(fold_of.index[fold_of != fold], member.held_back_frac)
    return set(fold_of.index) - predicted - held_back, held_back, predicted


def train_all(unfinished: list[tuple[str, Member, int]], args: argparse.Namespace) -> None:
    """Train every (name, member, fold), several at a time."""
    from stage2_score.tasks import KINDS

    context = TrainingContext(args.data, args.bone_age, parallel.choose_device(args.device), args.workers)
    n = parallel.n_processes(args.jobs, len(unfinished), context.device)
    parallel.set_threads(max(1, parallel.cores() // n))
    starts = {}  # weights and precision of each run, the same for all its folds
    for name, member in {name: member for name, member, _ in unfinished}.items():
        starts[name] = KINDS[member.kind].choose_start(member, context, paths.run_dir(args.data, 2, name))
    work = [(name, starts[name][0], context, fold, starts[name][1]) for name, _, fold in unfinished]
    for row in parallel.run(train_fold, work, n, "training folds"):
        numbers = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float | int) and k != "fold")
        print(f"{row['run']} fold {row['fold']}: {numbers}, from {row['start']}", flush=True)


def train_fold(name: str, member: Member, context: TrainingContext, fold: int, runtime: Runtime | None) -> dict:
    """Train one fold and write its tables; returns its record, whose numbers the caller prints."""
    from stage2_score.tasks import KINDS

    kind, folder = KINDS[member.kind], paths.fold_dir(context.data, 2, name, fold)
    split = split_fold(context.data, member, fold, tables.SITES.read(paths.sites(context.data)))
    fitted = kind.train_fold(name, member, context, fold, split, runtime)
    train, held_back, predicted = split
    rows = kind.rows(member, context.data)
    rows_of = {"oof": rows[rows.patient_id.isin(predicted)], "test": rows[rows.split == "test"]}
    for part, wanted in rows_of.items():
        filled, extra_tables = fitted.predict(wanted)
        tables.SCORES.write(scores.table(filled, name, part, fold, member.seed), folder / f"{part}.parquet")
        for table_name, table in extra_tables.items():
            atomic.write_table(folder / f"{table_name}_{part}.parquet", table.assign(fold=fold))
    (folder / "last.pt").unlink(missing_ok=True)
    record = {"run": name, "fold": fold, **fitted.record, "fit": sorted(train), "held_back": sorted(held_back)}
    atomic.write_json(folder / FOLD_RECORD, record)
    return record


def finish(run: manifest.Run, name: str, member: Member, data: str, wandb: bool) -> None:
    """When every fold is trained: join their tables, check the coverage, log, write metrics.json and run.json."""
    from stage2_score.tasks import KINDS

    folders = [paths.fold_dir(data, 2, name, fold) for fold in range(n_folds(data, member))]
    missing = [fold for fold, folder in enumerate(folders) if not (folder / FOLD_RECORD).is_file()]
    if missing:
        print(f"{name}: folds {', '.join(map(str, missing))} are not trained yet", flush=True)
        return
    kind = KINDS[member.kind]
    joined = join_folds(name, member, data, folders, kind.rows(member, data))
    files, extra_metrics = kind.after_folds(name, data, member)
    records = [json.loads((folder / FOLD_RECORD).read_text()) for folder in folders]
    metrics = kind.metrics(joined["oof"], data) | extra_metrics
    metrics |= {"missing": int(joined["oof"].pred.isna().sum()), "train_seconds": sum(row["seconds"] for row in records)}
    metrics |= {"parameters": records[0]["parameters"]}
    join_logs(run, name, member, folders, wandb)
    atomic.write_json(run.folder / "metrics.json", metrics)
    print(f"{name}: out of fold {', '.join(f'{k} {v:.4g}' for k, v in metrics.items())}", flush=True)
    outputs = [paths.scores(data, 2, name, split) for split in joined] + [f / "best.safetensors" for f in folders]
    run.finish([f for f in [*outputs, *files] if f.is_file()], metrics, member.seed, folds=records)


def join_folds(name: str, member: Member, data: str, folders: list[Path], expected: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Write oof.parquet, test.parquet and the extra tables of a run; training rows that a holdout does not predict are NaN."""
    joined = {}
    for split, wanted in (("oof", expected[expected.split == "train"]), ("test", None)):
        parts = [tables.SCORES.read(folder / f"{split}.parquet") for folder in folders]
        if wanted is not None and member.holdout:
            others = wanted[~wanted.patient_id.isin(parts[0].patient_id)].assign(pred=np.nan, box_source="none")
            parts.append(scores.table(others, name, split, -1, member.seed))
        joined[split] = scores.write(parts, wanted, paths.scores(data, 2, name, split))
        for path in sorted(folders[0].glob(f"*_{split}.parquet")):
            table = pd.concat([pd.read_parquet(folder / path.name) for folder in folders], ignore_index=True)
            atomic.write_table(paths.run_dir(data, 2, name) / path.name, table)
    return joined


def join_logs(run: manifest.Run, name: str, member: Member, folders: list[Path], wandb: bool) -> None:
    """Write the run's log.csv from those of its folds, mirrored to wandb if asked."""
    logs = [folder / "log.csv" for folder in folders if (folder / "log.csv").is_file()]
    path = run.folder / "log.csv"
    path.unlink(missing_ok=True)
    joined = training_log.Log(path, wandb, name, config.as_dict(member))
    for log in logs:
        for row in pd.read_csv(log).to_dict("records"):
            joined.row(**row)
    joined.close()


if __name__ == "__main__":
    cli.main(run)
