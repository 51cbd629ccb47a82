"""Pretrain backbones on bone age: crops (or canvases) of growing hands and the sex in, months out.

python -m stage2_score.pretrain CONFIG.yaml [MORE.yaml ...] --data BONE_AGE_SET. The set has films.parquet and
bone_age.parquet (film_id, bone_age_months, male); its crops come from stage2_score.crops. Each run's folder gets
best.safetensors (backbone and joint embedding are what members take), log.csv, metrics.json and, last, run.json.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ra import atomic, cli, config, manifest, paths, tables, track
from ra.config import UserError
from stage2_score import config as members
from stage2_score import parallel
from stage2_score.config import Named, Place, Pretrain


def bone_age_path(data: str) -> Path:
    """The bone ages of a prepared set."""
    return paths.work(data) / "bone_age.parquet"


def read_ages(data: str) -> pd.DataFrame:
    """bone_age_months and male (0 or 1), indexed by film_id."""
    path = bone_age_path(data)
    if not path.is_file():
        raise UserError(f"{path} does not exist; prepare a bone-age set, or give its name with --data")
    return tables.BONE_AGE.read(path).set_index("film_id").astype(float)


def age_task(pretrain: Pretrain, data: str, workers: int = 0):
    """The regression task of a set: standardised bone age of each picture, persons held back for validation."""
    from stage2_score.data import Pictures, hold_back, open_array, read_index
    from stage2_score.networks.network import kind_of
    from stage2_score.tasks.bone_age import Age

    folder = paths.run_dir(data, 2, pretrain.crops)
    index = read_index(folder, pretrain.pictures)
    ages = read_ages(data)
    index = index[index.film_id.isin(ages.index)].reset_index(drop=True)
    persons = tables.FILMS.read(paths.films(data)).drop_duplicates("patient_id").set_index("patient_id").person_id
    of_picture = ages.loc[index.film_id]
    oldest = of_picture.bone_age_months.groupby(index.patient_id.to_numpy()).max()
    rng = np.random.default_rng((pretrain.seed, 0))
    held = index.patient_id.isin(hold_back(persons.loc[oldest.index], oldest, pretrain.held_back_frac, rng)).to_numpy()
    months = of_picture.bone_age_months.to_numpy()
    mean, sd = months[~held].mean(), max(months[~held].std(), 1.0)
    fields = {"age": (months - mean) / sd} | ({"extra": of_picture.male.to_numpy()} if pretrain.sex else {})
    kind = index.joint.map(kind_of).to_numpy(np.int64)
    pictures = Pictures(open_array(folder, pretrain.pictures), index, kind, fields)
    rows = (np.flatnonzero(~held), np.flatnonzero(held))
    task = Age(pictures, rows, pretrain, pretrain.loss, seed=(pretrain.seed, 0), workers=workers)
    task.mean_months, task.sd_months = float(mean), float(sd)
    return task


def pretrain_one(name: str, pretrain: Pretrain, place: Place) -> dict:
    """Train one backbone; returns the row that the caller prints."""
    import torch

    from stage2_score import engine
    from stage2_score.networks import network as model

    task = age_task(pretrain, place.data, place.workers)
    folder = paths.run_dir(place.data, 2, name)
    torch.manual_seed(pretrain.seed)
    network, source = model.build(pretrain, place.data, Named("age"), extra=int(pretrain.sex))
    machine = engine.choose(network, task, engine.Machine(place.device), pretrain.optim.precision, folder)
    log = track.Log(folder / "log.csv", place.wandb, name, config.as_dict(pretrain))
    best = engine.fit(network, task, pretrain.optim, folder, machine, seed=(pretrain.seed, 0), log=log)
    log.close()
    (folder / "last.pt").unlink(missing_ok=True)
    ages = task.pictures.fields["age"]
    null = float(np.abs(ages[task.held] - np.median(ages[task.fit])).mean() * task.sd_months)
    more = {"null_mae_months": null, "mean_months": task.mean_months, "sd_months": task.sd_months, "bf16": machine.bf16}
    return {"run": name, "start": source, **best, **more}


def run() -> None:
    """Verb: pretrain the backbones that the configs describe."""
    args = members.parser(__doc__).parse_args()
    made = {}
    for name, pretrain in members.load(Pretrain, args):
        inputs = [bone_age_path(args.data), paths.films(args.data), paths.run_dir(args.data, 2, pretrain.crops)]
        one = manifest.Run(paths.run_dir(args.data, 2, name), pretrain, inputs, args.force)
        if one.begin():
            made[name] = (one, pretrain)
    if not made:
        return
    device = parallel.device(args.device)
    place = Place(args.data, args.data, device, args.workers, args.wandb)
    tasks = [(name, pretrain, place) for name, (_, pretrain) in made.items()]
    for row in parallel.run(pretrain_one, tasks, parallel.count(args.jobs, len(tasks), device), "pretraining"):
        one, pretrain = made[row["run"]]
        print(
            f"{row['run']}: bone age off by {row['val_film_mae_months']:.1f} months a film, {row['val_mae_months']:.1f} a picture"
            f" (the median alone: {row['null_mae_months']:.1f}), {row['seconds']:.0f} s, from {row['start']}",
            flush=True,
        )
        atomic.write_json(one.folder / "metrics.json", row)
        one.finish([one.folder / "best.safetensors"], row, pretrain.seed)


if __name__ == "__main__":
    cli.main(run)
