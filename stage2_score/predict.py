"""Apply trained members to another prepared set.

    python -m stage2_score.predict CONFIG.yaml|FOLDER [MORE ...] --trained SET --data OTHER

writes test.parquet (one row per fold model, patient and site, for every patient of OTHER) into data/work/OTHER/stage2/<run>/.
A config must be the one with which SET's run was trained; data/work/SET/stage2/<run>/config.yaml always is. The pictures of
OTHER must have been cut with the same config (python -m stage2_score.pictures). All folds of all runs share the cores.
"""

from __future__ import annotations

import pandas as pd

from ra import cli, config, manifest, paths, tables
from ra.config import UserError
from stage2_score import parallel, scores
from stage2_score.config import MEMBERS, Member, TrainingContext, add_configs, load_members

Started = list[tuple[str, Member, manifest.Run]]


def run() -> None:
    """Verb: apply trained members to another set."""
    p = cli.parser(__doc__, "data", "trained", "profile", "set", "run", "device", "jobs", "force")
    add_configs(p, MEMBERS)
    args = p.parse_args()
    if args.data == args.trained:
        raise UserError("--data and --trained are the same set; its test.parquet was written by stage2_score.train")
    started: Started = []
    for name, member in load_members(args):
        check_trained(name, member, args.trained)
        inputs = [paths.sites(args.data), paths.run_dir(args.trained, 2, name)]
        if member.sees_pictures:
            check_same_pictures(member, args.trained, args.data)
            inputs.append(paths.run_dir(args.data, 2, member.pictures))
        run_record = manifest.Run(paths.run_dir(args.data, 2, name), member, inputs, args.force)
        if run_record.begin():
            started.append((name, member, run_record))
    if started:
        apply_all(started, args.trained, TrainingContext(args.data, args.data, parallel.choose_device(args.device)), args.jobs)


def check_trained(name: str, member: Member, trained: str) -> None:
    """Refuse a run that is not finished, or a config with which it was not trained."""
    folder = paths.run_dir(trained, 2, name)
    manifest.file_hash(folder)  # raises UserError when the run is not finished
    if config.load(Member, folder / "config.yaml") != member:
        raise UserError(f"{name} of {trained} was trained with another config; give {folder / 'config.yaml'}")


def check_same_pictures(member: Member, trained: str, data: str) -> None:
    """Refuse pictures that were cut with another config than those of the training."""
    configs = [paths.run_dir(name, 2, member.pictures) / "config.yaml" for name in (trained, data)]
    for path in configs:
        if not path.is_file():
            raise UserError(f"{path} does not exist; run python -m stage2_score.pictures for that set first")
    if configs[0].read_text() != configs[1].read_text():
        raise UserError(f"{configs[0]} and {configs[1]} differ; cut the pictures of {data} with the config of {trained}")


def apply_all(started: Started, trained: str, context: TrainingContext, jobs: int) -> None:
    """Write the table of every run. All networks of all runs are applied, several at a time."""
    from stage2_score.tasks import KINDS

    work = []
    for name, member, _ in started:
        for fold in KINDS[member.kind].trained_folds(name, member, trained):
            work.append((name, member, trained, fold, context))
    tables_of: dict[str, list[pd.DataFrame]] = {name: [] for name, *_ in started}
    for table in parallel.run(apply, work, parallel.n_processes(jobs, len(work), context.device), "applying networks"):
        tables_of[table.run.iloc[0]].append(table)
    for name, member, run_record in started:
        path = paths.scores(context.data, 2, name, "test")
        table = pd.concat(sorted(tables_of[name], key=lambda part: part.fold.iloc[0]), ignore_index=True)
        tables.SCORES.write(table, path)
        run_record.finish([path], {}, member.seed, trained=trained)
        print(f"{name}: {table.patient_id.nunique()} patients, {table.fold.nunique()} networks -> {path}", flush=True)


def apply(name: str, member: Member, trained: str, fold: int, context: TrainingContext) -> pd.DataFrame:
    """Scores of every patient of a set by one fold's model."""
    from stage2_score.tasks import KINDS

    kind = KINDS[member.kind]
    fitted = kind.load_fold(name, member, trained, fold, context)
    filled, _ = fitted.predict(kind.rows(member, context.data))
    return scores.table(filled, name, "test", fold, member.seed)


if __name__ == "__main__":
    cli.main(run)
