"""Apply trained runs to another prepared set.

    python -m stage2_score.predict CONFIG.yaml [MORE.yaml ...] --trained SET --data OTHER

writes test.parquet (one row per fold model, patient and site, for every patient of OTHER) into data/work/OTHER/stage2/<run>/.
A config is the one that SET's run was trained with; data/work/SET/stage2/<run>/config.yaml always is. The set's crops must have
been cut with the same config (python -m stage2_score.crops). All folds of all runs share the cores.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ra import cli, config, manifest, paths, tables
from ra.config import UserError
from stage2_score import config as members
from stage2_score import parallel, scores
from stage2_score.config import Member, Place


def run() -> None:
    """Verb: apply trained members to another set."""
    p = members.parser(__doc__)
    p.add_argument("--trained", required=True, metavar="SET", help="prepared set whose run of the same name is applied")
    args = p.parse_args()
    if args.data == args.trained:
        raise UserError("--data and --trained are the same set; its test.parquet was written by stage2_score.train")
    started = []
    for name, member in members.load(Member, args):
        same_member(name, member, args.trained)
        inputs = [paths.sites(args.data), paths.run_dir(args.trained, 2, name)]
        if member.kind != "sitemean":
            same_crops(member, args.trained, args.data)
            inputs.append(paths.run_dir(args.data, 2, member.crops))
        made = manifest.Run(paths.run_dir(args.data, 2, name), member, inputs, args.force)
        if made.begin():
            started.append((name, member, made))
    if not started:
        return
    apply_all(started, args.trained, Place(args.data, args.data, parallel.device(args.device)), args.jobs)


def same_member(name: str, member: Member, trained: str) -> None:
    """Refuse a run that is not finished, or a config with which it was not trained."""
    folder = paths.run_dir(trained, 2, name)
    manifest.file_hash(folder)  # a UserError when the run is not finished
    if config.load(Member, folder / "config.yaml") != member:
        raise UserError(f"{name} of {trained} was trained with another config; give {folder / 'config.yaml'}")


def same_crops(member: Member, trained: str, data: str) -> None:
    """Refuse pictures that were cut otherwise than those trained on."""
    configs = [paths.run_dir(d, 2, member.crops) / "config.yaml" for d in (trained, data)]
    for path in configs:
        if not path.is_file():
            raise UserError(f"{path} does not exist; run python -m stage2_score.crops for that set first")
    if configs[0].read_text() != configs[1].read_text():
        raise UserError(f"{configs[0]} and {configs[1]} differ; cut the crops of {data} with the config of {trained}")


def apply_all(started: list[tuple[str, Member, manifest.Run]], trained: str, place: Place, n_jobs: int) -> None:
    """Write the table of every run: its networks one by one, several at a time."""
    tasks = [(name, member, trained, fold, place) for name, member, _ in started for fold in networks(name, member, trained)]
    found: dict[str, list[pd.DataFrame]] = {name: [] for name, *_ in started}
    for table in parallel.run(apply, tasks, parallel.count(n_jobs, len(tasks), place.device), "applying networks"):
        found[table.run.iloc[0]].append(table)
    for name, member, made in started:
        out = paths.scores(place.data, 2, name, "test")
        table = pd.concat(sorted(found[name], key=lambda part: part.fold.iloc[0]), ignore_index=True)
        tables.SCORES.write(table, out)
        made.finish([out], {}, member.seed, trained=trained)
        print(f"{name}: {table.patient_id.nunique()} patients, {table.fold.nunique()} networks -> {out}", flush=True)


def networks(name: str, member: Member, trained: str) -> list[int]:
    """The folds whose networks a run keeps; -1 for the null model, which has none."""
    if member.kind == "sitemean":
        return [-1]
    found = paths.run_dir(trained, 2, member.trained or name).glob("fold_*/best.safetensors")
    return sorted(int(path.parent.name.removeprefix("fold_")) for path in found)


def apply(name: str, member: Member, trained: str, fold: int, place: Place) -> pd.DataFrame:
    """Scores of every patient of a set by one fold's network (for sitemean: by all training patients' frequencies)."""
    if member.kind == "sitemean":
        train, rows = (scores.site_rows(tables.SITES.read(paths.sites(of))) for of in (trained, place.data))
        return scores.table(scores.site_means(train[train.split == "train"], rows), name, "test", -1, member.seed)
    import torch
    from safetensors.torch import load_file

    from stage2_score import engine, tasks
    from stage2_score.networks import network as model
    from stage2_score.train import predict_rows

    kind, nobody = tasks.KINDS[member.kind], np.zeros(0, int)
    task = kind(kind.open(member, place.data), (nobody, nobody), member, member.loss)
    network = model.make_network(member, member.head)
    network.load_state_dict(load_file(paths.fold_dir(trained, 2, member.trained or name, fold) / "best.safetensors"))
    network.to(place.device, memory_format=torch.channels_last)  # as it was trained
    predict = engine.predictor(network, engine.Machine(place.device))
    filled, _ = predict_rows(member, task, predict, kind.rows(member, place.data))
    return scores.table(filled, name, "test", fold, member.seed)


if __name__ == "__main__":
    cli.main(run)
