"""Train scorers fold by fold and write their out-of-fold and test tables.

python -m stage2_score.train CONFIG.yaml [MORE.yaml ...] --data SET --bone-age SET: one run per config; all their folds share
the cores. A finished fold is kept, a killed one goes on at its last whole epoch. Each run's folder gets oof.parquet,
test.parquet, metrics.json, log.csv and, last, run.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ra import atomic, cli, config, folds, manifest, paths, tables, track
from ra.config import UserError
from stage2_score import config as members
from stage2_score import parallel, scores
from stage2_score.config import Member, Place
from stage2_score.whole_films import centre_file

if TYPE_CHECKING:
    from stage2_score.engine import Machine
    from stage2_score.tasks import PictureTask, Predict

FOLD_DONE = "fold.json"  # written last in a fold's folder


def inputs(data: str, bone_age: str, member: Member) -> list[Path]:
    """What a run depends on; a bone-age run only where it can be used."""
    files = [paths.sites(data), paths.folds(data)]
    if member.kind == "sitemean":
        return files
    if member.kind == "ratingen":
        if not paths.ratingen(data).is_file():
            raise UserError(
                f"{data} has no Ratingen percentages; add train/ratingen.csv and prepare it again, or leave the run out"
            )
        files.append(paths.ratingen(data))
    files += [centre_file(data)] if member.kind == "film" else []
    files.append(paths.run_dir(data, 2, member.crops))
    if member.trained:
        return [*files, paths.run_dir(data, 2, member.trained)]
    start = paths.run_dir(bone_age, 2, member.pretrained) if member.pretrained else None
    if start and (member.weights == ("bone_age",) or (start / "run.json").is_file()):
        files.append(start)
    return files


def n_folds(data: str, member: Member) -> int:
    """How many networks a run trains: one per fold, or one with a holdout."""
    fold = folds.load(data)
    if fold.empty:
        raise UserError(f"{data} has no training patients; stage2_score.predict applies what was trained on another set")
    return 1 if member.holdout else int(fold.max()) + 1


def split_fold(data: str, member: Member, fold: int, sites: pd.DataFrame) -> tuple[set[str], set[str], set[str]]:
    """Patients to fit on, held back (inside the other folds) and predicted (the fold's own); persons stay whole."""
    from stage2_score.data import hold_back

    fold_of, rng = folds.load(data), np.random.default_rng((member.seed, fold))
    persons = sites.drop_duplicates("patient_id").set_index("patient_id").person_id
    totals = scores.gold_totals(sites)

    def some(of: pd.Index, frac: float) -> set[str]:
        return hold_back(persons.reindex(of), totals.reindex(of), frac, rng)

    if member.holdout:
        _, validate, predict = member.holdout
        out = some(fold_of.index, predict)
        held = some(fold_of.index.difference(out, sort=False), validate / (1 - predict))
    else:
        out = set(fold_of.index[fold_of == fold])
        held = some(fold_of.index[fold_of != fold], member.held_back_frac)
    return set(fold_of.index) - out - held, held, out


def train_fold(name: str, member: Member, place: Place, fold: int, machine: Machine) -> dict:
    """One fold from its pictures to its tables; returns the row that the caller prints."""
    import torch
    from safetensors.torch import load_file

    from stage2_score import engine, tasks
    from stage2_score.networks import network as model

    kind = tasks.KINDS[member.kind]
    folder = paths.fold_dir(place.data, 2, name, fold)
    pictures = kind.open(member, place.data)
    *learn, out = split_fold(place.data, member, fold, tables.SITES.read(paths.sites(place.data)))
    every = np.arange(len(pictures.index))
    known = kind(pictures, (every, every), member, member.loss).known()
    rows = tuple(np.flatnonzero(pictures.index.patient_id.isin(some).to_numpy() & known) for some in learn)
    if not all(map(len, rows)):
        raise UserError(f"{name}, fold {fold}: no training pictures with a score; check {paths.sites(place.data)} and the crops")
    seed = (member.seed, fold)
    task = kind(pictures, rows, member, member.loss, seed=seed, workers=place.workers)
    torch.manual_seed(member.seed * 1000 + fold)
    network, source = model.build(member, place.bone_age, member.head)
    if member.trained:
        best = {"seconds": 0.0}
        network.load_state_dict(load_file(paths.fold_dir(place.data, 2, member.trained, fold) / "best.safetensors"))
        network.to(machine.device)
    else:
        task.prepare(network)
        log = track.Log(folder / "log.csv")
        best = engine.fit(network, task, member.optim, folder, machine, seed=seed, log=log, fold=fold)
    predict = engine.predictor(network, machine)
    wanted = kind.rows(member, place.data)
    for split, of in (("oof", wanted[wanted.patient_id.isin(out)]), ("test", wanted[wanted.split == "test"])):
        filled, extras = predict_rows(member, task, predict, of)
        tables.SCORES.write(scores.table(filled, name, split, fold, member.seed), folder / f"{split}.parquet")
        for what, table in extras.items():
            table.assign(fold=fold).to_parquet(folder / f"{what}_{split}.parquet", index=False)
    (folder / "last.pt").unlink(missing_ok=True)
    split = {"fit": sorted(learn[0]), "held_back": sorted(learn[1])}
    row = {
        "run": name,
        "fold": fold,
        **best,
        "start": member.trained or source,
        "parameters": model.n_parameters(network),
        **split,
    }
    atomic.write_json(folder / FOLD_DONE, row)
    return row


def predict_rows(
    member: Member, task: PictureTask, predict: Predict, wanted: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Wanted rows with a trained network's predictions (NaN where there is no picture), and the kind's further tables."""
    rows = np.flatnonzero(task.pictures.index.patient_id.isin(set(wanted.patient_id)))
    index, found = task.pictures.index.iloc[rows], task.predict(predict, rows, member.tta, member.trim)
    return task.fill(wanted, index, found), task.extras(index, found)


def null_fold(name: str, member: Member, data: str, fold: int) -> None:
    """The site-mean member's tables of one fold."""
    sites = tables.SITES.read(paths.sites(data))
    fold_of, rows = folds.load(data), scores.site_rows(sites)
    train = rows[rows.patient_id.isin(fold_of.index[fold_of != fold])]
    out = {"oof": rows[rows.patient_id.isin(fold_of.index[fold_of == fold])], "test": rows[rows.split == "test"]}
    folder = paths.fold_dir(data, 2, name, fold)
    for split, of in out.items():
        table = scores.table(scores.site_means(train, of), name, split, fold, member.seed)
        tables.SCORES.write(table, folder / f"{split}.parquet")
    atomic.write_json(folder / FOLD_DONE, {"run": name, "fold": fold, "seconds": 0.0, "start": "counts", "parameters": 0})


def finish(run: manifest.Run, name: str, member: Member, data: str, wandb: bool) -> None:
    """When every fold is there: join their tables, check the coverage, log, write metrics.json and run.json."""
    from stage2_score import tasks

    folders = [paths.fold_dir(data, 2, name, k) for k in range(n_folds(data, member))]
    lacking = [k for k, folder in enumerate(folders) if not (folder / FOLD_DONE).is_file()]
    if lacking:
        print(f"{name}: folds {', '.join(map(str, lacking))} still to be trained", flush=True)
        return
    kind = tasks.KINDS.get(member.kind, tasks.Joints)  # the null model fills the sites of the joints
    expected = kind.rows(member, data)
    joined = join_folds(name, member, data, folders, expected)
    more, more_figures = kind.finished(name, data, member)
    rows = [json.loads((folder / FOLD_DONE).read_text()) for folder in folders]
    figures = kind.figures(joined["oof"], data) | more_figures
    figures |= {"missing": int(joined["oof"].pred.isna().sum()), "train_seconds": sum(row["seconds"] for row in rows)}
    figures |= {"parameters": rows[0]["parameters"]}
    logs = [folder / "log.csv" for folder in folders if (folder / "log.csv").is_file()]
    log = run.folder / "log.csv"
    log.unlink(missing_ok=True)
    mirror = track.Log(log, wandb, name, config.as_dict(member))
    for row in (row for path in logs for row in pd.read_csv(path).to_dict("records")):
        mirror.row(**row)
    mirror.close()
    atomic.write_json(run.folder / "metrics.json", figures)
    print(f"{name}: out of fold {', '.join(f'{k} {v:.4g}' for k, v in figures.items())}", flush=True)
    outputs = [paths.scores(data, 2, name, split) for split in joined] + [f / "best.safetensors" for f in folders]
    run.finish([f for f in [*outputs, *more] if f.is_file()], figures, member.seed, folds=rows)


def join_folds(name: str, member: Member, data: str, folders: list[Path], expected: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """oof.parquet, test.parquet and the kind's further tables of a run; training rows that a holdout leaves open are NaN."""
    joined = {}
    for split, wanted in (("oof", expected[expected.split == "train"]), ("test", None)):
        parts = [tables.SCORES.read(folder / f"{split}.parquet") for folder in folders]
        if wanted is not None and member.holdout:
            rest = wanted[~wanted.patient_id.isin(parts[0].patient_id)].assign(pred=np.nan, box_source="none")
            parts.append(scores.table(rest, name, split, -1, member.seed))
        joined[split] = scores.write(parts, wanted, paths.scores(data, 2, name, split))
        for path in sorted(folders[0].glob(f"*_{split}.parquet")):
            whole = pd.concat([pd.read_parquet(folder / path.name) for folder in folders], ignore_index=True)
            whole.to_parquet(paths.run_dir(data, 2, name) / path.name, index=False)
    return joined


def choose_start(member: Member, place: Place, folder: Path) -> tuple[Member, Machine]:
    """The member with its one source of weights, and its device and precision: settled once, the same for all folds."""
    from stage2_score import engine, tasks
    from stage2_score.networks import network as model

    if member.trained:
        same_network(member, paths.run_dir(place.data, 2, member.trained))
        member = replace(member, weights=("scratch",))
    kind = tasks.KINDS[member.kind]
    pictures = kind.open(member, place.data)
    rows = np.arange(len(pictures.index))
    task = kind(pictures, (rows, rows), member, member.loss)
    network, source = model.build(member, place.bone_age, member.head)
    machine = engine.choose(network, task, engine.Machine(place.device), member.optim.precision, folder)
    print(
        f"{folder.name}: starts from {member.trained or source}, on {place.device} in {'bfloat16' if machine.bf16 else 'fp32'}",
        flush=True,
    )
    return replace(member, weights=(source,)), machine


def same_network(member: Member, trained: Path) -> None:
    """Refuse the weights of a run whose networks or pictures are others."""
    if not (trained / "run.json").is_file():
        raise UserError(f"{trained} is not finished; train {trained.name} first, its weights are to be taken")
    other = config.load(Member, trained / "config.yaml")
    for name in ("kind", "backbone", "head", "embedding", "crops", "holdout"):
        if getattr(member, name) != getattr(other, name):
            raise UserError(f"{name} differs from that of the run {trained.name}, whose weights are to be taken; make them equal")


def run() -> None:
    """Verb: train the members that the configs describe."""
    p = members.parser(__doc__)
    p.add_argument("--bone-age", default="boneage-demo", metavar="SET", help="prepared set whose pretraining members start from")
    args = p.parse_args()
    train_members(members.load(Member, args), args)


def train_members(named: list[tuple[str, Member]], args: argparse.Namespace) -> None:
    """Make every run that is not finished: all their folds share the cores."""
    started = []
    for name, member in named:
        made = manifest.Run(paths.run_dir(args.data, 2, name), member, inputs(args.data, args.bone_age, member), args.force)
        if made.begin():
            started.append((name, member, made))
    if not started:
        return
    todo = [
        (name, member, k)
        for name, member, _ in started
        for k in folds.chosen(args.fold, n_folds(args.data, member))
        if not (paths.fold_dir(args.data, 2, name, k) / FOLD_DONE).is_file()
    ]
    for name, member, k in todo:
        if member.kind == "sitemean":
            null_fold(name, member, args.data, k)
    work = [task for task in todo if task[1].kind != "sitemean"]
    if work:
        train_all(work, args, {name: made.folder for name, _, made in started})
    for name, member, made in started:
        finish(made, name, member, args.data, args.wandb)


def train_all(work: list[tuple], args: argparse.Namespace, folder_of: dict[str, Path]) -> None:
    """Train every (name, member, fold) of `work`, several at a time."""
    place = Place(args.data, args.bone_age, parallel.device(args.device), args.workers)
    n = parallel.count(args.jobs, len(work), place.device)
    parallel.set_threads(max(1, members.cores() // n))
    starts = {name: choose_start(member, place, folder_of[name]) for name, member in {w[0]: w[1] for w in work}.items()}
    tasks = [(name, starts[name][0], place, k, starts[name][1]) for name, _, k in work]
    for row in parallel.run(train_fold, tasks, n, "training folds"):
        figures = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float | int) and k != "fold")
        print(f"{row['run']} fold {row['fold']}: {figures}, from {row['start']}", flush=True)


if __name__ == "__main__":
    cli.main(run)
