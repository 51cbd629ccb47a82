"""Apply a trained run to another prepared set.

python -m stage2_score.predict CONFIG.yaml --trained SET --data OTHER_SET writes test.parquet (one row per fold model, patient
and site, for every patient of OTHER_SET) into data/work/OTHER_SET/stage2/<run>/. The set's crops must have been cut with the
same config (python -m stage2_score.crops).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ra import config, manifest, paths, tables
from ra.config import UserError
from stage2_score import jobs, members, scores
from stage2_score.members import Member, Place
from stage2_score.train import predict_rows


def same_crops(member: Member, trained: str, data: str) -> None:
    """Refuse pictures that were cut otherwise than those trained on."""
    configs = [paths.run_dir(d, 2, member.crops) / "config.yaml" for d in (trained, data)]
    for path in configs:
        if not path.is_file():
            raise UserError(f"{path} does not exist; run python -m stage2_score.crops for that set first")
    if configs[0].read_text() != configs[1].read_text():
        raise UserError(f"{configs[0]} and {configs[1]} differ; cut the crops of {data} with the config of {trained}")


def apply(name: str, member: Member, trained: str, place: Place) -> pd.DataFrame:
    """Scores of every patient of a set by each fold's network (for sitemean: by all training patients' frequencies)."""
    from safetensors.torch import load_file

    from stage2_score import engine, model, tasks

    if member.kind == "sitemean":
        train, rows = (scores.site_rows(tables.SITES.read(paths.sites(of))) for of in (trained, place.data))
        return scores.table(scores.site_means(train[train.split == "train"], rows), name, "test", -1, member.seed)
    kind, nobody = tasks.KINDS[member.kind], np.zeros(0, int)
    task = kind(kind.open(member, place.data), (nobody, nobody), member, member.loss)
    wanted = kind.rows(member, place.data)
    parts = []
    for weights in sorted(paths.run_dir(trained, 2, member.trained or name).glob("fold_*/best.safetensors")):
        network = model.make_network(member, member.head)
        network.load_state_dict(load_file(weights))
        predict = engine.predictor(network.to(place.device), engine.Machine(place.device))
        filled, _ = predict_rows(member, task, predict, wanted)
        parts.append(scores.table(filled, name, "test", int(weights.parent.name.removeprefix("fold_")), member.seed))
    return pd.concat(parts, ignore_index=True)


def run() -> None:
    """Verb: apply trained members to another set."""
    p = members.parser(__doc__)
    p.add_argument("--trained", required=True, metavar="SET", help="prepared set whose run of the same name is applied")
    args = p.parse_args()
    for name, member in members.load(Member, args):
        inputs = [paths.sites(args.data), paths.run_dir(args.trained, 2, name)]
        if member.kind != "sitemean":
            same_crops(member, args.trained, args.data)
            inputs.append(paths.run_dir(args.data, 2, member.crops))
        if args.data == args.trained:
            raise UserError("--data and --trained are the same set; its test.parquet was written by stage2_score.train")
        made = manifest.Run(paths.run_dir(args.data, 2, name), member, inputs, args.force)
        if not made.begin():
            continue
        out = paths.scores(args.data, 2, name, "test")
        tables.SCORES.write(apply(name, member, args.trained, Place(args.data, args.data, jobs.device(args.device))), out)
        made.finish([out], {}, member.seed)
        print(f"{name}: {out}", flush=True)


if __name__ == "__main__":
    config.main(run)
