"""Pretrain backbones on bone age: predict months from pictures of growing hands and the child's sex.

    python -m stage2_score.pretrain CONFIG.yaml|FOLDER [MORE ...] --data BONE_AGE_SET

The set has films.parquet and bone_age.parquet (film_id, bone_age_months, male); stage2_score.pictures cuts its pictures. Each
run's folder gets best.safetensors (members take its backbone and joint embedding), log.csv, metrics.json and, last, run.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ra import atomic, cli, config, manifest, paths, tables, training_log
from ra.config import UserError
from stage2_score import parallel
from stage2_score.config import PRETRAINING, Named, Pretrain, TrainingContext, add_configs

if TYPE_CHECKING:
    from stage2_score.tasks.bone_age import Age


def run() -> None:
    """Verb: pretrain the backbones that the configs describe."""
    p = cli.parser(__doc__, "data", "profile", "set", "run", "device", "jobs", "workers", "force", "wandb")
    add_configs(p, PRETRAINING)
    args = p.parse_args()
    started = {}
    for name, pretrain in config.experiments(PRETRAINING, args.configs, args.profile, args.sets, args.run):
        inputs = [bone_age_path(args.data), paths.films(args.data), paths.run_dir(args.data, 2, pretrain.pictures)]
        run_record = manifest.Run(paths.run_dir(args.data, 2, name), pretrain, inputs, args.force)
        if run_record.begin():
            started[name] = (run_record, pretrain)
    if not started:
        return
    device = parallel.choose_device(args.device)
    context = TrainingContext(args.data, args.data, device, args.workers, args.wandb)
    work = [(name, pretrain, context) for name, (_, pretrain) in started.items()]
    for row in parallel.run(pretrain_one, work, parallel.n_processes(args.jobs, len(work), device), "pretraining"):
        name = row["run"]
        run_record, pretrain = started[name]
        film, picture, null = (row[f"{key}_mae_months"] for key in ("val_film", "val", "null"))
        print(
            f"{name}: bone age error {film:.1f} months per film, {picture:.1f} per picture (predicting the median: {null:.1f}), "
            f"{row['seconds']:.0f} s, from {row['start']}",
            flush=True,
        )
        atomic.write_json(run_record.folder / "metrics.json", row)
        run_record.finish([run_record.folder / "best.safetensors"], row, pretrain.seed)


def bone_age_path(data: str) -> Path:
    """The bone ages of a prepared set."""
    return paths.work(data) / "bone_age.parquet"


def read_ages(data: str) -> pd.DataFrame:
    """bone_age_months and male (0 or 1), indexed by film_id."""
    path = bone_age_path(data)
    if not path.is_file():
        raise UserError(f"{path} does not exist; prepare a bone-age set, or give its name with --data")
    return tables.BONE_AGE.read(path).set_index("film_id").astype(float)


def age_task(pretrain: Pretrain, data: str, workers: int = 0) -> Age:
    """The regression task of a set: standardised bone age of each picture, with some persons held back for validation."""
    from stage2_score.data import Pictures, hold_back, open_array, read_index
    from stage2_score.networks.network import kind_of
    from stage2_score.tasks.bone_age import Age

    folder = paths.run_dir(data, 2, pretrain.pictures)
    index = read_index(folder, pretrain.input)
    ages = read_ages(data)
    index = index[index.film_id.isin(ages.index)].reset_index(drop=True)
    persons = tables.FILMS.read(paths.films(data)).drop_duplicates("patient_id").set_index("patient_id").person_id
    picture_ages = ages.loc[index.film_id]
    oldest = picture_ages.bone_age_months.groupby(index.patient_id.to_numpy()).max()
    rng = np.random.default_rng((pretrain.seed, 0))
    patients = hold_back(persons.loc[oldest.index], oldest, pretrain.held_back_frac, rng)
    held_back = index.patient_id.isin(patients).to_numpy()
    months = picture_ages.bone_age_months.to_numpy()
    mean, sd = months[~held_back].mean(), max(months[~held_back].std(), 1.0)
    fields = {"age": (months - mean) / sd}
    if pretrain.sex:
        fields["extra"] = picture_ages.male.to_numpy()
    kind = index.joint.map(kind_of).to_numpy(np.int64)
    pictures = Pictures(open_array(folder, pretrain.input), index, kind, fields)
    rows = (np.flatnonzero(~held_back), np.flatnonzero(held_back))
    task = Age(pictures, rows, pretrain, pretrain.loss, seed=(pretrain.seed, 0), workers=workers)
    task.mean_months, task.sd_months = float(mean), float(sd)
    return task


def pretrain_one(name: str, pretrain: Pretrain, context: TrainingContext) -> dict:
    """Train one backbone; returns its metrics."""
    import torch

    from stage2_score import engine
    from stage2_score.networks import network as model

    task = age_task(pretrain, context.data, context.workers)
    folder = paths.run_dir(context.data, 2, name)
    torch.manual_seed(pretrain.seed)
    network, source = model.build(pretrain, context.data, Named("age"), extra=int(pretrain.sex))
    runtime = engine.choose_precision(network, task, engine.Runtime(context.device), pretrain.optim.precision, folder)
    log = training_log.Log(folder / "log.csv", context.wandb, name, config.as_dict(pretrain))
    best = engine.fit(network, task, pretrain.optim, folder, runtime, seed=(pretrain.seed, 0), log=log)
    log.close()
    (folder / "last.pt").unlink(missing_ok=True)
    ages = task.pictures.fields["age"]
    null_error = np.abs(ages[task.val_rows] - np.median(ages[task.train_rows])).mean() * task.sd_months
    return {
        "run": name,
        "start": source,
        **best,
        "null_mae_months": float(null_error),
        "mean_months": task.mean_months,
        "sd_months": task.sd_months,
        "bf16": runtime.bf16,
    }


if __name__ == "__main__":
    cli.main(run)
